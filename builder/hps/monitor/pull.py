"""Pull a model out of any source into a folder, whole or not at all.

What may pass is tried again, what broke off is carried on, what changed meanwhile is pulled
anew, and nothing goes beyond a cap, a deadline or the disk. Whether the bytes are the right
ones is not decided here: every file comes with the digest of what lies on the disk.
"""

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeVar

from hps.digest import Digest
from hps.monitor.look import Look, agree, check_model, is_settled, too_large
from hps.monitor.pull_folder import Begun, PullFolder
from hps.monitor.pulled import Cause, Effort, Pulled, PulledFile, PullError
from hps.monitor.source import PIECE, Caps, Found, Reading, Source, SourceError, Trouble
from hps.store.retry import Pace, delay

PASSING = frozenset({Trouble.UNREACHABLE, Trouble.STALLED, Trouble.TRUNCATED, Trouble.SERVER})
# Gone or another file after it was found: somebody publishes right now.
_REPLACED = frozenset({Trouble.CHANGED, Trouble.MISSING})
_LOOKED_AT = 64 << 20  # bytes written between two looks at the free space

Progress = Callable[[int, int], object]
_Result = TypeVar("_Result")


def pull(
    source: Source,
    folder: Path,
    *,
    caps: Caps | None = None,
    effort: Effort | None = None,
    stop: threading.Event | None = None,
    progress: Progress = lambda _held, _announced: None,
) -> Pulled:
    """Pull what a source offers now.

    Args:
        source: stays open.
        folder: of this model and this host's user alone; made if need be. What an earlier pull
            that did not come to its end left there is carried on with where that is safe, and
            removed elsewhere.
        caps: beyond which nothing is pulled.
        effort: how hard to try.
        stop: looked at between pieces and in every wait. Who sets it also closes the source,
            which ends a read that waits.
        progress: called with the bytes that are there and the bytes that were announced.

    Raises:
        SourceError: the source's last answer, when no attempt is left or none makes sense.
        PullError: see `Cause`.
        StoreError: the disk, at the very end.
    """
    terms = _Terms(caps or Caps(), effort or Effort(), stop or threading.Event(), progress)
    return _Pull(source, PullFolder(folder), terms).run()


@dataclass(frozen=True, slots=True)
class _Terms:
    caps: Caps
    effort: Effort
    stop: threading.Event
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Taken:
    file: PulledFile
    begun: Begun


class _Pull:
    """One pull; `run` is called once."""

    def __init__(self, source: Source, folder: PullFolder, terms: _Terms) -> None:
        self._source = source
        self._folder = folder
        self._caps = terms.caps
        self._effort = terms.effort
        self._stop = terms.stop
        self._progress = terms.progress
        self._deadlines = terms.effort.as_deadlines()
        self._end = time.monotonic() + terms.effort.total
        self._taken: dict[str, _Taken] = {}
        self._announced = 0
        self._held = 0  # bytes of the files of this round, the one at work included
        self._received = 0
        self._looked_at = 0  # `_received` when the free space was asked for

    def run(self) -> Pulled:
        rounds = self._effort.rounds
        for number in range(1, rounds + 1):
            before = self._look()
            files = self._round(before)
            if files is not None:
                after = self._look()
                if before.is_like(after) and _has_sizes(files, after):
                    return self._finished(files, before, after)
            if number < rounds:
                self._wait(delay(number, self._deadlines))
        raise PullError(
            Cause.UNSTEADY,
            f"{self._source.name} changed during each of {rounds} pulls",
            hint="publish less often than a pull takes, or replace the model by a rename",
        )

    def _finished(self, files: list[PulledFile], before: Look, after: Look) -> Pulled:
        try:
            self._folder.make_last([file.path for file in files])
            self._folder.forget()
        except OSError as error:
            raise _disk(error) from error
        return Pulled(tuple(files), before, after, self._received)

    def _look(self) -> Look:
        def ask() -> Look:
            return Look(self._source.donefile(), self._source.model())

        return self._persist(ask, passing={*PASSING, Trouble.CHANGED})

    def _round(self, look: Look) -> list[PulledFile] | None:
        """All files once; None when one was replaced meanwhile."""
        check_model(look.model, self._caps)
        self._announced, self._held = look.size(), 0
        try:
            self._folder.keep_only([found.path for found in look.model])
            self._check_room(look)
            return [self._file(found) for found in look.model]
        except OSError as error:
            raise _disk(error) from error
        except SourceError as error:
            if error.trouble in _REPLACED:
                return None
            raise

    def _check_room(self, look: Look) -> None:
        needed = sum(
            max((found.size or 0) - self._folder.size(found.path), 0) for found in look.model
        )
        self._demand(needed)

    def _demand(self, needed: int) -> None:
        free, reserve = self._folder.free(), self._effort.reserve
        if free - needed < reserve:
            raise PullError(
                Cause.DISK,
                "the disk has no room for the model",
                expected=f"{needed} bytes and {reserve} that stay free",
                got=f"{free} bytes free",
                hint="free some space, keep fewer generations, or name another local path",
            )

    def _file(self, found: Found) -> PulledFile:
        known = self._taken.get(found.path)
        if known is not None and known.begun.is_beginning_of(found):
            self._held += known.file.size
            return known.file
        held = self._held

        def attempt() -> PulledFile:
            self._held = held
            return self._attempt(found)

        file = self._persist(attempt, lambda: self._held - held)
        begun = self._folder.begun(found.path)
        if begun is not None:
            self._taken[found.path] = _Taken(file, begun)
        return file

    def _attempt(self, found: Found) -> PulledFile:
        begun = self._folder.begun(found.path)
        keep = begun is not None and begun.is_beginning_of(found)
        with self._folder.open(found.path, keep=keep) as file:
            content = _Content(file)
            if keep:
                self._hash_what_is_there(content)
            if found.size is not None and content.size > found.size:
                content.restart()
            if not content.size or content.size != found.size:
                self._held += content.size
                self._read(found, content)
            else:
                self._advance(content.size)
            return self._checked(found, content)

    def _hash_what_is_there(self, content: "_Content") -> None:
        while content.hash_piece():
            self._check()

    def _read(self, found: Found, content: "_Content") -> None:
        with self._source.read(found, content.size) as reading:
            self._begin(found, content, reading)
            pace = Pace(self._deadlines, time.monotonic())
            for piece in reading.pieces:
                self._check()
                if content.size + len(piece) > self._most(found, reading, content.size):
                    raise SourceError(
                        Trouble.CHANGED, f"{_title(found)} is longer than it was announced"
                    )
                if self._held + len(piece) > self._caps.bytes:
                    raise too_large("bytes", self._caps.bytes, f"{self._held} and more")
                content.write(piece)
                self._received += len(piece)
                self._advance(len(piece))
                if self._received - self._looked_at >= _LOOKED_AT:
                    self._looked_at = self._received
                    self._demand(0)
                if pace.is_too_slow(len(piece), time.monotonic()):
                    raise SourceError(
                        Trouble.STALLED,
                        f"{self._source.name} sends too slowly",
                        expected=f"{self._effort.minimum_rate} bytes a second and more",
                    )
            size = reading.found.size if found.size is None else found.size
            if size is not None and content.size < size:
                raise SourceError(
                    Trouble.TRUNCATED,
                    f"{_title(found)} ended early",
                    expected=f"{size} bytes",
                    got=f"{content.size} bytes",
                )

    def _begin(self, found: Found, content: "_Content", reading: Reading) -> None:
        if not agree(found, reading.found):
            raise SourceError(Trouble.CHANGED, f"{_title(found)} was replaced before it was read")
        if reading.start not in {0, content.size}:
            raise SourceError(
                Trouble.MALFORMED,
                f"{_title(found)} was read from another place than was asked for",
                expected=content.size,
                got=reading.start,
            )
        if reading.start == 0:
            self._held -= content.size
            content.restart()
            self._folder.note(Begun(found, is_settled(found, time.time())))

    @staticmethod
    def _most(found: Found, reading: Reading, held: int) -> int:
        """Bytes that the file can have at most."""
        size = reading.found.size if found.size is None else found.size
        return held + PIECE if size is None else size

    def _checked(self, found: Found, content: "_Content") -> PulledFile:
        digest = Digest(content.hash.hexdigest())
        said = found.tokens.get("digest")
        if said is not None and said != str(digest):
            content.restart()  # nothing of it is worth to be kept
            raise SourceError(
                Trouble.TRUNCATED,
                f"{_title(found)} does not have the digest that its place tells",
                expected=said,
                got=digest,
            )
        location = self._folder.location(found.path)
        return PulledFile(found.path, location, content.size, digest)

    def _persist(
        self,
        attempt: Callable[[], _Result],
        reached: Callable[[], int] = lambda: 0,
        passing: Collection[Trouble] = PASSING,
    ) -> _Result:
        """Attempt until it works, makes no sense, or gets no further so many times."""
        failures, farthest = 0, 0
        while True:
            self._check()
            try:
                return attempt()
            except SourceError as error:
                self._check()
                if error.trouble not in passing:
                    raise
                # A server that adds a byte to each attempt shall not be tried for ever.
                failures = 1 if reached() >= farthest + PIECE else failures + 1
                farthest = max(farthest, reached())
                if failures >= self._effort.attempts:
                    raise
                self._wait(delay(failures, self._deadlines, error.after))

    def _advance(self, count: int) -> None:
        self._held += count
        self._progress(self._held, self._announced)

    def _wait(self, seconds: float) -> None:
        self._stop.wait(min(seconds, max(self._end - time.monotonic(), 0.0)))
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise PullError(Cause.STOPPED, f"the pull from {self._source.name} was stopped")
        if time.monotonic() >= self._end:
            raise PullError(
                Cause.DEADLINE,
                f"{self._source.name} took too long",
                expected=f"a whole model within {self._effort.total:g} s",
                got=f"{self._received} bytes",
                hint="the next pull carries on; allow more time if the model is that large",
            )


class _Content:
    """A file that is hashed as far as it is written; all of it, or it starts again."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def hash_piece(self) -> bool:
        """Take up the next piece of what is there; False at its end."""
        piece = self._file.read(PIECE)
        self.hash.update(piece)
        self.size += len(piece)
        return bool(piece)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:  # a write may be short, for instance on a disk that is nearly full
            rest = rest[self._file.write(rest) :]
        self.hash.update(piece)
        self.size += len(piece)


def _has_sizes(files: list[PulledFile], look: Look) -> bool:
    """Whether nothing that came is shorter or longer than what its place tells of it now.

    The look before may not have told a size, and then a wrong Content-Length was believed.
    """
    return all(
        found.size in {None, file.size} for file, found in zip(files, look.model, strict=True)
    )


def _title(found: Found) -> str:
    return f"the file {found.path!r} of the model" if found.path else "the packed model"


def _disk(error: OSError) -> PullError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return PullError(
        Cause.DISK,
        f"the disk refused a file of the model: {error.strerror}",
        hint="free some space, or name another local path"
        if full
        else "make the local path writable for the user of the monitor",
    )
