"""Publishing a release so that no reader catches it half-way.

All parts are brought there under names that nobody looks for; then each gets its name: archive,
manifest, donefile. The donefile says what the archive is, so it comes last, and who publishes at
the same time is found out by looking once more:

* the one whose donefile came last finds its own archive there, or brings it there again;
* the other one finds a donefile that is not its own, and has been overtaken.

So when both have ended, donefile and archive belong together.
"""

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hps.errors import PublishError, UsageError
from hps.monitor.pull import PASSING
from hps.monitor.source import SourceError, Trouble
from hps.publish.content import PIECE, Content
from hps.publish.destination import NAME, Destination, Part
from hps.publish.interrupts import deferred
from hps.publish.precedence import Waived, check
from hps.publish.prepare import Release
from hps.store.retry import Deadlines, delay

_ROUNDS = 8  # of two that publish at the same time
# CHANGED: another publisher replaced a file while it was looked at.
_AGAIN = frozenset({*PASSING, Trouble.CHANGED})
_Result = TypeVar("_Result")

Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Names:
    """What the files are called there.

    Args:
        archives: of the archive; the donefile names the first.
        donefile: of the donefile.
    """

    archives: tuple[str, ...]
    donefile: str = "donefile"

    def check(self) -> None:
        """Refuse names that mean something else somewhere, and those that meet.

        Raises:
            UsageError: one cannot be used.
        """
        every = (*self.archives, *map(signature_name, self.archives), self.donefile)
        for name in every:
            if not NAME.fullmatch(name):
                raise UsageError(
                    f"{name[:200]!r} cannot be the name of a published file",
                    expected="ASCII letters, digits and . _ + -, begun by a letter or digit",
                )
        if len(set(every)) < len(every):
            raise UsageError("two of the published files have one name", got=", ".join(every))


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try.

    Args:
        deadlines: attempts of each step, and the waits between them.
        waived: what somebody said about the order of releases.
        progress: is called with a name, the bytes of it that were sent, and all its bytes.
        stop: ends every wait.
    """

    deadlines: Deadlines = field(default_factory=lambda: Deadlines(attempts=6))
    waived: Waived = field(default_factory=Waived)
    progress: Progress = lambda _name, _sent, _all: None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True, slots=True)
class Published:
    """What was done.

    Args:
        overtaken: somebody else has published at the same time, and came last.
        left: names of what could not be removed there.
        rounds: how often the parts were brought there: more than once when others published too.
    """

    overtaken: bool = False
    left: tuple[str, ...] = ()
    rounds: int = 1


def signature_name(archive: str) -> str:
    """What the manifest is called that lies beside an archive."""
    return f"{archive}.sig"


def parts_of(release: Release, names: Names) -> tuple[Part, ...]:
    """What is published, in the order in which it is shown."""
    archives = [Part(name, release.archive) for name in names.archives]
    document = Content.of_bytes(release.manifest)
    manifests = [Part(signature_name(name), document) for name in names.archives]
    last = Part(names.donefile, Content.of_bytes(release.donefile(names.archives[0])))
    return (*archives, *(manifests if release.manifest else ()), last)


def publish(
    destination: Destination, release: Release, names: Names, effort: Effort | None = None
) -> Published:
    """Publish a release.

    Args:
        destination: stays open.
        release: verified.
        names: of its files there.
        effort: how hard to try.

    Raises:
        PublishError: it may not follow what is published, or the store does not take it. What is
            published stays what it was, unless the error says otherwise.
        IntegrityError: the file was changed meanwhile.
    """
    names.check()
    return _Publishing(destination, release, parts_of(release, names), effort or Effort()).run()


def may_follow(destination: Destination, release: Release, effort: Effort | None = None) -> None:
    """Hold a release against what is published, and do nothing else.

    Raises:
        PublishError: it may not follow, or the donefile cannot be read.
    """
    _Publishing(destination, release, (), effort or Effort()).check_order()


class _Publishing:
    """One publish; `run` is called once."""

    def __init__(
        self, destination: Destination, release: Release, parts: Sequence[Part], effort: Effort
    ) -> None:
        self._destination = destination
        self._release = release
        self._parts = parts
        self._effort = effort

    def run(self) -> Published:
        left: tuple[str, ...] = ()
        try:
            self.check_order()
            rounds, overtaken = self._rounds()
        finally:
            left = self._destination.abandon()
        return Published(overtaken, left, rounds)

    def check_order(self) -> None:
        there = self._persist(self._destination.published)
        document = Content.of_bytes(self._release.manifest).blob
        check(
            there,
            self._release.signed,
            document,
            self._release.archive.blob,
            self._effort.waived,
        )

    def _rounds(self) -> tuple[int, bool]:
        *data, last = self._parts
        missing = list(self._parts)
        for number in range(1, _ROUNDS + 1):
            for part in missing:
                self._stage(part)
            if number == 1:
                self.check_order()  # sending takes long: another release may have come
            with deferred():
                for part in missing:
                    self._show(part)
            if not self._stands(last):
                return number, True
            missing = [part for part in data if not self._stands(part)]
            if not missing:
                return number, False
            missing.append(last)
            self._wait(random.uniform(0, 0.2) * number)  # noqa: S311 - so that two part ways
        raise PublishError(
            f"others keep publishing to {self._destination.name}",
            got=f"{_ROUNDS} attempts, and each time another archive beside our donefile",
            hint="let one at a time publish there, then publish again",
        )

    def _stage(self, part: Part) -> None:
        size = part.content.blob.size
        farthest = 0

        def sent(count: int) -> None:
            nonlocal farthest
            farthest = max(farthest, count)
            self._effort.progress(part.name, count, size)
            if self._effort.stop.is_set():
                raise KeyboardInterrupt

        self._persist(lambda: self._destination.stage(part, sent), lambda: farthest)

    def _show(self, part: Part) -> None:
        self._persist(lambda: self._destination.show(part))

    def _stands(self, part: Part) -> bool:
        return self._persist(lambda: self._destination.stands(part))

    def _persist(
        self, attempt: Callable[[], _Result], reached: Callable[[], int] = lambda: 0
    ) -> _Result:
        """Attempt until it works, makes no sense, or gets no further so many times."""
        failures, farthest = 0, 0
        deadlines = self._effort.deadlines
        while True:
            try:
                return attempt()
            except SourceError as error:
                failures = 1 if reached() >= farthest + PIECE else failures + 1
                farthest = max(farthest, reached())
                if error.trouble not in _AGAIN or failures >= deadlines.attempts:
                    raise self._failed(error, failures) from error
                self._wait(delay(failures, deadlines, error.after))

    def _wait(self, seconds: float) -> None:
        if self._effort.stop.wait(seconds):
            raise KeyboardInterrupt

    def _failed(self, error: SourceError, failures: int) -> PublishError:
        hint = error.hint
        if hint is None and error.trouble is Trouble.MISSING:
            hint = "make the folder there first: hps makes none"
        tried = f" ({failures} attempts)" if failures > 1 else ""
        return PublishError(
            f"cannot publish to {self._destination.name}: {error.message}{tried}",
            expected=error.expected,
            got=error.got,
            hint=hint or "publish again; what is published there is whole",
        )
