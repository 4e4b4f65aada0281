"""An sdist becomes a wheel: in the sandbox, with locked build dependencies, always the same bytes.

The build backend runs inside (`sdist_program.py`); the wheel that it leaves is packed again here,
so that its digest is a function of its content and not of time, order, or the zlib of a machine.
"""

import base64
import csv
import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from hps.derivation.sandbox import Command, Sandbox
from hps.errors import BuildError, UnsafeArchiveError
from hps.lock.sdist import BuildSystem

Hook = Literal["get_requires_for_build_wheel", "build_wheel"]

_PROGRAM = Path(__file__).with_name("sdist_program.py")
_ZIP_EPOCH = 315532800  # 1980-01-01, the first day that a zip can write down
_DATE = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class SdistBuild:
    """All that a wheel is made from.

    Args:
        file: file name of the sdist.
        sdist: where its bytes are.
        system: what its pyproject.toml says (`hps.lock.sdist.read_build_system`).
        wheels: the locked build dependencies, file name to bytes.
        root: an unpacked root file system with the target's Python and, for extensions, a
            compiler.
        interpreter: absolute path of the target's Python in the root.
        epoch: SOURCE_DATE_EPOCH of the lock, seconds since 1970.
    """

    file: str
    sdist: Path
    system: BuildSystem
    root: Path
    wheels: Mapping[str, Path] = field(default_factory=dict)
    interpreter: str = "/usr/bin/python3.11"
    epoch: int = 0


def sdist_command(build: SdistBuild, hook: Hook, output: Path) -> Command:
    """The sandbox run that calls one hook of the build backend and writes to `output`.

    Debug information is switched off: it holds paths, some backends build in folders with random
    names, and an image has no use for it.
    """
    request = {
        "hook": hook,
        "sdist": f"/in/sdist/{build.file}",
        "wheels": "/in/wheels",
        "backend": build.system.backend,
        "backend_path": list(build.system.backend_path),
    }
    inputs = {"/in/sdist_program.py": _PROGRAM, f"/in/sdist/{build.file}": build.sdist}
    inputs |= {f"/in/wheels/{name}": path for name, path in build.wheels.items()}
    return Command(
        argv=[build.interpreter, "-I", "/in/sdist_program.py", json.dumps(request)],
        root=build.root,
        output=output,
        inputs=inputs,
        environment={
            "CFLAGS": "-g0",
            "CXXFLAGS": "-g0",
            "HOME": "/tmp",  # noqa: S108 - a tmpfs of the sandbox
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "SOURCE_DATE_EPOCH": str(max(build.epoch, _ZIP_EPOCH)),
            "TZ": "UTC",
        },
    )


def ask_requirements(sandbox: Sandbox, build: SdistBuild) -> tuple[str, ...]:
    """What the backend needs beyond `[build-system] requires` (get_requires_for_build_wheel).

    Raises:
        SandboxError: the backend failed.
        BuildError: what it answered is not a list of requirements.
    """
    with tempfile.TemporaryDirectory(prefix="hps-sdist-") as name:
        sandbox.run(sdist_command(build, "get_requires_for_build_wheel", Path(name)))
        try:
            answer = json.loads((Path(name) / "requires.json").read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise BuildError(
                f"the build backend of {build.file} gave no usable answer: {error}"
            ) from None
    if not isinstance(answer, list) or not all(isinstance(item, str) for item in answer):
        raise BuildError(f"the build backend of {build.file} gave no list of requirements")
    return tuple(answer)


def build_wheel(sandbox: Sandbox, build: SdistBuild, folder: Path) -> Path:
    """Build the wheel and write it, packed canonically, into a folder.

    Raises:
        SandboxError: the backend failed.
        BuildError: it left no wheel, more than one, or one of another project.
        UnsafeArchiveError: the wheel is not a valid zip, or holds a path twice.
    """
    with tempfile.TemporaryDirectory(prefix="hps-sdist-", dir=folder) as name:
        output = Path(name)
        sandbox.run(sdist_command(build, "build_wheel", output))
        made = sorted(path for path in output.iterdir() if path.suffix == ".whl")
        if len(made) != 1 or made[0].is_symlink():
            raise BuildError(
                f"the build backend of {build.file} must leave one wheel",
                expected="1 file NAME.whl",
                got=", ".join(path.name for path in made) or "none",
            )
        _check_name(made[0].name, build.file)
        packed = output / "packed"
        normalise_wheel(made[0], packed)
        return packed.replace(folder / made[0].name)


def _check_name(wheel: str, sdist: str) -> None:
    try:
        name = parse_wheel_filename(wheel)[0]
    except InvalidWheelFilename as error:
        raise BuildError(f"the build of {sdist} gave a wheel with a wrong name: {error}") from None
    if not canonicalize_name(sdist).startswith(f"{name}-"):
        raise BuildError(f"the build of {sdist} gave a wheel of another project", got=wheel)


def normalise_wheel(source: Path, target: Path) -> None:
    """Pack a wheel again so that equal content gives equal bytes.

    Members sorted, `.dist-info` last and RECORD at the very end (binary distribution format,
    "Recommended archiver features"); dates 1980-01-01; modes 0644 or 0755; not compressed,
    because the output of deflate depends on the version of zlib; RECORD made anew.

    Raises:
        UnsafeArchiveError: not a zip, encrypted, damaged, a path twice, or no one RECORD.
    """
    try:
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            _repack(old, new, source.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UnsafeArchiveError(f"{source.name} is not a readable wheel: {error}") from None


def _repack(old: zipfile.ZipFile, new: zipfile.ZipFile, file: str) -> None:
    members = {member.filename: member for member in old.infolist() if not member.is_dir()}
    if len(members) != sum(not member.is_dir() for member in old.infolist()):
        raise UnsafeArchiveError(f"{file} holds a path twice")
    records = [
        name for name in members if name.count("/") == 1 and name.endswith(".dist-info/RECORD")
    ]
    if len(records) != 1:
        raise UnsafeArchiveError(f"{file} must have one RECORD", got=", ".join(records) or "none")
    record = records[0]
    information = record.removesuffix("RECORD")
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    for name in sorted(members.keys() - {record}, key=lambda name: _order(name, information)):
        member = members[name]
        header = _header(name, executable=bool((member.external_attr >> 16) & 0o111))
        with (
            old.open(member) as content,
            new.open(header, "w", force_zip64=_is_large(member)) as to,
        ):
            digest, size = _copy(content, to)
        rows.writerow((name, f"sha256={digest}", size))
    rows.writerow((record, "", ""))
    new.writestr(_header(record, executable=False), lines.getvalue())


def _order(name: str, information: str) -> tuple[bool, bytes]:
    return name.startswith(information), name.encode()


def _header(name: str, *, executable: bool) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(name, _DATE)
    header.create_system = 3  # Unix, so that the mode counts
    header.external_attr = (0o100755 if executable else 0o100644) << 16
    header.compress_type = zipfile.ZIP_STORED
    return header


def _is_large(member: zipfile.ZipInfo) -> bool:
    return member.file_size >= zipfile.ZIP64_LIMIT


def _copy(source: IO[bytes], target: IO[bytes]) -> tuple[str, int]:
    """Copy to the end; digest as RECORD writes it (urlsafe base64 without `=`), and size."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
        size += len(piece)
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode(), size
