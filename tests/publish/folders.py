"""Folders of this machine as worse stores have them: hooks, faults, no renames, no replacing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hps.monitor.source import Found, SourceError, Trouble
from hps.monitor.sources.local import LocalSource
from hps.publish.content import Content, Sent
from hps.publish.destination import TakenError
from hps.publish.folders.local import LocalFolder

Hook = Callable[[str], object]


@dataclass
class OddFolder:
    """See `hps.publish.destination.Folder`.

    Args:
        folder: where.
        hook: is called before and after each step that changes something, and for each piece.
        moves: whether the store renames.
        replaces: whether it renames over a file.
    """

    folder: Path
    hook: Hook = lambda _: None
    moves: bool = True
    replaces: bool = True
    real: LocalFolder = field(init=False)

    def __post_init__(self) -> None:
        self.real = LocalFolder(self.folder)

    @property
    def name(self) -> str:
        return self.real.name

    def source(self, name: str) -> LocalSource:
        return self.real.source(name)

    def look(self, name: str) -> Found | None:
        return self.real.look(name)

    def renames(self) -> bool:
        return self.moves

    def send(self, name: str, content: Content, sent: Sent) -> None:
        def told(count: int) -> None:
            sent(count)
            self.hook("sending")

        self.hook("before send")
        if self.moves:
            self.real.send(name, content, told)
        else:  # a server of the kind that `in_place` asks for
            self.real.send(f"{name}~", content, told)
            (self.folder / f"{name}~").rename(self.folder / name)
        self.hook("after send")

    def rename(self, name: str, new: str) -> None:
        assert self.moves
        self.hook("before rename")
        if not self.replaces and (self.folder / new).exists():
            raise TakenError
        self.real.rename(name, new)
        self.hook("after rename")

    def remove(self, name: str) -> None:
        self.hook("before remove")
        self.real.remove(name)
        self.hook("after remove")

    def close(self) -> None:
        self.real.close()


@dataclass
class Breaks:
    """A hook by which the connection breaks at one step."""

    at: int
    seen: int = 0

    def __call__(self, _: str) -> None:
        self.seen += 1
        if self.seen == self.at + 1:
            raise SourceError(Trouble.UNREACHABLE, "the connection broke")


@dataclass
class Meets:
    """A hook by which something else happens as a whole at one step."""

    at: int
    what: Callable[[], object]
    seen: int = 0

    def __call__(self, _: str) -> None:
        self.seen += 1
        if self.seen == self.at + 1:
            self.what()
