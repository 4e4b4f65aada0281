"""The sandbox: what it shows, what it hides, how it fails. Every sandbox passes these."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.derivation.bubblewrap import Bubblewrap, root_arguments
from hps.derivation.sandbox import Command
from hps.errors import SandboxError

HOST = Path("/")


def shell(output: Path, script: str, **more: object) -> str:
    command = Command(
        argv=["/bin/sh", "-c", script],
        root=HOST,
        output=output,
        environment={"PATH": "/usr/bin:/bin"},
        **more,  # type: ignore[arg-type]
    )
    return Bubblewrap().run(command)


def test_what_is_written_to_out_stays(tmp_path: Path) -> None:
    shell(tmp_path, "echo made > /out/file")
    assert (tmp_path / "file").read_text() == "made\n"


def test_inputs_are_read_only(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_text("as it was")
    out = tmp_path / "out"
    out.mkdir()
    said = shell(
        out, "cat /in/given; echo x > /in/given || echo refused", inputs={"/in/given": given}
    )
    assert "as it was" in said
    assert "refused" in said
    assert given.read_text() == "as it was"


def test_the_root_is_read_only(tmp_path: Path) -> None:
    assert "refused" in shell(tmp_path, "touch /usr/x /etc/x 2>/dev/null || echo refused")


def test_nothing_of_the_environment_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "42")
    names = {line.partition("=")[0] for line in shell(tmp_path, "env").splitlines()}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


def test_there_is_no_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = shell(
            tmp_path,
            f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2)' "
            "2>&1 | tail -1; grep -c : /proc/net/dev",
        )
    assert "Error" in said
    assert said.split()[-1] == "1"  # loopback alone


def test_a_failure_tells_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        shell(tmp_path, "echo first; echo the reason >&2; exit 7")
    assert "exit code 7" in str(caught.value)
    assert "the reason" in caught.value.details


def test_output_without_end_does_not_fill_memory(tmp_path: Path) -> None:
    said = shell(tmp_path, "head -c 50000000 /dev/zero | tr '\\0' x; echo end")
    assert len(said) <= 1 << 16
    assert said.endswith("end\n")


def test_what_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "(while :; do date +%N > /out/alive; sleep 0.05; done) & sleep 60"
    with pytest.raises(SandboxError, match="did not end within 1 s"):
        shell(tmp_path, script, timeout=1.0)
    time.sleep(0.2)
    before = (tmp_path / "alive").read_text()
    time.sleep(0.3)
    assert (tmp_path / "alive").read_text() == before


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(SandboxError):
        Bubblewrap().run(Command(argv=["/nowhere/program"], root=HOST, output=tmp_path))


def test_a_closed_sandbox_starts_nothing(tmp_path: Path) -> None:
    sandbox = Bubblewrap()
    sandbox.close()
    with pytest.raises(SandboxError, match="interrupted"):
        sandbox.run(Command(argv=["/bin/true"], root=HOST, output=tmp_path))


def test_without_bwrap_the_way_to_get_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="not installed") as caught:
        shell(tmp_path, "true")
    assert "apt-get install bubblewrap" in str(caught.value)


def test_one_that_is_closed_while_it_starts_does_not_wait_for_ever(tmp_path: Path) -> None:
    """bwrap's child waits for bwrap before it asks to die with it."""
    command = Command(argv=["/bin/sleep", "50"], root=HOST, output=tmp_path)
    for number in range(40):
        sandbox = Bubblewrap()

        def run(sandbox: Bubblewrap = sandbox) -> None:
            with contextlib.suppress(SandboxError):
                sandbox.run(command)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        time.sleep(number * 0.0004)
        sandbox.close()
        thread.join(20)
        assert not thread.is_alive(), f"closed after {number * 0.4} ms"
    assert str(tmp_path) not in "".join(_command_lines())


def _command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_text(errors="replace")


def test_a_folder_that_lacks_a_mount_point_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "opt" / "hps" / "server").mkdir(parents=True)
    (tmp_path / "opt" / "tool").touch()
    (tmp_path / "usr" / "lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    plain = root_arguments(tmp_path)
    whole = ["--ro-bind", f"{tmp_path}/opt", "/opt"]
    assert plain == [
        *("--symlink", "usr/lib", "/lib"),
        *whole,
        *("--ro-bind", f"{tmp_path}/usr", "/usr"),
    ]
    for there in ("/opt/hps/server", "/opt/tool", "/models", "/lib/models"):
        assert root_arguments(tmp_path, [there]) == plain
    points = ["/opt/hps/weights/a", "/opt/hps/weights/b"]
    assert root_arguments(tmp_path, points) == [
        *("--symlink", "usr/lib", "/lib"),
        *("--dir", "/opt"),
        *("--dir", "/opt/hps"),
        *("--ro-bind", f"{tmp_path}/opt/hps/server", "/opt/hps/server"),
        *("--ro-bind", f"{tmp_path}/opt/tool", "/opt/tool"),
        *("--ro-bind", f"{tmp_path}/usr", "/usr"),
    ]
