"""What `hadoop fs` prints, of Hadoop 2.7 and 3 and of what was made from 0.20 (AFS). Pure.

Follows the File System Shell guide; times are those of `-stat %Y` (milliseconds) or of `-ls`
(minutes, in the zone of the child, which is UTC).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from hps.monitor.source import Found, SourceError, Trouble
from hps.store.foreign_text import printable

STAT_FORMAT = "%Y %b %F"
_STAT = re.compile(r"(\d{1,15}) (\d{1,18}) (regular file|directory|symlink)", re.ASCII)
_LISTED = re.compile(
    r"([-dl])[-rwxsStT]{9}[.+@]?\s+(?:\d+|-)\s.*?"
    r"(\d{1,18})\s+(\d{4}-\d\d-\d\d) (\d\d:\d\d)\s(\S.*)",
    re.ASCII,
)
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_GLOB = re.compile(r"([*?\[\]{}\\])")
# What JVMs, loggers and wrappers print where only answers should be.
_NOISE = re.compile(
    r"(OpenJDK|Java HotSpot|Picked up |log4j:|SLF4J:|WARN|INFO|DEBUG|WARNING|Found \d+ items?$"
    r"|\d\d(\d\d)?[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d(,\d+)? (DEBUG|INFO|WARN|ERROR))"
)
_CHECKSUM = re.compile(r"(\S+)\t([0-9a-f]{8,200})")
_VERBS = r"(?:-?(?:ls|lsr|stat|cat|checksum|get|test))"
_MISSING = re.compile(
    rf"^{_VERBS}: (?:.*: No such file or directory\.?|File does not exist: .*)$", re.MULTILINE
)
_KINDS = {
    Trouble.REFUSED: (
        "Permission denied|AccessControl|Unauthorized|authenticat|Authoriz|InvalidToken"
        "|GSSException|[Kk]erberos"
    ),
    Trouble.STALLED: "SocketTimeout|ConnectTimeout|timed? ?out",
    Trouble.SERVER: (
        "StandbyException|SafeMode|safe mode|RetriableException|Could not obtain block|BlockMissing"
    ),
    Trouble.UNUSABLE: (
        "JAVA_HOME|ClassNotFound|NoClassDefFound|Could not find or load main class"
        "|No FileSystem for scheme|Unrecognized VM option|Could not create the Java Virtual Machine"
    ),
}
_UNKNOWN = re.compile(r"Unknown command|Illegal option|Usage: (hadoop fs|java FsShell)")
_NOT_STARTED = frozenset({126, 127})


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `-ls` or one answer of `-stat`.

    Args:
        path: below what was listed, empty for what was asked about itself.
        kind: "-" a file, "d" a folder, "l" a link.
        size: bytes.
        modified: decimal seconds since the epoch.
        resolution: seconds between two times that differ.
    """

    path: str
    kind: str
    size: int
    modified: str
    resolution: float

    def found(self, path: str, checksum: str | None = None) -> Found:
        """The same as sources show it."""
        tokens = {"modified": self.modified}
        if checksum is None:
            return Found(path, self.size, tokens, resolution=self.resolution)
        return Found(path, self.size, tokens | {"checksum": checksum}, resolution=0.0)


def escaped(path: str) -> str:
    """A path that stands for itself alone where patterns are taken (`GlobPattern`)."""
    return _GLOB.sub(r"\\\1", path)


def stats(output: str) -> list[Listed] | None:
    """The answers of `-stat`; None where the client does not know the format."""
    found = []
    for line in _answers(output):
        match = _STAT.fullmatch(line.strip())
        if match is None:
            return None
        seconds, rest = divmod(int(match[1]), 1000)
        kind = {"regular file": "-", "directory": "d", "symlink": "l"}[match[3]]
        found.append(Listed("", kind, int(match[2]), f"{seconds}.{rest:03}", 0.001))
    return found


def listed(lines: Iterable[str], folder: str) -> list[Listed]:
    """The lines of `-ls` of a folder, or of one file (whose path is then empty).

    Raises:
        SourceError: MALFORMED: a line is none, or names what is not in the folder.
    """
    found = []
    for line in lines:
        match = _LISTED.fullmatch(line)
        if match is None:
            if not line.strip() or _NOISE.match(line):
                continue
            raise _unreadable(line)
        moment = _minute(match[3], match[4])
        if moment is None:
            raise _unreadable(line)
        path = _below(match[5], folder)
        found.append(Listed(path, match[1], int(match[2]), moment, 60.0))
    return found


def checksum(output: str) -> str | None:
    """The answer of `-checksum`: algorithm and value; None where the store has none."""
    for line in _answers(output):
        match = _CHECKSUM.fullmatch(line.partition("\t")[2])
        if match is not None:
            return f"{match[1]}:{match[2]}"
    return None


def trouble(code: int, errors: str) -> Trouble:
    """Why a command failed; "No such file" of a shell or a JVM is not that of a file system."""
    if code in _NOT_STARTED:
        return Trouble.UNUSABLE
    if _MISSING.search(errors):  # first, as names may hold any words
        return Trouble.MISSING
    for kind, words in _KINDS.items():
        if re.search(words, errors):
            return kind
    return Trouble.UNREACHABLE


def is_unknown(errors: str) -> bool:
    """Whether the client does not know the command or one of its options."""
    return bool(_UNKNOWN.search(errors))


def reason(code: int, errors: str, secrets: Iterable[str]) -> str:
    """The line of the error output that says most, without secrets."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if not _NOISE.match(line) and not line.startswith("at ")]
    text = (telling or lines or [f"it ended with {code} and said nothing"])[0]
    for secret in secrets:
        text = text.replace(secret, "***")
    return printable(text, 300)


def configuration(values: dict[str, str]) -> str:
    """A Hadoop configuration file."""
    properties = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in values.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n'


def _answers(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.strip() and not _NOISE.match(line)]


def _minute(day: str, clock: str) -> str | None:
    try:
        moment = datetime.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    except ValueError:
        return None
    return str(int(moment.timestamp()))


def _below(path: str, folder: str) -> str:
    """The path below a folder; clients print it with or without scheme and host."""
    plain, above = _AUTHORITY.sub("", path, count=1), _AUTHORITY.sub("", folder, count=1)
    above = above.rstrip("/")
    if plain == above:
        return ""
    inner = plain.removeprefix(f"{above}/")
    if inner == plain or not inner.isprintable() or {"", ".", ".."} & set(inner.split("/")):
        raise _unreadable(path)
    return inner


def _unreadable(line: str) -> SourceError:
    return SourceError(
        Trouble.MALFORMED,
        "the hadoop program lists files in a way that cannot be read",
        got=repr(line[:200]),
        hint="rename files with line ends, or publish the model packed",
    )
