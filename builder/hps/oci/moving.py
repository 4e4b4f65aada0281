"""Blobs on the move, several at once, and what came of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hps.digest import Digest
from hps.oci.registry import Placed
from hps.oci.shipment import Part, Shipment
from hps.store import parallel
from hps.store.cancellation import Cancellation
from hps.store.request import Event
from hps.store.sending import Sent

JOBS = 6  # blobs at once


class Watch(Protocol):
    """Who is told how far it is."""

    def moving(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """Blobs with their sizes in bytes; gives what takes the events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What came of a copy, or (dry) what would come of it.

    Args:
        place: where the image is now.
        root: its manifest or index.
        parts: what became of each blob.
        attachments: digests of signatures and attestations that are there too.
        before: what the name stood for, where that is known and is something else.
        notes: for people.
        image_id: what a Docker engine calls it.
    """

    place: str
    root: Digest
    media_type: str
    parts: tuple[tuple[Part, Placed], ...]
    attachments: tuple[Digest, ...] = ()
    before: Digest | None = None
    notes: tuple[str, ...] = ()
    image_id: str | None = None
    dry: bool = False

    def sum(self, placed: Placed) -> int:
        """Bytes of the parts that came that way."""
        return sum(part.size for part, how in self.parts if how is placed)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        found: dict[str, Any] = {
            "place": self.place,
            "digest": str(self.root),
            "media_type": self.media_type,
            "dry_run": self.dry,
            "before": None if self.before is None else str(self.before),
            "bytes": {how.value: self.sum(how) for how in Placed},
            "blobs": [
                {
                    "digest": str(part.digest),
                    "size": part.size,
                    "media_type": part.media_type,
                    "placed": how.value,
                }
                for part, how in self.parts
            ],
            "attachments": [str(one) for one in self.attachments],
            "notes": list(self.notes),
        }
        return found if self.image_id is None else found | {"image_id": self.image_id}


@dataclass(frozen=True, slots=True)
class Mover:
    """How blobs are moved.

    Args:
        watch: who is told.
        jobs: how many at once.
        ending: called when the work is called off, so that no thread waits for a silent server.
    """

    watch: Watch
    jobs: int = JOBS
    ending: tuple[Callable[[], None], ...] = field(default=())

    def each(
        self, parts: Sequence[Part], work: Callable[[Part, Sent], Placed]
    ) -> tuple[tuple[Part, Placed], ...]:
        """Move parts; the first fault that is no one's alone ends all, others are told at the end.

        Args:
            parts: in the order in which they are begun.
            work: moves one; is called in several threads.

        Raises:
            HpsError: the first of what `work` raised.
        """
        told = self.watch.moving([(part.digest.short, part.size) for part in parts])

        def task(index: int) -> Callable[[Callable[[Event], None]], Placed]:
            return lambda tell: self._one(index, parts[index], work, tell)

        done, failed = parallel.run(
            [task(index) for index in range(len(parts))],
            workers=self.jobs,
            notify=told,
            cancellation=_Ending(self.ending),
        )
        if failed:
            raise failed[min(failed)]
        return tuple((part, done[index]) for index, part in enumerate(parts))

    @staticmethod
    def _one(
        index: int,
        part: Part,
        work: Callable[[Part, Sent], Placed],
        tell: Callable[[Event], None],
    ) -> Placed:
        tell(Event("start", index))
        before = 0

        def sent(total: int) -> None:
            nonlocal before
            if total >= before:
                tell(Event("bytes", index, total - before))
            else:
                tell(Event("restart", index, before - total))
            before = total

        placed = work(part, sent)
        sent(part.size)
        tell(Event("done" if placed is Placed.SENT else "present", index, part.size))
        return placed


class _Ending(Cancellation):
    """Called off together with what the blobs are moved by."""

    def __init__(self, ending: Sequence[Callable[[], None]]) -> None:
        super().__init__()
        self._ending = ending

    def cancel(self) -> None:
        super().cancel()
        for end in self._ending:
            end()


def shipped(shipment: Shipment) -> tuple[Digest, ...]:
    """The attachments of a shipment, for a report."""
    return tuple(one.digest for one in shipment.attachments)
