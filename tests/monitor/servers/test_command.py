"""Commands as a model server: the contract with a script for a server, and hostile commands."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hps.config.monitor import ExecServer
from hps.monitor.server import Fault, Generation, Server, ServerError
from hps.monitor.servers.command import CommandServer, environment, filled, run
from tests.monitor.servers.contract import ServerContract, sealed

# A server of one link: what it leads to answers.
SCRIPT = """
import os, sys
step, place, folder, number = sys.argv[1:]
live, loaded = os.path.join(place, "live"), os.path.join(place, "loaded-" + number)
if step == "load":
    open(loaded, "w").close()
elif step == "activate":
    if os.path.lexists(live + ".new"):
        os.unlink(live + ".new")
    os.symlink(folder, live + ".new")
    os.replace(live + ".new", live)
elif os.path.exists(loaded):
    os.unlink(loaded)
"""


class ScriptHost:
    beside = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "server").mkdir()
        (folder / "script.py").write_text(SCRIPT)

    def server(self) -> Server:
        script = str(self.folder / "script.py")
        place = str(self.folder / "server")
        argv = {
            step: (sys.executable, script, step, place, "{folder}", "{number}")
            for step in ("load", "activate", "withdraw")
        }
        settings = ExecServer(type="exec", deadline=30, **argv)
        return CommandServer(settings, "m", self.folder / "notes")

    def answering(self) -> int | None:
        live = self.folder / "server" / "live"
        return int((live / "number").read_text()) if live.exists() else None

    def generation(self, number: int) -> Generation:
        return sealed(self.folder / "state", number, {"number": str(number).encode()})

    def start_anew(self) -> None:
        """It is a link."""


class TestCommand(ServerContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> ScriptHost:
        return ScriptHost(tmp_path)


def made(tmp_path: Path, code: str, deadline: float = 30, **steps: str) -> CommandServer:
    argv = {name: (sys.executable, "-c", text) for name, text in steps.items()}
    settings = ExecServer(
        type="exec", deadline=deadline, activate=(sys.executable, "-c", code), **argv
    )
    return CommandServer(settings, "m", tmp_path / "notes")


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    return sealed(tmp_path / "state", 3, {"file": b"data"})


def failure(server: CommandServer, generation: Generation) -> ServerError:
    with pytest.raises(ServerError) as caught:
        server.activate(generation, None)
    assert list(server.live()) == []
    return caught.value


def test_fields_are_filled_once_and_other_braces_stay() -> None:
    values = {"folder": "/a/{number}", "number": "7", "model": "m"}
    assert filled("{folder}:{number}{number}-{model}", values) == "/a/{number}:77-m"
    assert filled("{other} {} {{number}} ${HOME}", values) == "{other} {} {7} ${HOME}"


def test_no_shell_ever(tmp_path: Path) -> None:
    settings = ExecServer(
        type="exec",
        activate=(sys.executable, "-c", "import sys; print(sys.argv[1])", "$(id);{model}"),
    )
    server = CommandServer(settings, "m; touch x", tmp_path)
    server.activate(sealed(tmp_path / "state", 1, {"f": b""}), None)
    assert not Path("x").exists()


def test_the_environment_has_no_secrets() -> None:
    given = {"PATH": "/bin", "LC_ALL": "C", "TOKEN": "s", "AWS_SECRET_ACCESS_KEY": "s", "HOME": "/"}
    seen = environment(given, {"number": "3", "folder": "/f", "model": "m"})
    assert seen == {
        "PATH": "/bin", "LC_ALL": "C", "HOME": "/",
        "HPS_NUMBER": "3", "HPS_FOLDER": "/f", "HPS_MODEL": "m",
    }  # fmt: skip


def test_a_command_sees_that_environment_and_no_input(
    tmp_path: Path, generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_MONITOR", "s")
    out = tmp_path / "seen"
    code = f"import json, os, sys; json.dump([dict(os.environ), sys.stdin.read()], open({str(out)!r}, 'w'))"
    made(tmp_path, code).activate(generation, None)
    seen, stdin = json.loads(out.read_text())
    assert "SECRET_OF_THE_MONITOR" not in seen
    assert (seen["HPS_NUMBER"], seen["HPS_FOLDER"], stdin) == ("3", str(generation.folder), "")


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import sys; print('no disk'); sys.exit(1)", Fault.REFUSED),
        ("import sys; print('no disk'); sys.exit(75)", Fault.UNREACHABLE),
        ("import os; print('no disk', flush=True); os.kill(os.getpid(), 9)", Fault.UNKNOWN),
    ],
)
def test_how_a_command_ends(
    tmp_path: Path, generation: Generation, code: str, fault: Fault
) -> None:
    error = failure(made(tmp_path, code), generation)
    assert error.fault is fault
    assert error.got == "no disk"


def test_a_program_that_is_not_there(tmp_path: Path, generation: Generation) -> None:
    settings = ExecServer(type="exec", activate=(str(tmp_path / "missing"),))
    error = failure(CommandServer(settings, "m", tmp_path), generation)
    assert error.fault is Fault.UNREACHABLE


def test_only_the_end_of_much_output_is_kept_and_made_printable() -> None:
    code = (
        "import sys; sys.stdout.buffer.write(b'x' * 3_000_000 + b'\\x1b[31m' + b'end'); sys.exit(1)"
    )
    ended = run([sys.executable, "-c", code], {}, 60)
    assert (ended.code, len(ended.output), ended.output[-3:]) == (1, 64 << 10, b"end")


def test_terminal_sequences_do_not_reach_the_error(tmp_path: Path, generation: Generation) -> None:
    error = failure(made(tmp_path, "print('\\x1b[2J\\u202egone'); raise SystemExit(1)"), generation)
    assert error.got == "[2Jgone"


def test_at_the_deadline_the_whole_group_ends(tmp_path: Path, generation: Generation) -> None:
    note = tmp_path / "child"
    code = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        f"if child: open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child}}')\n"
        "print('at work', flush=True)\n"
        "time.sleep(600)\n"
    )
    error = failure(made(tmp_path, code, deadline=2), generation)
    assert error.fault is Fault.UNKNOWN
    assert "at work" in str(error.got)
    for process in map(int, note.read_text().split()):
        assert is_gone(process)


def is_gone(process: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_a_command_leaves_running_is_left_alone(
    tmp_path: Path, generation: Generation
) -> None:
    note = tmp_path / "child"
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
    )
    server = made(tmp_path, code)
    server.activate(generation, None)
    child = int(note.read_text())
    try:
        assert not is_running_no_more(child)
    finally:
        os.kill(child, signal.SIGKILL)
    assert list(server.live()) == [3]


def is_running_no_more(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


def test_a_failed_activation_leaves_the_note_of_the_old_one(
    tmp_path: Path, generation: Generation
) -> None:
    made(tmp_path, "pass").activate(generation, None)
    four = sealed(tmp_path / "state", 4, {"file": b"data"})
    server = made(tmp_path, "raise SystemExit(1)")
    with pytest.raises(ServerError):
        server.activate(four, generation)
    assert list(server.live()) == [3]


def test_a_damaged_note_names_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    for text in (b"", b"x", b"-1", "٣".encode(), b"\xff\n"):
        (tmp_path / "notes" / "exec-live").write_bytes(text)
        assert list(made(tmp_path, "pass").live()) == []
