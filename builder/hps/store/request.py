"""What is wanted from outside, and where it comes from, as data."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from hps.digest import Digest

LARGEST = 1 << 36  # bytes; bound of a file whose size nobody announced


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonOrigin:
    """A file of a project on a Python index; `alias` is that of hps.toml."""

    alias: str
    project: str

    def __str__(self) -> str:
        return f"{self.project} from the index {self.alias!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianOrigin:
    """A package in the pool of a Debian archive.

    Args:
        source: alias of hps.toml.
        archive: which of Debian's archives, decided by the suite.
        suite: where the package was found when it was locked.
        pool: path in the archive, as in the field Filename of a Packages index.
        name: of the package.
        version: of the package.
        fallbacks: templates of snapshot archives with `{archive}` and `{time}`.
        time: what `{time}` stands for.
    """

    source: str
    archive: Literal["debian", "debian-security"]
    suite: str
    pool: str
    name: str
    version: str
    fallbacks: tuple[str, ...] = ()
    time: datetime | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version} from {self.archive} ({self.suite})"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOrigin:
    """A plain file: the first path that exists, else the first address that answers.

    `obtain` says where a person gets it, for when there is neither.
    """

    paths: tuple[Path, ...] = ()
    urls: tuple[str, ...] = ()
    obtain: str | None = None

    def __str__(self) -> str:
        return "a plain file"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOrigin:
    """A blob of a repository in a registry; `alias` is that of hps.toml."""

    alias: str
    repository: str

    def __str__(self) -> str:
        return f"{self.repository} from the registry {self.alias!r}"


Origin = PythonOrigin | DebianOrigin | FileOrigin | RegistryOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A locked artifact: digest and size (bytes) are known and decide."""

    digest: Digest
    size: int
    file: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A file that is about to be locked.

    Args:
        file: its name.
        origin: where it comes from.
        digest: what a resolver or hps.toml says, if it does; without it the index is asked.
        size: in bytes, if known.
        limit: upper bound in bytes when the size is not known.
    """

    file: str
    origin: Origin
    digest: Digest | None = None
    size: int | None = None
    limit: int = LARGEST


@dataclass(frozen=True, slots=True)
class Event:
    """Something to show: `count` bytes more, or (restart) so many bytes that do not count.

    `index` is the place of the request in the sequence that was given to the fetcher.
    """

    kind: Literal["present", "start", "bytes", "restart", "done", "failed"]
    index: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """One address to try, and a name for it that people know.

    `digest` and `size` are what the place itself announces; a lock is never overruled by them.
    """

    label: str
    url: str
    digest: Digest | None = None
    size: int | None = None
