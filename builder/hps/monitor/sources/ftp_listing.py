"""What FTP servers say of files: MLSD and MLST, LIST of Unix and of Windows, SIZE, MDTM. Pure.

Lines are text with one character for each byte (Latin-1), as they came; so are the names that are
sent back ("wire"). A name for people is UTF-8 where that fits, else Latin-1 (RFC 2640, section 2).
Follows RFC 3659: sections 2.3 (times), 3 (MDTM), 4 (SIZE), 7 (MLST and MLSD). LIST is bound to
nothing (RFC 959, section 4.1.3).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from hps.monitor.source import SourceError, Trouble

_LONGEST_NAME = 1024  # bytes
_DIGITS = 18  # of a size; more is no size
_TIME = re.compile(r"(\d{14})(?:\.(\d{1,9}))?", re.ASCII)
_DAY = r"(?:[A-Za-z]{3,9}\.?\s+\d{1,2}|\d{1,2}\.?\s+[A-Za-z]{3,9}|\d{4}-\d\d-\d\d)"
_CLOCK = r"(?:\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s[+-]\d{4})?|\d{4})"
_UNIX = re.compile(
    r"(?P<kind>[-a-zA-Z])[-rwxsStTlL]{9}[.+@]?\s.*?"
    rf"(?P<size>\d+)\s+(?P<date>{_DAY}\s+{_CLOCK})\s(?P<name>.+)",
    re.ASCII,
)
_DOS = re.compile(
    r"(?P<date>(?:\d\d-\d\d-(?:\d{4}|\d\d)|\d{4}-\d\d-\d\d)\s+\d\d:\d\d(?:\s?[AaPp][Mm])?)\s+"
    r"(?:<(?P<kind>[A-Z]{3,9})>\s{1,10}|(?P<size>[\d,.]+)\s)(?P<name>.+)",
    re.ASCII,
)
_TOTAL = re.compile(r"total\s+\d+\S{0,9}", re.ASCII | re.IGNORECASE)


class Kind(Enum):
    """What an entry is."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Time:
    """A time as the server tells it.

    Args:
        text: decimal seconds since the epoch.
        resolution: seconds between two that differ.
    """

    text: str
    resolution: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a folder, or what is said of one file.

    Args:
        name: for people, the disk and `Found`; one part of a path.
        wire: the same as the server wants it.
        kind: see there.
        size: bytes, None where it is not told.
        modified: None where it is not told.
        unique: what tells this file from all others (RFC 3659, section 7.5.2).
        listed: the time in a LIST, in whatever form and zone the server has.
    """

    name: str
    wire: str
    kind: Kind
    size: int | None = None
    modified: Time | None = None
    unique: str | None = None
    listed: str | None = None


def machine_entries(lines: list[str]) -> list[Entry]:
    """The answer to MLSD, without the folder itself and the one above it.

    Raises:
        SourceError: MALFORMED: a line is none, or its name cannot be that of a file.
    """
    found = []
    for line in filter(None, lines):
        facts, space, wire = line.partition(" ")
        if not space or "=" not in facts:
            raise _unreadable(line)
        entry = _machine_entry(facts, wire)
        if entry is not None:
            found.append(entry)
    return found


def machine_facts(reply: str, wire: str) -> Entry:
    """The answer to MLST for this name; the name in the answer may be a path and is left alone.

    Raises:
        SourceError: MALFORMED: there are no facts in it.
    """
    for line in reply.split("\n")[1:-1]:
        facts = line.strip(" ").partition(" ")[0]
        if "=" in facts:
            return _with_facts(facts, wire)
    raise _unreadable(reply)


def list_entries(lines: list[str]) -> list[Entry]:
    """The answer to LIST, without the folder itself and the one above it.

    Raises:
        SourceError: MALFORMED: a line is in no format that is known, or its name cannot be.
    """
    found = []
    for line in lines:
        if not line.strip() or _TOTAL.fullmatch(line.strip()):
            continue
        entry = _listed(line)
        if entry is not None:
            found.append(entry)
    return found


def time_of(text: str) -> Time | None:
    """A time of MDTM or MLSD, which is UTC; None for what is no time."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    seconds = str(int(moment.timestamp()))
    if match[2] is None:
        return Time(seconds, 1.0)
    return Time(f"{seconds}.{match[2]}", 10.0 ** -len(match[2]))


def size_of(text: str) -> int | None:
    """A size in bytes; None for what is none."""
    text = text.strip()
    readable = text.isascii() and text.isdecimal() and len(text) <= _DIGITS
    return int(text) if readable else None


def name_of(wire: str) -> str:
    """A name for people.

    Raises:
        SourceError: MALFORMED: it is no name, or would lead elsewhere.
    """
    raw = wire.encode("latin-1")
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        name = wire
    if name in {"", ".", ".."} or "/" in name or not name.isprintable():
        raise _hostile(name)
    if len(raw) > _LONGEST_NAME:
        raise _hostile(name)
    return name


def wire_of(name: str) -> str:
    """A name or path as it is sent: UTF-8.

    Raises:
        SourceError: MALFORMED: it cannot be sent, or would end the command.
    """
    if not name.isprintable():
        raise _hostile(name)
    return name.encode().decode("latin-1")


def _machine_entry(facts: str, wire: str) -> Entry | None:
    kind = _facts(facts).get("type", "").lower()
    if kind in {"cdir", "pdir"} or wire in {".", ".."}:
        return None
    return _with_facts(facts, wire)


def _with_facts(text: str, wire: str) -> Entry:
    facts = _facts(text)
    return Entry(
        name=name_of(wire),
        wire=wire,
        kind=_machine_kind(facts.get("type", "").lower()),
        size=size_of(facts.get("size", "")),
        modified=time_of(facts.get("modify", "")),
        unique=facts.get("unique") or None,
    )


def _facts(text: str) -> dict[str, str]:
    pairs = (fact.partition("=") for fact in text.split(";"))
    return {name.lower(): value for name, equals, value in pairs if equals}


def _machine_kind(kind: str) -> Kind:
    if kind.startswith(("os.unix=slink", "os.unix=symlink")):
        return Kind.LINK
    return {"file": Kind.FILE, "dir": Kind.FOLDER, "cdir": Kind.FOLDER}.get(kind, Kind.OTHER)


def _listed(line: str) -> Entry | None:
    unix = _UNIX.fullmatch(line)
    match = unix or _DOS.fullmatch(line)
    if match is None:
        raise _unreadable(line)
    kind = _unix_kind(match["kind"]) if unix else _dos_kind(match["kind"])
    wire: str = match["name"]
    if kind is Kind.LINK:
        wire = wire.partition(" -> ")[0]
    if wire in {".", ".."}:
        return None
    size = None
    if kind is Kind.FILE:
        size = size_of(re.sub(r"[,.]", "", match["size"]))
    return Entry(name_of(wire), wire, kind, size, listed=" ".join(match["date"].split()))


def _unix_kind(letter: str) -> Kind:
    return {"-": Kind.FILE, "d": Kind.FOLDER, "l": Kind.LINK}.get(letter, Kind.OTHER)


def _dos_kind(word: str | None) -> Kind:
    if word is None:
        return Kind.FILE
    if word == "DIR":
        return Kind.FOLDER
    return Kind.LINK if word in {"JUNCTION", "SYMLINK", "SYMLINKD"} else Kind.OTHER


def _unreadable(line: str) -> SourceError:
    return SourceError(
        Trouble.MALFORMED,
        "the FTP server lists files in a way that cannot be read",
        expected="MLSD, or a list as Unix or Windows makes it",
        got=repr(line[:200]),
        hint="publish the model packed, or switch MLSD on at the server",
    )


def _hostile(name: str) -> SourceError:
    return SourceError(
        Trouble.MALFORMED,
        "a name cannot be that of a file of a model",
        got=repr(name[:200]),
        hint="rename the file, or publish the model packed",
    )
