"""Reading one Debian package (deb(5), deb-control(5)). Nothing in it is ever run."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hps.archive.decompress import Codec, damage, decompressed, window
from hps.archive.paths import Limits
from hps.errors import UnsafeArchiveError
from hps.layer import ar, tar_reader

_CODECS: Mapping[str, Codec] = {"": "none", ".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}
_CONTROL_LIMITS = Limits(files=64, size=64 << 20)
_FIELD = re.compile(r"([!-9;-~]+):[ \t]*(.*)")
_IDENTITY = {  # deb-control(5); names become file names of the dpkg database
    "Package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "Version": re.compile(r"[0-9A-Za-z.+:~-]+"),
    "Architecture": re.compile(r"[a-z0-9][a-z0-9-]*"),
}
_CONTROL_MEMBER = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True, slots=True)
class ControlArchive:
    """What control.tar holds.

    Args:
        fields: the control file, in its order; continuation lines as written.
        files: every other member by name: md5sums, conffiles, postinst, triggers, …
    """

    fields: Mapping[str, str]
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """The package's name."""
        return self.fields["Package"]

    @property
    def conffiles(self) -> tuple[str, ...]:
        """Configuration files that the package ships, without leading slash.

        Lines with a flag (`remove-on-upgrade /etc/x`, deb-conffiles(5)) name files that it does
        not ship.
        """
        lines = self._lines("conffiles")
        return tuple(line.lstrip("/") for line in lines if line.startswith("/"))

    @property
    def md5sums(self) -> Mapping[str, str]:
        """MD5 by path (deb-md5sums(5)), as the package promises; for dpkg --verify only."""
        pairs = (line.split(maxsplit=1) for line in self._lines("md5sums"))
        return {pair[1].removeprefix("./"): pair[0] for pair in pairs if len(pair) == 2}  # noqa: PLR2004

    @property
    def scripts(self) -> Mapping[str, str]:
        """The maintainer scripts, as text."""
        names = ("preinst", "postinst", "prerm", "postrm")
        return {name: _text(self.files[name]) for name in names if name in self.files}

    def _lines(self, name: str) -> list[str]:
        return [line.strip() for line in _text(self.files.get(name, b"")).splitlines() if line]


def control(path: Path) -> Mapping[str, str]:
    """The fields of a package's control file.

    Raises:
        UnsafeArchiveError: the package is damaged or not one.
    """
    return control_archive(path).fields


def control_archive(path: Path, where: str = "") -> ControlArchive:
    """All that control.tar holds, in memory: it is small.

    Args:
        path: the package.
        where: what to call it in errors; its file name by default.

    Raises:
        UnsafeArchiveError: the package is damaged or not one.
    """
    where = where or path.name
    member, _ = _parts(path, where)
    files: dict[str, bytes] = {}
    with _tar(path, where, member, _CONTROL_LIMITS) as entries:
        for entry in entries:
            if entry.reader is None:
                continue
            if entry.path in files or not _CONTROL_MEMBER.fullmatch(entry.path):
                raise UnsafeArchiveError(
                    f"{where} holds an odd control member", got=repr(entry.path)
                )
            files[entry.path] = entry.reader.read()
    if "control" not in files:
        raise UnsafeArchiveError(f"{where} holds no control file")
    return ControlArchive(_fields(_text(files.pop("control")), where), files)


@contextmanager
def data_members(
    path: Path, limits: Limits, where: str = ""
) -> Iterator[Iterator[tar_reader.Member]]:
    """The members of data.tar, in order.

    Raises:
        UnsafeArchiveError: the package is damaged or not one, or holds what none may hold.
    """
    where = where or path.name
    _, member = _parts(path, where)
    with _tar(path, where, member, limits) as entries:
        yield entries


def _parts(path: Path, where: str) -> tuple[ar.Member, ar.Member]:
    """control.tar and data.tar of a package of format 2.0."""
    found = [member for member in ar.members(path, where) if not member.name.startswith("_")]
    names = [member.name.partition(".tar")[0] for member in found[:3]]
    if names != ["debian-binary", "control", "data"]:
        raise UnsafeArchiveError(
            f"{where} is not a Debian package",
            expected="debian-binary, control.tar and data.tar",
            got=", ".join(member.name for member in found) or "no members",
        )
    version, control_tar, data_tar = found[:3]
    with window(path, version.offset, min(version.size, 16)) as file:
        if not file.read().startswith(b"2."):
            raise UnsafeArchiveError(f"{where} is not a Debian package of format 2")
    return control_tar, data_tar


@contextmanager
def _tar(
    path: Path, deb: str, member: ar.Member, limits: Limits
) -> Iterator[Iterator[tar_reader.Member]]:
    codec = _CODECS.get(member.name.partition(".tar")[2])
    if codec is None:
        raise UnsafeArchiveError(
            f"{deb} is compressed in a way that hps does not know",
            expected=", ".join(f".tar{suffix}" for suffix in _CODECS),
            got=member.name,
        )
    where = f"{deb}: {member.name}"
    with (
        damage(where),
        window(path, member.offset, member.size) as packed,
        closing(decompressed(packed, codec)) as stream,
        closing(tar_reader.members(stream, where, packed=member.size, limits=limits)) as entries,
    ):
        yield entries


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _fields(text: str, where: str) -> Mapping[str, str]:
    """One paragraph of deb822(5)."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.rstrip("\n").split("\n"):
        match = _FIELD.fullmatch(line)
        if line.startswith((" ", "\t")) and last:
            fields[last] += "\n" + line
        elif match is not None and match[1] not in fields:
            last = match[1]
            fields[last] = match[2].rstrip()
        else:
            raise UnsafeArchiveError(f"{where} has a damaged control file", got=repr(line))
    missing = [name for name, form in _IDENTITY.items() if not form.fullmatch(fields.get(name, ""))]
    if missing:
        raise UnsafeArchiveError(
            f"{where} has a control file without a valid " + " and ".join(missing)
        )
    return fields
