"""Resolving with the real uv: against a small index of the test, and against a real one."""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.config.schema import Sources
from hps.errors import ConfigError, FetchError, LockError, OfflineError, ResolutionError
from hps.lock import uv_tool
from hps.lock.python import PythonRequest, PythonResolver, Requirement
from hps.lock.uv import Uv, expecting, resolve, resolver_flags, uv_platform
from hps.store.origins import Origins
from hps.store.python_index import JSON
from tests.lock.indexes import Index, make_wheel
from tests.lock.resolver_contract import ResolverContract, System
from tests.servers import fine, garbage, reset, silence, status, truncate

AS_OF = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def uv_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of tests reuse ports, so uv's cache must not outlive a test."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as served:
        yield served


def request(index: Index | str, *texts: str, **more: Any) -> PythonRequest:
    given = {
        "requirements": tuple(Requirement(text, "app.in") for text in texts),
        "python_version": "3.11",
        "glibc": (2, 36),
        "index_url": index if isinstance(index, str) else index.url,
    }
    return PythonRequest(**(given | more))


def versions(asked: PythonRequest) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in resolve(asked).wheels}


class TestUv(ResolverContract):
    @pytest.fixture
    def resolver(self) -> PythonResolver:
        return Uv()

    @pytest.fixture
    def target(self) -> System:
        return System("3.11", (2, 36))


def test_markers_and_python_requirements_are_those_of_the_target(index: Index) -> None:
    index.add_wheel(
        "a", "1", requires=("b; python_version >= '3.12'", "c; sys_platform != 'linux'")
    )
    index.add_wheel("a", "2", python=">=3.12")
    index.add_wheel("a", "1.5", python=">=3.11.2")
    index.add_wheel("b", "1")
    assert versions(request(index, "a")) == {"a": "1"}
    assert versions(request(index, "a", python_version="3.11.2")) == {"a": "1.5"}
    assert versions(request(index, "a", python_version="3.12")) == {"a": "2"}


def test_preferences_are_kept_and_upgrades_release_them(index: Index) -> None:
    for version in ("1.0", "1.1"):
        index.add_wheel("a", version, requires=("b",))
        index.add_wheel("b", version)
    old = request(index, "a", preferences={"a": "1.0", "b": "1.0"})
    assert versions(old) == {"a": "1.0", "b": "1.0"}
    assert versions(dataclasses.replace(old, upgrade="all")) == {"a": "1.1", "b": "1.1"}
    one = dataclasses.replace(old, upgrade=frozenset({"b"}))
    assert versions(one) == {"a": "1.0", "b": "1.1"}
    unfit = request(index, "a>1", preferences={"a": "1.0", "b": "9.9", "gone": "1"})
    assert versions(unfit) == {"a": "1.1", "b": "1.1"}
    assert versions(request(index, "a", constraints=("b<1.1",))) == {"a": "1.1", "b": "1.0"}


def test_prereleases_only_when_asked_for(index: Index) -> None:
    index.add_wheel("a", "1.0")
    index.add_wheel("a", "2.0.dev0")
    index.add_wheel("b", "1.0rc1")
    assert versions(request(index, "a")) == {"a": "1.0"}
    assert versions(request(index, "a", prerelease=True)) == {"a": "2.0.dev0"}
    with pytest.raises(ResolutionError) as caught:
        resolve(request(index, "b"))
    assert "prerelease = true" in str(caught.value.hint)


def test_as_of_hides_later_files(index: Index) -> None:
    index.add_wheel("a", "1.0", uploaded="2024-01-01")
    index.add_wheel("a", "1.1", uploaded="2024-12-01")
    assert versions(request(index, "a", as_of=AS_OF)) == {"a": "1.0"}
    assert resolver_flags(AS_OF)[0] == "--exclude-newer=2024-06-01T00:00:00Z"


def test_wheels_made_from_sdists_stand_in(index: Index, tmp_path: Path) -> None:
    index.add("legacy-1.0.tar.gz", b"never opened")
    index.add_wheel("a", "1", requires=("legacy",))
    with pytest.raises(ResolutionError) as caught:
        resolve(request(index, "a"))
    assert 'add "legacy" to python.sdists' in str(caught.value.hint)
    assert any("legacy" in line for line in caught.value.details)
    made = make_wheel("legacy", "1.0")
    (tmp_path / "blob").write_bytes(made)
    built = {"legacy-1.0-py3-none-any.whl": tmp_path / "blob"}
    for as_of in (None, AS_OF):
        chosen = resolve(request(index, "a", built=built, as_of=as_of)).wheels
        assert [wheel.name for wheel in chosen] == ["a", "legacy"]
        assert chosen[1].url.startswith("file://")


def two_builds(index: Index) -> None:
    """A project whose choice shows for which glibc it was made."""
    for tag in ("manylinux_2_17", "manylinux_2_36"):
        index.add_wheel("a", "1", tag=f"cp311-cp311-{tag}_x86_64", requires=("b",))
    index.add_wheel("b", "1")


def pages(index: Index) -> list[str]:
    return [seen.path for seen in index.server.seen if seen.path.startswith("/simple/")]


_EARLIER: set[str] = set()


@pytest.fixture(autouse=True)
def earlier() -> None:
    """Servers that other tests of this process keep running are not what is looked for here."""
    _EARLIER.clear()
    _EARLIER.update(_pids())


def children() -> list[str]:
    """The names of the processes that this test has started, dead ones that nobody reaped too.

    A child that was forked and has not yet become another program still has our name.
    """
    ours = Path("/proc/self/comm").read_text().strip()
    while ours in (found := _children()):
        time.sleep(0.001)
    return found


def _pids() -> list[str]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return found


def _children() -> list[str]:
    found = []
    for child in _pids():
        with contextlib.suppress(OSError):
            if child not in _EARLIER:
                found.append(Path(f"/proc/{child}/comm").read_text().strip())
    return found


def test_what_was_expected_is_resolved_once(index: Index, tmp_path: Path) -> None:
    two_builds(index)
    (tmp_path / "blob").write_bytes(make_wheel("legacy", "1.0"))
    built = {"legacy-1.0-py3-none-any.whl": tmp_path / "blob"}
    more = {"built": built, "preferences": {"a": "1"}}
    with expecting(request(index, "a", "legacy", **more)) as answer:
        found = answer(request(index, "a", "legacy", **more))
    assert sorted(pages(index)) == ["/simple/a/", "/simple/b/", "/simple/legacy/"]
    assert found == resolve(request(index, "a", "legacy", **more))
    assert [one.name for one in found.wheels] == ["a", "b", "legacy"]


@pytest.mark.parametrize(
    "expected",
    [
        {"glibc": (2, 17)},
        {"python_version": "3.12"},
        {"upgrade": "all"},
        {"preferences": {"a": "0.9"}},
        {"requirements": (Requirement("no-such-project", "app.in"),)},
        {"requirements": ()},
    ],
)
def test_a_wrong_expectation_changes_nothing(index: Index, expected: dict[str, Any]) -> None:
    two_builds(index)
    with expecting(request(index, "a", **expected)) as answer:
        found = answer(request(index, "a"))
        assert children() == []
    assert found == resolve(request(index, "a"))
    assert found.wheels[0].file == "a-1-cp311-cp311-manylinux_2_36_x86_64.whl"


def test_another_wheel_of_the_same_name_is_another_request(index: Index, tmp_path: Path) -> None:
    index.add_wheel("b", "1")
    file = "legacy-1.0-py3-none-any.whl"
    for name, needs in (("old", ()), ("new", ("b",))):
        (tmp_path / name).write_bytes(make_wheel("legacy", "1.0", requires=needs))
    with expecting(request(index, "legacy", built={file: tmp_path / "old"})) as answer:
        found = answer(request(index, "legacy", built={file: tmp_path / "new"}))
    assert [one.name for one in found.wheels] == ["b", "legacy"]


def test_nothing_expected(index: Index) -> None:
    two_builds(index)
    with expecting(None) as answer:
        assert pages(index) == []
        assert answer(request(index, "a")) == resolve(request(index, "a"))


def test_an_expected_failure_is_told_when_it_is_asked_for(index: Index) -> None:
    with expecting(request(index, "no-such-project")) as answer:
        assert children() == ["uv"]
        with pytest.raises(ResolutionError) as caught:
            answer(request(index, "no-such-project"))
    assert "spelling" in str(caught.value.hint)


def test_leaving_stops_uv_that_waits_for_ever(index: Index) -> None:
    index.server.script("/simple/a/", silence())
    folders = set(Path(tempfile.gettempdir()).glob("hps-uv-*"))

    def fail_meanwhile() -> None:
        with expecting(request(index, "a")):
            while not pages(index):
                assert children() == ["uv"]
                time.sleep(0.01)
            raise LockError("apt says no")

    with pytest.raises(LockError, match="apt"):
        fail_meanwhile()
    assert children() == []
    assert set(Path(tempfile.gettempdir()).glob("hps-uv-*")) <= folders


def test_what_uv_says_may_be_long(index: Index) -> None:
    """More than a pipe holds, which nobody reads while uv runs."""
    index.add_wheel("a", "1", requires=tuple(f"{'x' * 200}{n}" for n in range(600)))
    with expecting(request(index, "a")) as answer, pytest.raises(ResolutionError) as caught:
        answer(request(index, "a"))
    assert len(caught.value.details) <= 30


def test_build_code_never_runs(index: Index, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "evil-1.0"
    folder.mkdir()
    (folder / "setup.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    subprocess.run(["tar", "czf", "evil-1.0.tar.gz", "evil-1.0"], cwd=tmp_path, check=True)
    index.add("evil-1.0.tar.gz", (tmp_path / "evil-1.0.tar.gz").read_bytes())
    with pytest.raises(ResolutionError):
        resolve(request(index, "evil"))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "tag", "hint"),
    [
        ("a", "cp311-cp311-manylinux_2_39_x86_64", "newer system"),
        ("a", "cp312-cp312-manylinux_2_17_x86_64", "other Pythons"),
        ("unknown-project", "py3-none-any", "spelling"),
        ("a>5", "py3-none-any", "relax"),
    ],
)
def test_what_cannot_be_is_explained(index: Index, text: str, tag: str, hint: str) -> None:
    index.add_wheel("a", "1.0", tag=tag)
    with pytest.raises(ResolutionError) as caught:
        resolve(request(index, text))
    assert hint in str(caught.value.hint)
    assert any("Because" in line for line in caught.value.details)


def test_offline_uses_the_cache_alone(index: Index) -> None:
    index.add_wheel("a", "1.0")
    with pytest.raises(OfflineError) as caught:
        resolve(request(index, "a", offline=True))
    assert index.server.seen == []
    online = resolve(request(index, "a"))
    asked = len(index.server.seen)
    assert resolve(request(index, "a", offline=True)) == online
    assert len(index.server.seen) == asked
    assert "--offline" in str(caught.value.hint)


@pytest.mark.parametrize(
    "behaviour",
    [
        status(500),
        status(503),
        status(401),
        status(403),
        reset(),
        garbage(),
        truncate(b"{" * 100, 50),
        fine(b"{not json", media_type=JSON),
    ],
)
def test_an_index_that_fails_is_a_fetch_error(index: Index, behaviour: Any) -> None:
    index.server.script("/simple/a/", behaviour)
    with pytest.raises(FetchError) as caught:
        resolve(request(index, "a"))
    assert caught.value.details


def test_an_unreachable_index_does_not_betray_its_password() -> None:
    with pytest.raises(FetchError) as caught:
        resolve(request("http://user:secret@127.0.0.1:9/simple", "a"))
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value) or "…" in str(caught.value)


def test_the_index_is_not_on_the_command_line_and_settings_of_the_user_are_ignored(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index.add_wheel("a", "1.0")
    index.add_wheel("a", "2.0rc1")
    monkeypatch.setenv("UV_PRERELEASE", "allow")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "missing.toml"))
    assert versions(request(index, "a")) == {"a": "1.0"}


def test_only_what_reaches_an_index_is_inherited() -> None:
    kept = {"UV_CACHE_DIR": "c", "UV_INDEX_MINE_PASSWORD": "p", "HTTPS_PROXY": "x", "HOME": "h"}
    dropped = {"UV_INDEX": "i", "UV_NO_BINARY": "1", "UV_PYTHON": "3.9", "VIRTUAL_ENV": "v"}
    seen = uv_tool.environment(kept | dropped)
    assert kept.items() <= seen.items()
    assert not dropped.keys() & seen.keys()


PYTHONS = [
    path for minor in (10, 11, 12, 13, 14) if (path := shutil.which(f"python3.{minor}")) is not None
]


def test_the_python_of_the_host_does_not_matter(index: Index) -> None:
    marked = "b; python_version < '3.12' and platform_machine == 'x86_64'"
    index.add_wheel("a", "1", requires=(marked, "c; implementation_name == 'cpython'"))
    index.add_wheel("b", "1", tag="cp311-cp311-manylinux_2_36_x86_64")
    index.add_wheel("c", "1")
    expected = resolve(request(index, "a"))
    assert [wheel.name for wheel in expected.wheels] == ["a", "b", "c"]
    working = [
        python
        for python in {*PYTHONS, sys.executable}
        if subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0
    ]
    for python in working:
        assert resolve(request(index, "a"), host_python=python) == expected


def test_all_faults_of_requirements_at_once() -> None:
    texts = (
        "requests >=",
        "-r other.in",
        "a @ https://example.org/a.whl",
        "six==1 --hash=sha256:0",
    )
    with pytest.raises(ConfigError) as caught:
        resolve(request("http://127.0.0.1:9/simple", *texts))
    assert len(caught.value.details) == 4
    assert all(line.startswith("app.in: ") for line in caught.value.details)


def test_nothing_asked_for_is_nothing_resolved() -> None:
    resolution = resolve(request("http://127.0.0.1:9/simple"))
    assert resolution.wheels == ()
    assert re.fullmatch(r"\d+\.\d+\.\d+", resolution.resolver.version)
    assert "http" not in str(resolution.resolver.flags)


@given(st.integers(0, 60))
def test_the_target_given_to_uv_is_never_newer_than_the_glibc(minor: int) -> None:
    if minor < 17:
        with pytest.raises(ResolutionError, match="older"):
            uv_platform("linux/amd64", (2, minor))
        return
    known = uv_platform("linux/arm64", (2, minor))
    assert known.startswith("aarch64-manylinux_2_")
    assert int(known.rpartition("_")[2]) <= minor


@pytest.mark.network
def test_a_real_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "3")
    url = Origins(Sources()).python_index("default")
    asked = request(url, "requests[socks]==2.32.3", "six==1.17.0", "markupsafe==3.0.2")
    first = resolve(asked)
    assert resolve(asked) == first
    files = {wheel.name: wheel.file for wheel in first.wheels}
    assert files["six"] == "six-1.17.0-py2.py3-none-any.whl"
    assert files["markupsafe"].startswith("MarkupSafe-3.0.2-cp311-cp311-manylinux_2_17_x86_64")
    assert {"certifi", "pysocks", "urllib3"} <= files.keys()
    assert all(wheel.size for wheel in first.wheels)
    assert os.environ.get("UV_CACHE_DIR")
