"""Wheels to entries: what an installer would lay down, as a pure function of the wheel.

Follows "Binary distribution format" (PEP 427 as amended), sections "Installing a wheel" and
"The .data directory", with pip's answers where the text is silent: members with a run bit keep
it, a file in `.data/scripts` gives way to an entry point of its name, folders are not entries.
Other than pip, hps verifies RECORD, marks every script executable, and writes neither
direct_url.json nor REQUESTED, which tell how an installation came about.
"""

import email.parser
import fnmatch
import hashlib
import io
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from functools import partial
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from hps.archive.paths import Limits, check_unique, safe
from hps.archive.zip_archive import Member, ZipArchive
from hps.digest import Digest
from hps.errors import BuildError, IntegrityError, UnsafeArchiveError
from hps.layer import record_file
from hps.layer.bytecode import Bytecode
from hps.layer.entry import Entry, Scheme
from hps.layer.entry_points import Script, checked_interpreter, scripts
from hps.layer.record_file import Row

_METADATA_LIMIT = 16 * 2**20  # bytes of a file that is read whole
_RECORD_LIMIT = 64 * 2**20
_FORMAT = 1  # major Wheel-Version
_PLACEHOLDER = b"#!python"
_INSTALLER = b"hps\n"
_NOT_INSTALLED = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}
_UNLISTED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_WRAPPER = re.compile(r"(\.exe|-script\.py|\.pya)$", re.IGNORECASE)


def wheel_entries(
    wheel: Path,
    filename: str,
    scheme: Scheme,
    *,
    bytecode: Bytecode | None,
    prune: Sequence[str] = (),
    exclude: Collection[str] = (),
    remake_record: bool = False,
    limits: Limits | None = None,
) -> list[Entry]:
    """What a wheel puts into an image, RECORD and scripts included.

    Files are not unpacked: an entry inflates its part of the wheel when it is opened, so the
    wheel must stay where it is until then.

    Args:
        wheel: the file, by whatever name.
        filename: its real name, which says project and version.
        scheme: where the parts go.
        bytecode: compiled modules; those whose source this wheel brings are added.
        prune: fnmatch patterns of paths below the install folder that are left out. The
            .dist-info folder always stays.
        exclude: paths of the image that are left out.
        remake_record: take the files as they are and make RECORD from them, as pip does; for
            wheels that were changed after they were built. The wheel's own digest still holds.
        limits: how much the wheel may hold.

    Raises:
        UnsafeArchiveError: what no honest wheel holds; no wheel, or another than its name says.
        IntegrityError: RECORD and the files disagree (some of it is found only when an entry
            is read).
        BuildError: a wheel of a format that hps does not know.
    """
    source = _Wheel(wheel, filename, limits, remake_record=remake_record)
    checked_interpreter(scheme.interpreter)
    left_out = frozenset(exclude)
    files = [
        file
        for file in _placed(source, scheme)
        if file.path not in left_out and not _pruned(file, prune)
    ]
    made = [
        _Made(f"{scheme.scripts}/{script.name}", script.text(scheme.interpreter), executable=True)
        for script in source.scripts
        if f"{scheme.scripts}/{script.name}" not in left_out
    ]
    root = scheme.purelib if source.pure else scheme.platlib
    info = f"{root}/{source.dist_info}"
    made.append(_Made(f"{info}/INSTALLER", _INSTALLER))
    compiled = _compiled(source.owner, files, bytecode)
    replaced = {entry.path for entry in compiled}
    files = [file for file in files if file.path not in replaced]
    paths = [file.path for file in files] + [file.path for file in made] + [f"{info}/RECORD"]
    check_unique(source.where, [*paths, *replaced], case_collisions="refuse")
    rows = [Row(_relative(file.path, root), file.row.hash, file.row.size) for file in files]
    rows += [Row.of(_relative(file.path, root), file.data) for file in made]
    rows += [Row(_relative(path, root)) for path in replaced]
    rows.append(Row(f"{source.dist_info}/RECORD"))
    made.append(_Made(f"{info}/RECORD", record_file.dump(rows)))
    return [
        *(file.entry(source) for file in files),
        *(file.entry(source.owner) for file in made),
        *compiled,
    ]


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that is in no wheel."""

    path: str
    data: bytes
    executable: bool = False

    def entry(self, owner: str) -> Entry:
        return Entry(
            self.path,
            "file",
            owner,
            executable=self.executable,
            size=len(self.data),
            open=partial(io.BytesIO, self.data),
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """A file of a wheel, and where it goes.

    Args:
        member: in the wheel.
        row: what the installation's RECORD will say of it.
        path: in the image.
        library: path below the install folder; empty for what goes elsewhere.
        script: it came from `.data/scripts`.
        rewritten: its bytes, when the first line was changed.
    """

    member: Member
    row: Row
    path: str
    library: str = ""
    script: bool = False
    rewritten: bytes | None = None

    def entry(self, source: "_Wheel") -> Entry:
        executable = self.script or self.member.executable
        if self.rewritten is not None:
            return _Made(self.path, self.rewritten, executable).entry(source.owner)
        promised = Digest(self.row.value.hex()) if self.row.algorithm == "sha256" else None
        return Entry(
            self.path,
            "file",
            source.owner,
            executable=executable,
            size=self.member.size,
            open=partial(source.archive.open, self.member),
            promised=promised,
        )


class _Wheel:
    """A wheel that was found to be what its name says, RECORD compared with the files."""

    def __init__(
        self, path: Path, filename: str, limits: Limits | None, *, remake_record: bool
    ) -> None:
        self.where = filename
        self.name, self.version = _identity(filename)
        self.owner = str(self.name)
        self.archive = ZipArchive(path, filename, limits)
        self.members = {member.name: member for member in self.archive.members}
        names = [member.name for member in self.archive.members]
        check_unique(filename, names, case_collisions="refuse")
        self.dist_info = self._folder(".dist-info", required=True)
        self.data = self._folder(".data", required=False)
        self.pure = self._check_format()
        self.project = self._check_metadata()
        self.rows = self._make_record() if remake_record else self._check_record()
        self.scripts = self._scripts()

    def read(self, name: str, limit: int = _METADATA_LIMIT) -> bytes:
        """A small file of the .dist-info folder, which must be there."""
        member = self.members.get(f"{self.dist_info}/{name}")
        if member is None:
            raise UnsafeArchiveError(f"{self.where} is no wheel: {self.dist_info} has no {name}")
        return self.archive.read(member, limit)

    def _folder(self, suffix: str, *, required: bool) -> str:
        """The one top folder with this ending; its name must be that of the wheel."""
        tops = {name.partition("/")[0] for name in self.members if "/" in name}
        found = sorted(top for top in tops if top.endswith(suffix))
        if len(found) > 1 or (required and not found):
            raise UnsafeArchiveError(
                f"{self.where} is no wheel",
                expected=f"one folder *{suffix}",
                got=", ".join(found) or "none",
            )
        if not found:
            return ""
        name, _, version = found[0].removesuffix(suffix).rpartition("-")
        if canonicalize_name(name) != self.name or _version(version) != self.version:
            raise UnsafeArchiveError(
                f"{self.where} holds the {suffix} folder of something else",
                expected=f"{self.name}-{self.version}{suffix}",
                got=found[0],
            )
        return found[0]

    def _check_format(self) -> bool:
        """Whether the top of the wheel is purelib."""
        headers = _headers(self.read("WHEEL"))
        stated = str(headers.get("Wheel-Version", "")).strip()
        if not re.fullmatch(r"[0-9]+\.[0-9]+", stated) or int(stated.split(".")[0]) > _FORMAT:
            raise BuildError(
                f"{self.where} is in a wheel format that hps does not know",
                expected=f"Wheel-Version {_FORMAT}.x",
                got=stated or "none",
            )
        return str(headers.get("Root-Is-Purelib", "")).strip().lower() == "true"

    def _check_metadata(self) -> str:
        """The project's name as its author writes it."""
        headers = _headers(self.read("METADATA"))
        name = str(headers.get("Name", "")).strip()
        version = str(headers.get("Version", "")).strip()
        if canonicalize_name(name) != self.name or _version(version) != self.version:
            raise UnsafeArchiveError(
                f"{self.where} holds the METADATA of something else",
                expected=f"{self.name} {self.version}",
                got=f"{name} {version}",
            )
        return name

    def _check_record(self) -> dict[str, Row]:
        rows = record_file.parse(self.read("RECORD", _RECORD_LIMIT), self.where)
        sizes = {name: member.size for name, member in self.members.items()}
        unlisted = {f"{self.dist_info}/{name}" for name in _UNLISTED}
        record_file.check(rows, sizes, unlisted, self.where)
        for name, row in rows.items():
            if row.algorithm not in {"", "sha256"}:
                self.verify(self.members[name], row)
        return rows

    def _make_record(self) -> dict[str, Row]:
        """What RECORD should have said."""
        return {name: self._row(name, member) for name, member in self.members.items()}

    def _row(self, name: str, member: Member) -> Row:
        hasher = hashlib.sha256()
        with self.archive.open(member) as reader:
            while piece := reader.read(2**20):
                hasher.update(piece)
        return Row.hashed(name, hasher.digest(), member.size)

    def verify(self, member: Member, row: Row) -> None:
        """Compare a member with its hash now, for what no entry can promise."""
        hasher = hashlib.new(row.algorithm)
        with self.archive.open(member) as reader:
            while piece := reader.read(2**20):
                hasher.update(piece)
        if hasher.digest() != row.value:
            raise IntegrityError(
                f"{member.name} in {self.where} is not what RECORD says",
                expected=row.hash,
                got=f"{row.algorithm} {hasher.hexdigest()}",
            )

    def _scripts(self) -> list[Script]:
        if f"{self.dist_info}/entry_points.txt" not in self.members:
            return []
        try:
            text = self.read("entry_points.txt").decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UnsafeArchiveError(
                f"{self.where}: entry_points.txt is not UTF-8", got=error
            ) from error
        return scripts(text, self.where)


def _identity(filename: str) -> tuple[str, Version]:
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise UnsafeArchiveError(f"not the name of a wheel: {filename!r}", got=error) from error
    return name, version


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _headers(data: bytes) -> Message:
    return email.parser.BytesHeaderParser().parsebytes(data)


def _placed(source: _Wheel, scheme: Scheme) -> Iterable[_Placed]:
    """Every file of the wheel that an installer lays down."""
    root = scheme.purelib if source.pure else scheme.platlib
    skipped = {f"{source.dist_info}/{name}" for name in _NOT_INSTALLED}
    entry_points = {script.name for script in source.scripts}
    for name, member in source.members.items():
        if name in skipped:
            continue
        row = source.rows.get(name, Row(name))
        if not source.data or not name.startswith(f"{source.data}/"):
            yield _Placed(member, row, f"{root}/{name}", library=name)
            continue
        kind, _, below = name.removeprefix(f"{source.data}/").partition("/")
        if kind == "scripts":
            if _WRAPPER.sub("", below) not in entry_points:
                yield _script(source, member, row, f"{scheme.scripts}/{below}", scheme.interpreter)
        elif kind in {"purelib", "platlib"}:
            folder = scheme.purelib if kind == "purelib" else scheme.platlib
            yield _Placed(member, row, f"{folder}/{below}", library=below)
        else:
            yield _Placed(member, row, f"{_elsewhere(source, scheme, kind)}/{below}")


def _elsewhere(source: _Wheel, scheme: Scheme, kind: str) -> str:
    if kind == "data":
        return scheme.data
    if kind == "headers":
        return f"{scheme.headers}/{safe(source.project)}"
    raise UnsafeArchiveError(
        f"{source.where} holds a kind of file that no installer knows",
        expected="purelib, platlib, scripts, data or headers",
        got=f"{source.data}/{kind}",
    )


def _script(source: _Wheel, member: Member, row: Row, path: str, interpreter: str) -> _Placed:
    """A script; a first line `#!python` or `#!pythonw` becomes the image's interpreter."""
    with source.archive.open(member) as reader:
        if reader.read(len(_PLACEHOLDER)) != _PLACEHOLDER:
            return _Placed(member, row, path, script=True)
    source.verify(member, row)
    _, _, rest = source.archive.read(member, _METADATA_LIMIT).partition(b"\n")
    data = f"#!{interpreter}\n".encode() + rest  # as pip, also where no newline was
    return _Placed(member, Row.of(path, data), path, script=True, rewritten=data)


def _pruned(file: _Placed, patterns: Sequence[str]) -> bool:
    if not file.library or file.library.partition("/")[0].endswith(".dist-info"):
        return False
    return any(fnmatch.fnmatchcase(file.library, pattern) for pattern in patterns)


def _compiled(owner: str, files: Iterable[_Placed], bytecode: Bytecode | None) -> list[Entry]:
    if bytecode is None:
        return []
    found = (bytecode.of(file.path) for file in files if file.library.endswith(".py"))
    return [
        Entry(
            compiled.path,
            "file",
            owner,
            size=compiled.size,
            open=partial(bytecode.open, compiled.path),
        )
        for compiled in found
        if compiled is not None
    ]


def _relative(path: str, root: str) -> str:
    return posixpath.relpath(path, root)
