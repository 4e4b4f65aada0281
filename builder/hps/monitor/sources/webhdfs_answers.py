"""What WebHDFS says of files, and what its exceptions mean. Pure.

Follows the JSON schemas FileStatus, FileStatuses and RemoteException of the WebHDFS REST API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hps.monitor.source import Found, SourceError, Trouble

_STANDBY = "StandbyException"
_EXCEPTIONS = {
    frozenset(
        {"FileNotFoundException", "PathNotFoundException", "NoSuchFileException"}
    ): Trouble.MISSING,
    frozenset(
        {
            "AccessControlException",
            "AuthenticationException",
            "AuthorizationException",
            "InvalidToken",
            "SecurityException",
        }
    ): Trouble.REFUSED,
    frozenset({_STANDBY, "RetriableException", "SafeModeException"}): Trouble.SERVER,
}
_CLOSED_TO_US = frozenset({401, 403, 407})
_NO_SUCH = ("does not exist", "not found", "No such file")


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of one file or folder.

    Args:
        name: in its folder; empty for what was asked about itself.
        kind: FILE, DIRECTORY, SYMLINK.
        size: bytes.
        modified: milliseconds since the epoch.
        identity: the number of the inode, 0 where it is not told (HttpFS).
    """

    name: str
    kind: str
    size: int
    modified: int
    identity: int


def status_of(given: Mapping[str, Any], name: str = "") -> Status:
    """A FileStatus.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    try:
        size, modified = int(given["length"]), int(given["modificationTime"])
        identity = int(given.get("fileId") or 0)
    except OverflowError as error:  # JSON of Python's knows Infinity
        raise ValueError("a number without end") from error
    if size < 0 or modified < 0:
        raise ValueError("a negative number")
    return Status(name, str(given["type"]), size, modified, identity)


def statuses_of(given: list[tuple[Any, Mapping[str, Any]]]) -> list[Status]:
    """What a folder holds, as the package gives it.

    Raises:
        SourceError: MALFORMED: a name cannot be that of a file.
        ValueError, KeyError, TypeError: it is no list of FileStatus.
    """
    for name, _ in given:
        if not isinstance(name, str) or name in {"", ".", ".."} or "/" in name:
            raise SourceError(
                Trouble.MALFORMED,
                "the name node lists a name that cannot be that of a file",
                got=repr(name)[:200],
                hint="rename the file, or publish the model packed",
            )
    return [status_of(each, name) for name, each in given]


def found_of(
    path: str, status: Status, clock: float | None, *, checksum: str | None = None
) -> Found:
    """A file as sources show it.

    Args:
        path: of the model.
        status: of the file.
        clock: the time of the name node, seconds since the epoch, rounded down; None if unknown.
        checksum: of its content.
    """
    seconds, rest = divmod(status.modified, 1000)
    tokens = {"modified": f"{seconds}.{rest:03}"}
    if status.identity:
        tokens["id"] = str(status.identity)
    if checksum is not None:
        tokens["checksum"] = checksum
    age = None if clock is None else clock - status.modified / 1000
    resolution = 0.001 if checksum is None else 0.0
    return Found(path, status.size, tokens, resolution=resolution, age=age)


def trouble_of(exception: str | None, status: int, message: str) -> Trouble:
    """What a RemoteException means (section "Error Responses").

    Args:
        exception: its name, None for an answer that is none.
        status: of HTTP. A 404 without an exception is that of another server, and does not say
            that a file is missing.
        message: what people read.
    """
    for names, trouble in _EXCEPTIONS.items():
        if exception in names:
            return trouble
    if exception is not None:
        missing = any(words in message for words in _NO_SUCH)
        return Trouble.MISSING if missing else Trouble.SERVER
    if status in _CLOSED_TO_US:
        return Trouble.REFUSED
    return Trouble.SERVER if status >= 500 else Trouble.MALFORMED  # noqa: PLR2004 - the class


def words_of(exception: str | None, message: str, name_nodes: int) -> str:
    """What is said to people of an error; of a name node that stands by in their words.

    Args:
        exception: as for `trouble_of`.
        message: likewise.
        name_nodes: how many were asked.
    """
    if exception != _STANDBY:
        return message
    several = name_nodes > 1
    return "no name node answers as the active one" if several else "the name node stands by"


def hint_of(exception: str | None, status: int, name_nodes: int, *, kerberos: bool) -> str | None:
    """What to do about an error, where that can be known.

    Args:
        exception: as for `trouble_of`.
        status: likewise.
        name_nodes: how many were asked.
        kerberos: whether a ticket was shown.
    """
    if exception == _STANDBY:
        several = name_nodes > 1
        return "make one of them active" if several else "name both name nodes in `url`"
    if exception is not None or status not in _CLOSED_TO_US:
        return None
    if kerberos:
        return "compare the clocks of both sides, and the keytab of the name node with its KDC"
    return "log in with `kerberos = true`, or with a delegation token in `token`"
