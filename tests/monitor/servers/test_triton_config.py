"""What is judged before a load: by this room and by the launcher of the images, alike."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.server import Fault, ServerError
from hps.monitor.servers.triton_config import (
    check_fit,
    config_text,
    is_same_config,
    number_of,
    parse_config,
    pinned,
    version_of,
)
from tests.server_env.conftest import SERVER_ENV  # makes hps_server importable

PYTHON = 'backend: "python"'


@given(st.integers(1, 10**8))
def test_newer_generations_have_lower_versions(number: int) -> None:
    assert version_of(number + 1) < version_of(number)
    assert number_of(version_of(number)) == number


@pytest.mark.parametrize("version", [0, 1, 2, 20260101, 10**9, 20260101120000])
def test_versions_that_people_give_are_not_ours(version: int) -> None:
    assert number_of(version) is None


@pytest.mark.parametrize("number", [0, -1, 10**9, 2**53])
def test_numbers_without_a_version(number: int) -> None:
    with pytest.raises(ServerError) as caught:
        version_of(number)
    assert caught.value.fault is Fault.UNFIT


@pytest.mark.parametrize(
    "policy", ["", "latest { num_versions: 1 }", "all { }", "specific { versions: 3 }"]
)
def test_the_policy_of_a_release_gives_way(policy: str) -> None:
    config = parse_config(f"{PYTHON} version_policy {{ {policy} }}", "here")
    written = parse_config(config_text(config, [8, 9]), "there")
    assert list(written.version_policy.specific.versions) == [8, 9]
    assert is_same_config(config, written)


def test_what_else_differs_is_a_difference() -> None:
    one = parse_config(PYTHON, "here")
    assert is_same_config(one, parse_config(f'name: "m" {PYTHON}', "there"))
    for other in (
        f"{PYTHON} max_batch_size: 1",
        f'{PYTHON} parameters {{ key: "a" value {{ }} }}',
        "",
    ):
        assert not is_same_config(one, parse_config(other, "there"))


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_refused(text: str) -> None:
    try:
        parse_config(text, "here")
    except ServerError as error:
        assert error.fault is Fault.UNFIT  # noqa: PT017 - either way is fine


def test_pins_reach_members_only() -> None:
    step = 'step {{ model_name: "{}" model_version: -1 }}'
    config = parse_config(
        f"ensemble_scheduling {{ {step.format('a')} {step.format('b')} }}", "here"
    )
    steps = pinned(config, {"a": 7}).ensemble_scheduling.step
    assert [one.model_version for one in steps] == [7, -1]
    assert config.ensemble_scheduling.step[0].model_version == -1


@pytest.mark.parametrize(
    ("config", "files"),
    [
        (PYTHON, {"model.py": b"code"}),
        (PYTHON, {}),
        (PYTHON, {"code.py": b"code"}),
        (PYTHON, {"model.py": b""}),
        (f'{PYTHON} default_model_filename: "code.py"', {"code.py": b"code"}),
        (f'{PYTHON} default_model_filename: "code.py"', {"model.py": b"code"}),
        (f'name: "m" {PYTHON}', {"model.py": b"code"}),
        (f'name: "other" {PYTHON}', {"model.py": b"code"}),
        ("input { name: ", {"model.py": b"code"}),
        ("<", {"model.py": b"code"}),
    ],
)
def test_the_launcher_judges_alike(tmp_path: Path, config: str, files: dict[str, bytes]) -> None:
    from hps_server.listing import read_listing
    from hps_server.repository import inspect

    assert SERVER_ENV.is_dir()
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "config.pbtxt").write_text(config)
    for name, data in files.items():
        (tmp_path / "m" / "1" / name).write_bytes(data)
    theirs = not inspect(read_listing(tmp_path), ["python"]).faults
    try:
        sizes = {name: len(data) for name, data in files.items()}
        check_fit(parse_config(config, "here"), "m", sizes, "here")
        ours = True
    except ServerError:
        ours = False
    assert ours == theirs
