"""Programs for another processor: qemu-user runs them, inside the sandbox like all others.

A command whose program is for another machine gets a static qemu-user in front of it. What that
starts by itself needs the kernel's help (binfmt_misc): bubblewrap gives it a register of its own,
where Linux has that for user namespaces (6.7); Docker has what its machine has. Programs of hps
that start others need neither: they are told of the emulator by a variable.
"""

import os
import shlex
import shutil
import struct
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hps.derivation.sandbox import Command
from hps.errors import SandboxError

VARIABLE = "HPS_EMULATOR"  # what a program of hps puts before the programs that it starts
_INSIDE = "/in/emulator"
_FORMATS = "/proc/sys/fs/binfmt_misc"
_LINKS = 40  # as Linux follows (path_resolution(7))
_ELF_INTERPRETER = 3  # program header type PT_INTERP: linked dynamically
_MASK = b"\xff" * 7 + bytes(1) + b"\xff" * 8 + b"\xfe\xff" + b"\xff" * 2  # any ABI; ET_EXEC, ET_DYN


@dataclass(frozen=True, slots=True)
class Processor:
    """A kind of machine.

    Args:
        name: as uname(2) has it.
        platform: as images have it (OCI image-spec, image-index.md).
        number: e_machine of its programs (ELF-64, "ELF header").
        model: the oldest that Debian's packages run on, for qemu. What is computed is the same on
            all; newer ones have pointer authentication, which takes half of the time to emulate.
    """

    name: str
    platform: str
    number: int
    model: str

    @property
    def emulators(self) -> tuple[str, str]:
        """Names of programs that run its programs elsewhere, the better one first."""
        return (f"qemu-{self.name}-static", f"qemu-{self.name}")

    @property
    def magic(self) -> bytes:
        """How a program for it begins: 64 bits, little-endian, ET_EXEC."""
        return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, self.number)


PROCESSORS = (
    Processor("x86_64", "linux/amd64", 62, "qemu64"),
    Processor("aarch64", "linux/arm64", 183, "cortex-a53"),
)


def host_platform() -> str:
    """What images for this machine are called; linux/NAME for a machine that is not known."""
    name = os.uname().machine
    return next((one.platform for one in PROCESSORS if one.name == name), f"linux/{name}")


def foreign(command: Command, host: str | None = None) -> Processor | None:
    """The processor that a command's program is for, if it is not this machine's.

    Args:
        command: its program may be a link inside its root.
        host: name of this machine, as uname(2) has it.
    """
    program = _resolved(command)
    if program is None:
        return None
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None  # whoever starts it says what is wrong
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 20:  # noqa: PLR2004 - to e_machine
        return None
    (number,) = struct.unpack_from("<H", head, 18)
    found = next((one for one in PROCESSORS if one.number == number), None)
    return None if found is None or found.name == (host or os.uname().machine) else found


def processor_of(platform: str) -> Processor | None:
    """The processor of a platform, if it is known and not this machine's."""
    found = next((one for one in PROCESSORS if platform.startswith(one.platform)), None)
    return None if found is None or found.name == os.uname().machine else found


def is_registered(processor: Processor) -> bool:
    """Whether this machine's kernel starts its programs by itself, in containers too.

    Debian's packages give their rules the names of emulators (binfmt_misc, "flags": F is for an
    emulator that need not be seen inside).
    """
    try:
        rule = Path(_FORMATS, processor.emulators[1]).read_text()
    except OSError:
        return False
    flags = next((one for one in rule.splitlines() if one.startswith("flags:")), "")
    return rule.startswith("enabled") and "F" in flags.removeprefix("flags:")


def find_emulator(processor: Processor) -> Path:
    """A static emulator of this machine; a dynamic one finds no libraries in the sandbox.

    Raises:
        SandboxError: there is none; with the way to install it.
    """
    for name in processor.emulators:
        found = shutil.which(name)
        if found is not None and is_static(Path(found)):
            return Path(found).resolve()
    raise SandboxError(
        f"this machine cannot run programs for {processor.platform}",
        expected=f"a static {processor.emulators[0]} in PATH, or such a machine",
        got=os.uname().machine,
        hint="apt-get install qemu-user-static",
    )


def emulated(command: Command) -> Command:
    """The same command, with an emulator in front where this machine needs one.

    Raises:
        SandboxError: it needs one, and there is none.
    """
    processor = foreign(command)
    if processor is None:
        return command
    told = {VARIABLE: _INSIDE, "QEMU_CPU": processor.model}
    return replace(
        command,
        argv=[_INSIDE, *command.argv],
        inputs={**command.inputs, _INSIDE: find_emulator(processor)},
        environment={**command.environment, **told},
    )


def with_formats(line: list[str], processor: Processor, emulator: Path) -> list[str]:
    """A command line whose processes may start programs for another processor.

    They run in a user namespace with a register of binary formats of its own. A kernel that has
    none for namespaces (before 6.7) refuses to mount it, and the line runs without.

    Args:
        line: what is run, by a process that may make user namespaces.
        processor: of those programs.
        emulator: runs them; the kernel opens it now, so that it need not be seen inside.
    """
    unshare = shutil.which("unshare")
    if unshare is None or ":" in str(emulator):
        return line
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in one) for one in (processor.magic, _MASK))
    rule = f":hps-{processor.name}:M::{magic}:{mask}:{emulator}:FP"
    script = (
        f"mount -t binfmt_misc binfmt_misc {_FORMATS} 2>/dev/null && "
        f"printf %s {shlex.quote(rule)} 2>/dev/null >{_FORMATS}/register || :\n"
        'exec "$@"'
    )
    path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
    shell = ["/usr/bin/env", path, "/bin/sh", "-c", script, "sh"]
    return [unshare, "--user", "--map-root-user", "--mount", "--", *shell, *line]


def is_static(path: Path) -> bool:
    """Whether an ELF file for 64 bits names no interpreter (ELF-64, "Program header table")."""
    with path.open("rb") as file:
        data = file.read(1 << 16)
    start = int.from_bytes(data[32:40], "little")
    size = int.from_bytes(data[54:56], "little")
    headers = [data[start + n * size :][:4] for n in range(int.from_bytes(data[56:58], "little"))]
    return data[:5] == b"\x7fELF\x02" and _ELF_INTERPRETER.to_bytes(4, "little") not in headers


def _resolved(command: Command) -> Path | None:
    """The file of a command's program outside the sandbox; links lead where they do inside."""
    path = PurePosixPath(command.argv[0])
    for _ in range(_LINKS):
        outside = _outside(command, PurePosixPath("/"))
        inside = PurePosixPath("/")
        for number, part in enumerate(path.parts[1:], 2):
            inside = inside.parent if part == ".." else inside / part
            outside = _outside(command, inside)
            if outside.is_symlink():
                target = inside.parent / outside.readlink()
                path = target.joinpath(*path.parts[number:])
                break
        else:
            return outside
    return None


def _outside(command: Command, path: PurePosixPath) -> Path:
    for inside, shown in command.inputs.items():
        if path.is_relative_to(inside):
            return shown / path.relative_to(inside)
    return command.root / path.relative_to("/")
