"""How the build of a run is started: the command line, its environment, what it has to find."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import hps
from hps.release.challenge_conditions import OLDER_PROCESSOR, Run

# When the first process ends the kernel ends all others, and what they mounted is gone.
NAMESPACES = (
    *("unshare", "--user", "--map-root-user", "--mount", "--uts"),
    *("--pid", "--fork", "--kill-child", "--mount-proc", "--"),
)
USER_NAMESPACE = ("unshare", "--user")
EMULATION = {"QEMU_CPU": OLDER_PROCESSOR}  # the sandbox passes nothing on
CLOCK_INSIDE = "/in/clock.so"
_ELF_PADDING = 15  # last byte of e_ident, which nobody reads (ELF-64, "ELF identification")
_MAGIC = b"\x7fELF\x02\x01" + bytes(12) + b"\x3e\x00"  # 64 bits, little-endian, EM_X86_64
_MASK = b"\xff" * 6 + bytes(9) + b"\xff" + bytes(2) + b"\xff\xff"


def code(folder: Path) -> Path:
    """A folder with a copy of this hps and no other package: another Python brings its own.

    A copy stays what it is when somebody edits hps meanwhile, and everybody may read it.
    """
    modules = folder / "code"
    if not modules.exists():
        shutil.copytree(
            Path(hps.__file__).parent,
            modules / "hps",
            ignore=shutil.ignore_patterns("__pycache__"),
            copy_function=shutil.copyfile,
        )
    return modules


def environment(modules: Path, python: str = sys.executable) -> dict[str, str]:
    """The parent's environment, in which an interpreter finds this hps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HPS_")}
    others = kept.pop("PYTHONPATH", "") if python == sys.executable else ""
    path = os.pathsep.join(filter(None, [str(modules), others]))
    return kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def command(run: Run, folder: Path, order: str) -> list[str]:
    """The whole command line of a run.

    Args:
        run: what is varied.
        folder: of the run; holds `run.work`.
        order: for `challenge_child`.
    """
    line: list[str] = []
    if run.in_namespaces:
        line += [*NAMESPACES, "sh", "-euc", _script(run, folder), "sh"]
    if run.user is not None:
        user = str(run.user)
        line += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    if run.mapped_user is not None:
        line += [*USER_NAMESPACE, f"--map-user={run.mapped_user}", f"--map-group={run.mapped_user}"]
    if run.clock:
        line += ["env", *(f"{name}={value}" for name, value in clock(run).items())]
    return [*line, run.python, "-m", "hps.release.challenge_child", order]


def clock(run: Run, library: str = "") -> dict[str, str]:
    """Variables that change the clock of a program, and the times of files (libfaketime)."""
    return {"LD_PRELOAD": library or run.clock_library, "FAKETIME": run.clock}


def seen(run: Run, folder: Path) -> Path:
    """Where the child sees the folder of project, store and layout."""
    return folder / "view" if run.reversed_files else folder / run.work


def _script(run: Run, folder: Path) -> str:
    """What is done as root of the new namespaces before the build is started."""
    lines = []
    if run.host_name:
        lines.append(f"hostname {shlex.quote(run.host_name)}")
    if run.reversed_files:
        real, view = shlex.quote(str(folder / run.work)), shlex.quote(str(folder / "view"))
        lines.append(f"mkdir -p {view}")
        lines.append(
            f"disorderfs --quiet --sort-dirents=yes --reverse-dirents=yes {real} {view} >/dev/null"
        )
    if run.emulator:
        lines.append(binary_format(run.emulator, folder))
    return "\n".join([*lines, 'exec "$@"'])


def binary_format(emulator: str, folder: Path) -> str:
    """Make every program of a user namespace run emulated; gives the script that does it.

    A user namespace has binary formats of its own (Linux 6.7 and newer). The emulator and
    bubblewrap, whose system calls it does not know, are copied, and marked in a byte that nobody
    reads, so that this format does not match them.
    """
    tools = folder / "tools"
    tools.mkdir()
    for name, source in (("qemu", emulator), ("bwrap", shutil.which("bwrap"))):
        if source is not None:
            data = bytearray(Path(source).read_bytes())
            data[_ELF_PADDING] = 1
            (tools / name).write_bytes(data)
            (tools / name).chmod(0o755)
    (tools / "formats").mkdir()
    magic, mask = ("".join(f"\\x{byte:02x}" for byte in one) for one in (_MAGIC, _MASK))
    (tools / "rule").write_text(f":challenge:M::{magic}:{mask}:{tools / 'qemu'}:FP")
    formats = shlex.quote(str(tools / "formats"))
    return "\n".join(
        (
            f"mount -t binfmt_misc binfmt_misc {formats}",
            f"cat {shlex.quote(str(tools / 'rule'))} >{formats}/register",
            f"export QEMU_CPU={OLDER_PROCESSOR} PATH={shlex.quote(str(tools))}:$PATH",
        )
    )
