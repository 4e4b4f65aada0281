"""Programs for another processor, as real ones: which they are, and that they run."""

import os
import platform
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.emulation import (
    PROCESSORS,
    VARIABLE,
    emulated,
    find_emulator,
    foreign,
    host_platform,
    is_static,
)
from hps.derivation.sandbox import Command
from hps.errors import SandboxError
from tests.derivation.foreign_programs import elf, never_ends, says, starts

ARM = next(one for one in PROCESSORS if one.name == "aarch64")
HERE = os.uname().machine == "x86_64" and shutil.which("qemu-aarch64-static") is not None
runs_arm = pytest.mark.skipif(
    not HERE, reason="needs an x86_64 and the Debian package qemu-user-static"
)
KERNEL = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])

Make = Callable[..., Command]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A command in a root that holds the programs that are given by path."""

    def command(programs: dict[str, bytes], *argv: str, **fields: object) -> Command:
        root = tmp_path / "root"
        (tmp_path / "out").mkdir()
        root.mkdir()
        for path, data in programs.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            (root / path).chmod(0o755)
        return Command(argv=argv, root=root, output=tmp_path / "out", **fields)  # type: ignore[arg-type]

    return command


@runs_arm
def test_a_program_for_arm64_runs(make: Make) -> None:
    command = make({"usr/bin/hello": says("hello from arm64\n")}, "/usr/bin/hello")
    assert Bubblewrap().run(command) == "hello from arm64\n"


@runs_arm
def test_its_exit_code_is_told(make: Make) -> None:
    command = make({"usr/bin/hello": says("the reason\n", code=7)}, "/usr/bin/hello")
    with pytest.raises(SandboxError, match="exit code 7") as caught:
        Bubblewrap().run(command)
    assert caught.value.details == ("the reason",)


@runs_arm
@pytest.mark.skipif(KERNEL < (6, 7), reason="binary formats of a user namespace: Linux 6.7")
def test_it_may_start_another_one(make: Make) -> None:
    programs = {"usr/bin/first": starts("/usr/bin/second"), "usr/bin/second": says("second\n")}
    assert Bubblewrap().run(make(programs, "/usr/bin/first")) == "second\n"


@runs_arm
def test_one_that_does_not_end_is_killed(make: Make) -> None:
    command = make({"usr/bin/endless": never_ends()}, "/usr/bin/endless", timeout=1.0)
    with pytest.raises(SandboxError, match="did not end within 1 s"):
        Bubblewrap().run(command)
    assert not _processes(b"/usr/bin/endless")


@runs_arm
def test_closing_kills_it(make: Make) -> None:
    command = make({"usr/bin/endless": never_ends()}, "/usr/bin/endless")
    sandbox = Bubblewrap()
    failed: list[SandboxError] = []

    def run() -> None:
        try:
            sandbox.run(command)
        except SandboxError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not _processes(b"/usr/bin/endless"):
        assert thread.is_alive()
    sandbox.close()
    thread.join(60)
    assert [error.got for error in failed] == ["signal SIGKILL"]
    assert not _processes(b"/usr/bin/endless")


@pytest.mark.parametrize(
    "argv0",
    ["/usr/bin/tool", "/bin/tool", "/bin/absolute", "/usr/bin/../lib/../bin/tool", "/in/given"],
)
def test_the_processor_is_read_from_the_program(make: Make, tmp_path: Path, argv0: str) -> None:
    (tmp_path / "given").write_bytes(says(""))
    command = make(
        {"usr/bin/tool": says(""), "usr/lib/x": b""},
        argv0,
        inputs={"/in/given": tmp_path / "given"},
    )
    (command.root / "bin").symlink_to("usr/bin")
    (command.root / "usr/bin/absolute").symlink_to("/bin/tool")
    assert foreign(command, host="x86_64") == ARM
    assert foreign(command, host="aarch64") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        says("")[:19],
        b"\x7fELF\x02\x02" + says("")[6:],  # big-endian
        says("")[:18] + b"\xf3\x00" + says("")[20:],  # RISC-V
    ],
)
def test_what_is_no_program_for_a_known_processor_is_left_alone(make: Make, data: bytes) -> None:
    command = make({"tool": data}, "/tool")
    assert foreign(command, host="x86_64") is None


def test_a_missing_program_and_links_in_a_circle_are_left_to_whoever_starts_them(
    make: Make,
) -> None:
    command = make({}, "/a")
    assert foreign(command) is None
    (command.root / "a").symlink_to("b")
    (command.root / "b").symlink_to("/a")
    assert foreign(command) is None
    assert emulated(command) is command


def test_links_do_not_lead_out_of_the_root(make: Make) -> None:
    """/outside is a program for arm64 here, and nothing at all in there."""
    command = make({}, "/tool")
    outside = command.root.parent / "outside"
    outside.write_bytes(says(""))
    (command.root / "tool").symlink_to("../../../../../../.." + str(outside))
    assert foreign(command, host="x86_64") is None


@runs_arm
def test_a_foreign_program_is_told_of_its_emulator_and_no_other(make: Make) -> None:
    command = make(
        {"arm": says(""), "own": Path("/bin/true").read_bytes()}, "/arm", environment={"A": "1"}
    )
    changed = emulated(command)
    assert changed.argv == ["/in/emulator", "/arm"]
    assert changed.environment == {
        "A": "1",
        VARIABLE: "/in/emulator",
        "QEMU_CPU": "cortex-a53",
    }
    assert changed.inputs == {"/in/emulator": find_emulator(ARM)}
    own = Command(argv=["/own"], root=command.root, output=command.output)
    assert emulated(own) is own


def test_without_an_emulator_the_error_says_what_to_install(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    dynamic = tmp_path / "qemu-aarch64-static"
    dynamic.write_bytes(Path("/bin/true").read_bytes())  # named so, and not static
    dynamic.chmod(0o755)
    with pytest.raises(SandboxError, match="cannot run programs for linux/arm64") as caught:
        find_emulator(ARM)
    assert caught.value.hint == "apt-get install qemu-user-static"


def test_static_programs_are_told_from_dynamic_ones(tmp_path: Path) -> None:
    (tmp_path / "static").write_bytes(elf([], b""))
    assert is_static(tmp_path / "static")
    assert not is_static(Path("/bin/true"))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="says what this machine is")
def test_this_machine_has_a_platform() -> None:
    assert host_platform() == "linux/amd64"


def _processes(argument: bytes) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument in words and b"/in/emulator" in words[:1]:
            found.append(folder.name)
    return found
