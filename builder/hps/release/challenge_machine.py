"""What this machine can vary, found out by doing it once."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hps.derivation.emulation import is_static
from hps.release.challenge_conditions import STRANGER, Machine
from hps.release.challenge_start import NAMESPACES, USER_NAMESPACE, binary_format, code, environment
from hps.store.inherited import foreign

_CLOCK_LIBRARIES = ("usr/lib/*/faketime", "usr/lib64/faketime", "usr/local/lib/faketime")
_EMULATORS = ("qemu-x86_64-static", "qemu-x86_64")
_PATIENCE = 60.0  # seconds that one look may take


def look(folder: Path, pythons: Sequence[Path] = ()) -> Machine:
    """Find out what can be varied.

    Args:
        folder: an empty one, where the builds will be; others must be able to enter it.
        pythons: further interpreters, each with what hps needs.
    """
    modules = code(folder)
    namespaces = _namespaces()
    emulator = _emulator()
    library = _clock_library()
    return Machine(
        python=sys.executable,
        processors=frozenset(os.sched_getaffinity(0)),
        user=os.geteuid(),
        other_user=_other_user(folder, modules),
        namespaces=namespaces,
        clock=None
        if library
        else "libfaketime is not installed (apt-get install faketime), and "
        "time namespaces leave the date as it is",
        clock_library=library,
        file_order=namespaces or _file_order(folder),
        host_name=namespaces or _missing("hostname"),
        emulation=namespaces or _emulation(emulator, folder),
        emulator=emulator,
        pythons=_pythons([path.absolute() for path in pythons], modules),
    )


def _fault(line: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    """What a command says when it fails, None when it does not."""
    try:
        done = subprocess.run(
            line,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            cwd="/",
            env=foreign() if env is None else env,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{line[0]} ended with {done.returncode}"


def _missing(*programs: str) -> str | None:
    missing = [name for name in programs if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def _namespaces() -> str | None:
    missing = _missing("unshare")
    if missing:
        return missing
    for line in ([*NAMESPACES, "true"], [*USER_NAMESPACE, f"--map-user={STRANGER}", "true"]):
        fault = _fault(line)
        if fault:
            return f"no user namespaces: {fault}"
    return None


def _other_user(folder: Path, modules: Path) -> str | None:
    if os.geteuid() != 0:
        return "only root becomes another user"
    missing = _missing("setpriv")
    if missing:
        return missing
    become = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    for line in (
        [*become, "test", "-x", str(folder)],
        [*become, sys.executable, "-c", "import hps.release.challenge_child"],
    ):
        fault = _fault(line, env=environment(modules))
        if fault:
            return f"user {STRANGER} can start no build here: {fault}"
    return None


def _clock_library() -> str:
    """The libfaketime for programs with threads, else the other; "" for none."""
    found = [
        path
        for name in ("libfaketimeMT.so.1", "libfaketime.so.1")
        for pattern in _CLOCK_LIBRARIES
        for path in sorted(Path("/").glob(f"{pattern}/{name}"))
    ]
    return str(found[0]) if found else ""


def _file_order(folder: Path) -> str | None:
    missing = _missing("disorderfs")
    if missing:
        return f"{missing}; how a folder lists its files is the file system's choice without it"
    with tempfile.TemporaryDirectory(dir=folder) as name:
        for below in ("real/a", "real/b", "real/c", "view"):
            (Path(name) / below).mkdir(parents=True)
        script = (
            'disorderfs --quiet --sort-dirents=yes --reverse-dirents=yes "$1/real" "$1/view" '
            '>/dev/null; test "$(ls -U "$1/view" | tr -d "\\n")" = cba'
        )
        return _fault([*NAMESPACES, "sh", "-euc", script, "sh", name])


def _emulator() -> str:
    """The first static qemu-user in PATH; a dynamic one finds no libraries in the sandbox."""
    found = [shutil.which(name) for name in _EMULATORS]
    return next((name for name in found if name and is_static(Path(name))), "")


def _emulation(emulator: str, folder: Path) -> str | None:
    if not emulator:
        return "no static qemu-x86_64 in PATH (apt-get install qemu-user-static)"
    if os.uname().machine != "x86_64":
        return f"this processor is {os.uname().machine}, not x86_64"
    with tempfile.TemporaryDirectory(dir=folder) as name:
        script = binary_format(emulator, Path(name))
        fault = _fault([*NAMESPACES, "sh", "-euc", f"{script}\nexec true"])
        return fault and f"no emulation of one's own (Linux 6.7 and binfmt_misc): {fault}"


def _pythons(paths: Sequence[Path], modules: Path) -> dict[str, tuple[str, str | None]]:
    found: dict[str, tuple[str, str | None]] = {}
    for path in paths:
        known = environment(modules, str(path))
        program = "import hps.release.challenge_child"
        fault = _fault([str(path), "-c", program], env=known)
        name = f"python-{_version(path)}"
        found[name if name not in found else f"{name}:{path}"] = (
            str(path),
            fault and f"it cannot import hps: {fault}",
        )
    return found


def _version(path: Path) -> str:
    """What an interpreter says of itself; its path when it says nothing."""
    program = "import platform; print(platform.python_version())"
    try:
        line = [str(path), "-c", program]
        done = subprocess.run(
            line,
            env=foreign(),
            check=True,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError):
        return str(path)
    return done.stdout.strip()
