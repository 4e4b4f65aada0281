"""A cache during one run: asked while it answers, given up when it does not, and that told once."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from hps.cache.acceptance import Decision, Signed, decide, keys_of
from hps.cache.documents import (
    PARCEL_LIMIT,
    TRACE_LIMIT,
    Parcel,
    parcel_name,
    trace_name,
)
from hps.cache.packing import Unpacker
from hps.cache.place import Place
from hps.digest import Blob, Digest
from hps.errors import FetchError, HpsError, IntegrityError, NotFoundError
from hps.store.blobs import Store
from hps.store.cancellation import Cancelled
from hps.store.foreign_text import printable
from hps.store.writer import BlobWriter
from hps.trust.policy import Policy
from hps.trust.verdict import Reason

_ASKING = 3  # times its patience: what all traces together may take

Clock = Callable[[], datetime]


class GivenUpError(FetchError):
    """The cache is not asked any more in this run."""


@dataclass(slots=True)
class Tally:
    """What a cache was asked, and what came of it.

    Args:
        asked: traces that were asked for.
        believed: those that were there and that the policy believes.
        refused: why others were not; and blobs that were not what they should be.
        blobs: outputs that were received, whole and verified.
        wire: their bytes as they travelled.
        plain: their bytes as they are.
        given_up: why it is not asked any more; empty as long as it is.
    """

    asked: int = 0
    believed: int = 0
    refused: list[str] = field(default_factory=list)
    blobs: int = 0
    wire: int = 0
    plain: int = 0
    given_up: str = ""


class PatientCache:
    """A place with a name, a policy, and an end of patience. Safe to use from several threads.

    Args:
        name: as in hps.toml.
        place: where it keeps its bytes.
        policy: whose traces count.
        patience: seconds without an answer after which it is given up; three times as long for
            all traces together.
        tell: takes one line for people.
        now: gives the time against which validity is held, as `judge` wants it.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        policy: Policy,
        *,
        patience: float,
        tell: Callable[[str], object],
        now: Clock,
    ) -> None:
        self.name = name
        self.place = place
        self.policy = policy
        self.tally = Tally()
        self._patience = patience
        self._tell = tell
        self._now = now
        self._guard = threading.Lock()
        self._asking: float | None = None

    @property
    def alive(self) -> bool:
        """Whether it is still asked."""
        return not self.tally.given_up

    def begin(self) -> None:
        """Begin with another target: its traces have time of their own."""
        with self._guard:
            self._asking = None

    def trace(self, derivation: Digest) -> Decision:
        """What it says that a derivation came out as, and whether the policy believes it.

        Raises:
            GivenUpError: it did not answer, now or before.
        """
        with self._guard:
            now = time.monotonic()
            self._asking = self._asking or now
            spent = now - self._asking
        if spent > _ASKING * self._patience:
            self._give_up(f"its traces took {spent:.0f} s and are not all here")
        found: list[Signed] = []
        for key in keys_of(self.policy):
            name = trace_name(derivation, key.public.fingerprint)
            with self._watched(self._patience):
                data = self._document(name, TRACE_LIMIT)
            if data is not None:
                found.append(Signed(f"{self.name}:{name}", data))
        decision = decide(derivation, found, self.policy, now=self._now())
        with self._guard:
            self.tally.asked += 1
            self.tally.believed += decision.outputs is not None
        for reason in decision.reasons:
            self.refuse(_told(reason))
        return decision

    def parcel(self, output: Blob) -> Parcel | None:
        """In which packing it has an output, if it has it.

        Raises:
            GivenUpError: it did not answer, now or before.
        """
        name = parcel_name(output.digest)
        with self._watched(self._patience):
            data = self._document(name, PARCEL_LIMIT)
        if data is None:
            return None
        try:
            return Parcel.from_bytes(data, output)
        except IntegrityError as error:
            self.refuse(f"{name}: {error.message}: {error.got}")
            return None

    def has(self, parcel: Parcel) -> bool:
        """Whether it says that the bytes of a parcel are there.

        Raises:
            GivenUpError: it did not answer, now or before.
        """
        with self._watched(self._patience):
            return self.place.has(parcel.wire)

    def receive(
        self, output: Blob, store: Store, progress: Callable[[int], object] = lambda _: None
    ) -> bool:
        """Bring an output into the store; every byte is verified before anybody can read it.

        Args:
            output: digest and size; both decide.
            store: where it goes.
            progress: called with a number of bytes; a negative one when they come again.

        Returns:
            Whether it is there now.

        Raises:
            GivenUpError: it did not answer, now or before.
            StoreError: the store cannot be written.
        """
        parcel = self.parcel(output)
        if parcel is None:
            return False
        receiver = _Receiver(parcel, store, progress)
        try:
            with contextlib.closing(receiver), self._watched(None):
                self.place.stream(parcel.wire, receiver.write, receiver.restart)
                receiver.commit()
        except NotFoundError:
            self.refuse(f"{output.digest}: its parcel names a blob that is not there")
            return False
        except IntegrityError as error:
            self.refuse(f"{output.digest}: {error.message} (got {error.got})")
            return False
        with self._guard:
            self.tally.blobs += 1
            self.tally.wire += parcel.wire.size
            self.tally.plain += output.size
        return True

    def stop(self) -> None:
        """End what other threads are doing with it, without a word."""
        with self._guard:
            self.tally.given_up = self.tally.given_up or "it was called off"
        self.place.abandon()

    def refuse(self, why: str) -> None:
        """Note that it had something that is not used."""
        with self._guard:
            self.tally.refused.append(printable(why, 500))

    def _document(self, name: str, limit: int) -> bytes | None:
        try:
            return self.place.read(name, limit)
        except IntegrityError as error:
            self.refuse(f"{name}: {error.message} (got {error.got})")
            return None

    @contextlib.contextmanager
    def _watched(self, seconds: float | None) -> Iterator[None]:
        """One call: what fails, or takes longer, ends all that is done with the cache."""
        if not self.alive:
            raise GivenUpError(f"the cache {self.name} was given up: {self.tally.given_up}")
        timer = None
        if seconds is not None:
            late = f"no answer within {seconds:g} s"
            timer = threading.Timer(seconds, self._end, (late,))
            timer.daemon = True
            timer.start()
        try:
            yield
        except NotFoundError:
            raise
        except (FetchError, Cancelled) as error:
            self._give_up(error.message if isinstance(error, HpsError) else "it was called off")
        finally:
            if timer is not None:
                timer.cancel()

    def _give_up(self, why: str) -> None:
        self._end(why)
        raise GivenUpError(f"the cache {self.name} was given up: {self.tally.given_up}")

    def _end(self, why: str) -> None:
        with self._guard:
            if self.tally.given_up:
                return
            self.tally.given_up = printable(why, 300)
        self.place.abandon()
        self._tell(f"the cache {self.name} is not asked any more: {self.tally.given_up}")


class _Receiver:
    """Unpacks one parcel into the store; its file is made when the first byte is there."""

    def __init__(self, parcel: Parcel, store: Store, progress: Callable[[int], object]) -> None:
        self._parcel = parcel
        self._store = store
        self._progress = progress
        self._stack = contextlib.ExitStack()
        self._open: tuple[BlobWriter, Unpacker] | None = None

    def write(self, piece: bytes) -> None:
        writer, unpacker = self._begun()
        before = writer.size
        unpacker.write(piece)
        self._progress(writer.size - before)

    def restart(self) -> None:
        if self._open is not None:
            self._progress(-self._open[0].size)
        self.close()

    def commit(self) -> None:
        writer, _ = self._begun()
        plain = self._parcel.plain
        writer.commit(plain.digest, plain.size)

    def close(self) -> None:
        self._open = None
        self._stack.close()

    def _begun(self) -> tuple[BlobWriter, Unpacker]:
        if self._open is None:
            writer = self._stack.enter_context(self._store.writer())
            self._open = writer, Unpacker(self._parcel, writer)
        return self._open


def _told(reason: Reason) -> str:
    return f"{reason.where}: {reason.code}: {reason.text}"
