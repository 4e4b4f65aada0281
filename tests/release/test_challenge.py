"""`hps build --challenge`: the laboratory under every condition, and what is not reproducible."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hps.cli.challenge import lines
from hps.errors import StoreError
from hps.release import challenge
from hps.release.challenge import Report, Result, State
from hps.release.challenge_conditions import Condition
from tests.build.laboratory import BACKEND, Laboratory, tar_gz

REPOSITORY = Path(__file__).resolve().parents[2]
OWN_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
CHALLENGE = ("build", "--challenge", "--offline", "--json")
# A build backend that lets time and machine into the wheel, and gives up in the past.
PLANTED = (
    BACKEND.replace("crafted-1.0", "crafted-2.0")
    .replace("crafted\\nVersion: 1.0", "crafted\\nVersion: 2.0")
    .replace(
        "import zipfile",
        "import os, time, zipfile\n\nYEAR = time.gmtime().tm_year\nassert YEAR > 2020, 'too early'",
    )
    .replace(
        '"crafted.py": "MADE = True\\n",',
        '"crafted.py": "MADE = True\\n",\n'
        '        "year.txt": f"made in the year {YEAR}, if I am not mistaken\\n",\n'
        '        "jobs.txt": f"-j{len(os.sched_getaffinity(0))}\\n",',
    )
)


def leftovers(lab: Laboratory) -> list[str]:
    return [path.name for path in (lab.store / "temporary").iterdir()]


def results(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["condition"]: one for one in report["results"]}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`--python` for each other Python of this machine, in an environment with what hps needs."""
    uv = [sys.executable, "-m", "uv"]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"]
    words: list[str] = []
    for version in sorted({"3.11", "3.12", "3.13"} - {OWN_VERSION}):
        find = [*uv, "python", "find", "--no-project", "--system", "--no-python-downloads", version]
        found = subprocess.run(find, capture_output=True, text=True, check=False)
        candidates = [found.stdout.strip()] if found.returncode == 0 else []
        candidates += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
        if candidates:
            folder = tmp_path_factory.mktemp("environment") / version
            python = str(folder / "bin" / "python")
            subprocess.run([*uv, "venv", "-q", "--python", candidates[0], str(folder)], check=True)
            subprocess.run([*uv, "pip", "install", "-q", "--python", python, *wanted], check=True)
            words += ["--python", python]
    return words


@pytest.mark.network
@pytest.mark.slow
def test_all_conditions_at_once(lab: Laboratory, others: list[str]) -> None:
    before = (lab.layout / "index.json").stat().st_ino
    (report,) = lab.run(*CHALLENGE, "--together", *others).json
    (together,) = report["results"]
    assert (together["result"], together["image"]) == ("identical", lab.image())
    assert together["layers"] == together["layers_identical"] == len(lab.built().layers)
    assert {"folder", "umask", "zone", "language", "hash-seed", "home"} < {*together["combines"]}
    assert len([name for name in together["combines"] if name.startswith("python-")]) == bool(
        others
    )
    assert all(report["left_out"].values())  # each with a reason
    assert (lab.layout / "index.json").stat().st_ino == before  # a layout is replaced whole
    assert leftovers(lab) == []


@pytest.mark.network
@pytest.mark.slow
def test_conditions_that_cannot_be_combined(lab: Laboratory, others: list[str]) -> None:
    """The older processor, the past, another real user, and every other Python by itself."""
    names = ["earlier", "user", "processor"]
    done = lab.run(*CHALLENGE, *(word for name in names for word in ("--only", name)), code=None)
    (report,) = done.json
    found = results(report)
    assert found.keys() == {*names}
    for one in found.values():
        assert one["result"] in {"identical", "not possible here"}, one
        assert one["reason"] if one["result"] == "not possible here" else one["image"]
    tried = report["of"]
    assert report["identical"] == tried == 3 - report["not_possible_here"]
    assert done.code == (0 if tried else 6)


@pytest.mark.network
@pytest.mark.slow
def test_what_is_not_reproducible_is_found_and_shown(lab: Laboratory) -> None:
    system = '[build-system]\nrequires = []\nbuild-backend = "craft"\nbackend-path = ["."]\n'
    files = {"crafted-2.0/pyproject.toml": system, "crafted-2.0/craft.py": PLANTED}
    lab.index.add("crafted-2.0.tar.gz", tar_gz(files))
    lab.edit("crafted>=1", "crafted>=2", lab.folder / "app.in")
    lab.run("lock")
    lab.run("build")
    names = ["again", "processors", "later", "earlier"]
    done = lab.run(*CHALLENGE, *(word for name in names for word in ("--only", name)), code=7)
    (report,) = done.json
    found = results(report)
    assert found["again"]["result"] == "identical"
    if found["processors"]["result"] == "different":
        path = first_path(found["processors"])
        assert path["path"].endswith("/jobs.txt")
        assert [side["text"] for side in path["sides"]] == [f"-j{cores()}.", "-j1."]
        assert path["offset"] == 2
    else:
        assert cores() == 1
    if found["later"]["result"] == "not possible here":
        pytest.skip(found["later"]["reason"])
    assert found["earlier"]["result"] == "failed"
    assert "too early" in found["earlier"]["reason"]
    assert (report["different"], report["failed"]) == (1 + (cores() > 1), 1)
    path = first_path(found["later"])
    assert path["path"].endswith("/year.txt")
    left, right = path["sides"]
    assert all(side["text"].startswith("e in the year 20") for side in (left, right))
    assert left["text"] != right["text"]
    assert left["tar_offset"] == right["tar_offset"]
    (layer,) = found["later"]["differences"]
    tar = lab.blob(
        next(one.blob.digest for one in lab.built().layers if one.name == layer["layer"])
    )
    assert tar.read_bytes()[left["tar_offset"] - path["offset"] :].startswith(b"made in the year")
    assert leftovers(lab) == []


def first_path(result: dict[str, Any]) -> dict[str, Any]:
    (layer,) = result["differences"]
    assert layer["paths_that_differ"] == 2  # the file, and RECORD that names its digest
    assert layer["paths"][1]["path"].endswith("/RECORD")
    first: dict[str, Any] = layer["paths"][0]
    return first


def cores() -> int:
    return len(os.sched_getaffinity(0))


@pytest.mark.network
def test_ctrl_c_ends_the_build_and_leaves_nothing(lab: Laboratory) -> None:
    process = lab.start(*CHALLENGE, "--only", "again")
    assert process.stderr is not None
    while "again" not in process.stderr.readline():
        assert process.poll() is None
    child = next_child(lab, process.pid)
    process.send_signal(signal.SIGINT)
    done = lab.finish(process, code=130)
    assert "interrupted" in done.err
    assert not Path(f"/proc/{child}").exists()
    assert leftovers(lab) == []


@pytest.mark.network
def test_a_child_ends_when_hps_is_killed(lab: Laboratory) -> None:
    process = lab.start(*CHALLENGE, "--only", "again")
    assert process.stderr is not None
    while "again" not in process.stderr.readline():
        assert process.poll() is None
    child = next_child(lab, process.pid)
    descriptor = os.pidfd_open(child)
    process.kill()
    lab.finish(process, code=-signal.SIGKILL)
    with os.fdopen(descriptor) as handle:
        import select

        assert select.select([handle], [], [], 60) == ([handle], [], [])
    lab.run("build", "--check")  # whoever writes next clears the place
    assert leftovers(lab) == []


def next_child(lab: Laboratory, pid: int) -> int:
    """The build that a challenge has started, once it has made a step."""
    while not [one for one in lab.store.glob("temporary/*/*/run/stderr") if one.stat().st_size]:
        time.sleep(0.05)
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            if b"challenge_child" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)


@pytest.mark.network
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "zone"], "--only belongs to --challenge"),
        (["--together"], "--together belongs to --challenge"),
        (["--challenge", "--check"], "exclude each other"),
        (["--challenge", "--sandbox", "docker"], "what bubblewrap runs"),
        (["--challenge", "--only", "weather"], "there is no condition 'weather'"),
    ],
)
def test_words_that_make_no_sense(lab: Laboratory, words: list[str], message: str) -> None:
    assert message in lab.run("build", *words, code=2).err


@pytest.mark.network
def test_room_is_looked_for_before_anything_is_built(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = lab.open()

    monkeypatch.setattr(challenge, "_MARGIN", 1 << 60)
    with pytest.raises(StoreError, match="no room"):
        challenge.challenge(bench, "cpu", only=["again"])
    assert not list((lab.store / "temporary").glob("*/*"))


def report_of(*states: State) -> Report:
    condition = Condition("zone", "TZ", lambda run: run)
    return Report("cpu", "sha256:1", tuple(Result(condition, state) for state in states))


def test_the_exit_code_tells_the_worst() -> None:
    assert report_of("identical", "not possible here").exit_code == 0
    assert report_of("identical", "failed").exit_code == 6
    assert report_of("identical", "failed", "different").exit_code == 7
    assert report_of("not possible here").exit_code == 6  # nothing was proved


def test_a_report_for_people() -> None:
    report = report_of("identical", "failed", "different", "not possible here")
    told = "\n".join(lines(report))
    assert told.endswith("1 of 3 identical")
    assert "zone failed:" in told
    assert json.loads(json.dumps(report.as_json()))["of"] == 3
