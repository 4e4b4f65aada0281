"""What a machine can vary is found out by doing it; what is varied arrives where it should."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Command
from hps.errors import SandboxError
from hps.release.challenge_conditions import Machine, Run
from hps.release.challenge_machine import look
from hps.release.challenge_sandbox import VariedSandbox
from hps.release.challenge_start import clock, code, command, environment

HOST = Path("/")
YEAR = 365 * 86400
PYTHON = shutil.which("python3", path="/usr/bin") or ""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    broken = folder / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    place = folder / "place"
    place.mkdir()
    found = look(place, [Path(sys.executable), broken])
    assert {path.name for path in place.iterdir()} == {"code"}  # the looks leave nothing
    return found


def test_what_is_not_possible_has_a_reason(machine: Machine) -> None:
    for reason in (machine.namespaces, machine.clock, machine.file_order, machine.emulation):
        assert reason is None or len(reason) > 10
    assert machine.processors == frozenset(os.sched_getaffinity(0))
    assert (machine.clock is None) == bool(machine.clock_library)


def test_an_interpreter_without_what_hps_needs_is_told(machine: Machine) -> None:
    (own, broken) = machine.pythons.items()
    assert own[0].startswith("python-3.")
    assert own[1] == (sys.executable, None)
    assert broken[0].endswith("/broken")
    assert broken[1][1] is not None
    assert "ended with 3" in broken[1][1]


def test_nothing_can_be_done_without_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look(tmp_path)
    assert found.namespaces == "not installed: unshare"
    assert found.file_order == found.host_name == found.emulation == found.namespaces
    assert found.other_user is not None


def test_the_clock_of_the_sandbox_is_changed_or_the_build_refused(
    tmp_path: Path, machine: Machine
) -> None:
    if machine.clock or not PYTHON:
        pytest.skip(machine.clock or "needs a Python of the system")
    program = "import time; open('/out/year', 'w').write(str(time.gmtime().tm_year))"
    line = Command([PYTHON, "-I", "-c", program], HOST, tmp_path, environment={"LC_ALL": "C"})
    run = Run(sys.executable, clock="+18y", clock_library=machine.clock_library)
    files = {"/in/clock.so": Path(machine.clock_library)}
    expected = time.time() + 18 * YEAR
    changed = VariedSandbox(Bubblewrap(), files, clock(run, "/in/clock.so"), expected)
    changed.run(line)
    assert (tmp_path / "year").read_text() == str(time.gmtime(expected).tm_year)
    unchanged = VariedSandbox(Bubblewrap(), {}, clock(run, "/in/nothing.so"), expected)
    with pytest.raises(SandboxError, match="could not be changed"):
        unchanged.run(line)
    changed.close()
    with pytest.raises(SandboxError, match="interrupted"):
        changed.run(line)


def test_hps_itself_sees_what_is_varied(tmp_path: Path, machine: Machine) -> None:
    """The command line of a run, with another program in the place of the build."""
    if machine.namespaces or machine.clock or machine.file_order:
        pytest.skip(str(machine.namespaces or machine.clock or machine.file_order))
    (tmp_path / "work").mkdir()
    for name in "abc":
        (tmp_path / "work" / name).touch()
    run = Run(
        sys.executable,
        mapped_user=1234,
        host_name="challenge.example",
        reversed_files=True,
        clock="-17y",
        clock_library=machine.clock_library,
    )
    program = (
        "import os, socket, sys, time; print(os.getuid(), socket.gethostname(), "
        "''.join(os.listdir(sys.argv[1])), time.time())"
    )
    line = command(run, tmp_path, "")
    line = [*line[: line.index("-m")], "-c", program, str(tmp_path / "view")]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    user, host, files, now = done.stdout.split()
    assert (user, host, files) == ("1234", "challenge.example", "cba")
    assert abs(float(now) - time.time() + 17 * YEAR) < 86400
    assert not os.path.ismount(tmp_path / "view")
    assert socket_name() != "challenge.example"


def socket_name() -> str:
    return os.uname().nodename


def test_an_older_processor_is_what_programs_see(tmp_path: Path, machine: Machine) -> None:
    if machine.emulation:
        pytest.skip(machine.emulation)
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    program = 'int main(void) { return __builtin_cpu_supports("avx") ? 1 : 0; }'
    (tmp_path / "avx.c").write_text(program)
    subprocess.run(["gcc", "-o", "avx", "avx.c"], cwd=tmp_path, check=True)
    line = command(Run("python3", emulator=machine.emulator), tmp_path, "")
    native = line[: line.index("python3")]
    assert subprocess.run([*native, "./avx"], cwd=tmp_path, check=False).returncode == 0


def test_the_code_of_a_challenge_is_a_copy_of_this_hps_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = code(tmp_path)
    assert [path.name for path in modules.iterdir()] == ["hps"]
    assert not list(modules.rglob("__pycache__"))
    monkeypatch.setenv("HPS_STORE", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert "HPS_STORE" not in environment(modules)
    assert environment(modules)["PYTHONPATH"] == f"{modules}{os.pathsep}/mine"
    assert environment(modules, "/usr/bin/other")["PYTHONPATH"] == str(modules)
