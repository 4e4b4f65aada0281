"""The ports behind which releases are published.

A `Destination` takes the parts of a release one after the other; a `Folder` is what most of them
are made of (`hps.publish.in_folder`). Both raise SourceError, as sources do, and may be asked
again after any error.
"""

import contextlib
import re
from dataclasses import dataclass
from typing import Protocol

from hps.model.donefile import Hint
from hps.monitor.source import Found, Source, SourceError, Trouble
from hps.publish.content import Content, Sent

# What every store takes for itself: no sign of a shell, an address or a pattern.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of what is published.

    Args:
        name: by which readers know it.
        content: its bytes.
    """

    name: str
    content: Content


class TakenError(Exception):
    """A store does not rename over what is there."""


class CannotRenameError(Exception):
    """A store does not rename at all."""


class Destination(Protocol):
    """One place where releases are published."""

    @property
    def name(self) -> str:
        """The place for people, without secrets."""
        ...

    def published(self) -> Hint | None:
        """What the donefile there says; None when there is none."""
        ...

    def stage(self, part: Part, sent: Sent) -> None:
        """Bring a part there, whole and looked at, where no reader takes it.

        Called again after an error it carries on where the store can.
        """
        ...

    def show(self, part: Part) -> None:
        """Give a staged part its name, over what has it: in one step where the store can.

        Called again after an error it finds out whether it had happened.
        """
        ...

    def stands(self, part: Part) -> bool:
        """Whether a part that was shown still has its name, and nobody else's has."""
        ...

    def abandon(self) -> tuple[str, ...]:
        """Remove what was staged and not shown; gives what could not be removed."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class Folder(Protocol):
    """One folder of a store. Names are those of `NAME`, or of `hps.publish.in_folder.fresh`."""

    @property
    def name(self) -> str:
        """The folder for people, without secrets."""
        ...

    def source(self, name: str) -> Source:
        """What a monitor sees: a packed model of this name, and a donefile of this name.

        Whoever asks closes it.
        """
        ...

    def look(self, name: str) -> Found | None:
        """What the store says of a file; None when there is none."""
        ...

    def renames(self) -> bool:
        """Whether the store can rename."""
        ...

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """Write a file, over what is there; called again it carries on where it can."""
        ...

    def rename(self, name: str, new: str) -> None:
        """Rename a file, in one step.

        Raises:
            TakenError: `new` is there, and the store does not rename over it.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is none the worse for it."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


def look_by(source: Source) -> Found | None:
    """What a source says of its packed model, for stores that need no other way; closes it."""
    with contextlib.closing(source):
        try:
            (found,) = source.model()
        except SourceError as error:
            if error.trouble is Trouble.MISSING:
                return None
            raise
    return found
