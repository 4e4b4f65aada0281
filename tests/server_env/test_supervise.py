"""The life of a server under the launcher, with small real processes as the server."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hps_server.supervise import RESTART, exit_code
from tests.server_env.conftest import SERVER_ENV

# Runs one shell script as the server, ready when the file `ready` exists.
DRIVER = """
import pathlib, sys
from hps_server.supervise import Plan, Supervisor
script, load, grace, *models = sys.argv[1:]
plan = Plan(
    argv=["/bin/sh", "-c", script],
    environment={"PATH": "/usr/bin:/bin"},
    models=models,
    ready=pathlib.Path("ready").exists,
    load_timeout=float(load),
    grace=float(grace),
)
sys.exit(Supervisor(plan, lambda line: print("say:", line, flush=True)).run())
"""


class Run:
    """One supervisor in a process of its own, in an own folder."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *,
        load: float = 60,
        grace: float = 60,
        prefix: tuple[str, ...] = (),
        models: tuple[str, ...] = ("slow", "quick"),
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", DRIVER, script, str(load), str(grace), *models],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait_for(self, said: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if said in line.decode():
                return
        raise AssertionError(f"never said {said!r}")

    def end(self) -> tuple[int, str, bytes]:
        out, err = self.process.communicate()
        return self.process.returncode, out.decode(), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_server(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path, "trap 'echo bye >&2; exit 1' TERM; touch ready; while :; do sleep .1; done")
    run.wait_for("ready after")
    run.process.send_signal(number)
    code, said, log = run.end()
    assert (code, log) == (0, b"bye\n")
    assert f"{number.name}: stopping the server" in said


def test_a_signal_in_the_middle_of_a_line_stops_the_server(tmp_path: Path) -> None:
    """A launcher that writes more than the pipe holds is in the middle of write(2)."""
    script = "trap 'exit 0' TERM; touch ready; while :; do sleep .1; done"
    run = Run(tmp_path, script, models=("m" * 120_000,))
    assert run.process.stdout is not None
    begin = b""
    while b"ready after" not in begin:
        begin += os.read(run.process.stdout.fileno(), 10)
    run.process.terminate()
    code, said, log = run.end()
    assert (code, log) == (0, b"")
    assert said.endswith("m\nsay: SIGTERM: stopping the server\n")


def test_a_server_that_ignores_the_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo $! > child; touch ready; wait; sleep 600"
    run = Run(tmp_path, script, grace=0.3)
    run.wait_for("ready after")
    run.process.terminate()
    code, said, _ = run.end()  # ends only when nobody holds its stderr any more
    assert code == 137
    assert "did not end within 0.3 s, killing it" in said


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, "trap 'sleep .5; exit 0' TERM; touch ready; while :; do sleep .1; done")
    run.wait_for("ready after")
    run.process.terminate()
    run.wait_for("stopping the server")
    run.process.terminate()
    run.process.send_signal(signal.SIGINT)
    assert run.end()[:2] == (0, "")


def test_a_load_that_takes_too_long_names_what_is_missing(tmp_path: Path) -> None:
    script = 'echo "I1 x.cc:1] \\"successfully loaded \'quick\'\\"" >&2; sleep 600'
    code, said, log = Run(tmp_path, script, load=0.6).end()
    assert code == 3
    assert "not ready after 0.6 s; still loading: slow." in said
    assert b"successfully loaded 'quick'" in log


@pytest.mark.parametrize(
    ("script", "reason"),
    [("exit 1", "exit code 1"), ("kill -SEGV $$", "killed by SIGSEGV")],
)
def test_a_server_that_ends_before_it_is_ready(tmp_path: Path, script: str, reason: str) -> None:
    code, said, _ = Run(tmp_path, script).end()
    assert (code, f"before it was ready, {reason}" in said) == (4, True)


@pytest.mark.parametrize(
    ("script", "reason"), [("exit 0", "exit code 0"), ("kill -KILL $$", "killed by SIGKILL")]
)
def test_a_server_that_ends_while_serving(tmp_path: Path, script: str, reason: str) -> None:
    waits = "sleep 600 & touch ready; while [ ! -e go ]; do sleep .05; done;"
    run = Run(tmp_path, f"{waits} {script}")
    run.wait_for("ready after")
    (tmp_path / "go").touch()
    code, said, _ = run.end()  # ends only when the sleeping child is dead too
    assert (code, f"while serving, {reason}" in said) == (5, True)


@pytest.mark.parametrize("name", ["ABRT", "BUS", "FPE", "ILL", "SEGV"])
def test_a_server_that_crashes_while_serving_is_to_be_started_anew(
    tmp_path: Path, name: str
) -> None:
    run = Run(tmp_path, f"touch ready; while [ ! -e go ]; do sleep .05; done; kill -{name} $$")
    run.wait_for("ready after")
    (tmp_path / "go").touch()
    code, said, _ = run.end()
    assert (code, f"while serving, killed by SIG{name}" in said) == (RESTART, True)


def test_a_signal_between_two_runs_stops_the_next(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from hps_server.supervise import Plan, Supervisor, held\n"
        "def run(script):\n"
        "    plan = Plan(['/bin/sh', '-c', script], {}, [], lambda: True, 60, 60)\n"
        "    return Supervisor(plan, print).run()\n"
        "with held():\n"
        "    codes = [run('exec sleep .2')]\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    codes.append(run('exec sleep 600'))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(codes != [5, 0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0


def test_a_server_that_cannot_be_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER.replace("/bin/sh", "/nowhere"), "", "1", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        capture_output=True,
        check=False,
    )
    assert b"FileNotFoundError" in done.stderr


def test_the_log_passes_unchanged_whatever_it_holds(tmp_path: Path) -> None:
    log = bytes(range(256)) * 2000 + b"no newline at the end"
    (tmp_path / "log").write_bytes(log)
    code, _, got = Run(tmp_path, "cat log >&2").end()
    assert code == 4
    assert got == log


def test_a_launcher_that_is_killed_takes_the_server_with_it(tmp_path: Path) -> None:
    """Outside a PID namespace nobody else would end the server (kill -9 runs no handler)."""
    run = Run(tmp_path, "trap '' TERM HUP; echo $$ > server; touch ready; exec sleep 600")
    run.wait_for("ready after")
    server = os.pidfd_open(int((tmp_path / "server").read_text()))
    run.process.kill()
    try:
        run.process.communicate(timeout=30)  # the server holds stdout for as long as it lives
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(server, signal.SIGKILL)
        os.close(server)
    assert run.process.returncode == -signal.SIGKILL


def test_a_launcher_that_dies_before_the_server_asks_for_its_signal(tmp_path: Path) -> None:
    """prctl(2) comes too late for a parent that is dead already: the server must not start."""
    script = """
import os, signal, sys, time
from hps_server.supervise import die_with
launcher = os.getpid()
ready, told = os.pipe()
if os.fork() == 0:
    os.close(told)
    os.read(ready, 1)  # ends when the launcher's files are closed, which comes first of its death
    while os.getppid() == launcher:
        time.sleep(0.001)
    die_with(launcher)()
    print("started", flush=True)
    os._exit(0)
os.kill(launcher, signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, b"", b"")


def test_orphans_are_collected_as_pid_1_of_a_container(tmp_path: Path) -> None:
    read, write = os.pipe()
    sandbox = ["bwrap", "--unshare-pid", "--as-pid-1", "--bind", "/", "/", "--dev-bind", "/dev"]
    sandbox += ["/dev", "--proc", "/proc", "--die-with-parent", "--info-fd", str(write)]
    zombies = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l > zombies"
    script = f"(sleep .1 &); (sleep .1 &); sleep 1; {zombies}; touch ready; exec sleep 600"
    process = subprocess.Popen(
        [*sandbox, sys.executable, "-c", DRIVER, script, "60", "60"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SERVER_ENV)},
        stdout=subprocess.PIPE,
        pass_fds=[write],
    )
    os.close(write)
    with os.fdopen(read) as info, process:
        pid = json.load(info)["child-pid"]
        assert process.stdout is not None
        assert b"ready after" in process.stdout.readline()
        os.kill(pid, signal.SIGTERM)
        assert b"SIGTERM" in process.stdout.read()
    assert process.returncode == 0
    assert (tmp_path / "zombies").read_text() == "0\n"


@pytest.mark.parametrize(
    ("ready", "stopping", "killed", "code"),
    [
        (True, True, False, 0),
        (False, True, False, 0),
        (True, True, True, 137),
        (False, False, True, 3),
        (False, False, False, 4),
        (True, False, False, 5),
    ],
)
def test_exit_codes(ready: bool, stopping: bool, killed: bool, code: int) -> None:
    assert exit_code(ready=ready, stopping=stopping, killed=killed) == code
