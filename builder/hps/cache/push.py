"""Sharing what was made here: outputs first, then the signed trace that leads to them."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hps.cache.documents import (
    PARCEL_LIMIT,
    TRACE_LIMIT,
    Parcel,
    parcel_name,
    stated_outputs,
    trace_name,
    trace_statement,
)
from hps.cache.expectation import Expectation, Outputs
from hps.cache.packing import SMALLEST, is_worth, pack
from hps.cache.place import Place
from hps.cache.pull import needs, ordered
from hps.derivation.record import Derivation, Step
from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, NotReproducibleError, PublishError
from hps.store import parallel
from hps.store.blobs import Store
from hps.store.cancellation import Cancellation
from hps.store.request import Event
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.predicates import TRACE
from hps.trust.statement import Statement

WORKERS = 4

Watch = Callable[[Event], None]


@dataclass(slots=True)
class Pushed:
    """What a push did.

    Args:
        traces: labels of steps whose traces were sent.
        known: how many traces were there already, and say the same.
        sent: outputs that were sent: digest to parcel.
        there: outputs that were there already.
        held: steps that may not leave, and the names that hold them back.
        strange: steps that others have made; they are theirs to share.
        unmade: steps that the store knows nothing of.
        seconds: that it took.
    """

    traces: list[str] = field(default_factory=list)
    known: int = 0
    sent: dict[Digest, Parcel] = field(default_factory=dict)
    there: set[Digest] = field(default_factory=set)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    unmade: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def wire(self) -> int:
        """Bytes that travelled."""
        return sum(parcel.wire.size for parcel in self.sent.values())

    @property
    def plain(self) -> int:
        """What they are unpacked."""
        return sum(parcel.plain.size for parcel in self.sent.values())


class Push:
    """One push to one place.

    Args:
        store: what is shared comes from there, hashed before it leaves.
        place: where it goes.
        signer: of the traces.
        again: send outputs even when the place says that it has them: it may hold other bytes.
    """

    def __init__(
        self, store: Store, place: Place, signer: AuthorisedSigner, *, again: bool = False
    ) -> None:
        self._store = store
        self._place = place
        self._signer = signer
        self._again = again
        self._told = Pushed()
        self._work = Cancellation()

    def run(
        self,
        steps: Iterable[Step],
        *,
        proved: Mapping[Step, Expectation],
        held: Mapping[Step, tuple[str, ...]],
        lent: Callable[[Digest], Outputs | None],
        watching: Callable[[Sequence[tuple[str, int]]], Watch],
    ) -> Pushed:
        """Share the traces of steps, and of all that they need, and the outputs that locks prove.

        Args:
            steps: of a target.
            proved: steps whose outputs are sent too, and what locks say of them; the outputs of
                other steps would never be fetched.
            held: steps of which nothing leaves, and the names that hold them back.
            lent: what others say of a derivation: leads on, and is not signed here.
            watching: told what may be sent (name, bytes); gives what takes events.

        Raises:
            KeyUnusableError: the key may not sign traces, or cannot be reached.
            StoreCorruptError: an output is damaged; it was set aside and not sent.
            NotReproducibleError: what was made here is not what the lock says, or the place has
                another result that this very key has signed.
            PublishError: the place takes nothing; what was sent before stays there.
        """
        begun = time.monotonic()
        self._signer.signer(TRACE)
        self._place.prepare()
        made = self._made(steps, lent)
        for step, (_, outputs) in made.items():
            if step in proved and not proved[step].fits(outputs):
                raise NotReproducibleError(
                    f"{step.label}: what was made here is not what hps.lock says",
                    hint="hps build, which names the first path that differs",
                )
        self._told.held = {step.label: names for step, names in held.items() if step in made}
        jobs = [step for step in made if step not in held]
        sizes = {
            step: sum(blob.size for blob in made[step][1].values())
            for step in jobs
            if step in proved
        }
        large = sorted(sizes, key=lambda step: -sizes[step])
        watch = watching([(step.label, sizes[step]) for step in large])
        tasks = [partial(self._share, index, step, made[step]) for index, step in enumerate(large)]
        # Of the others nothing but the trace goes up, which is nothing to watch.
        tasks += [partial(self._signpost, step, made[step]) for step in jobs if step not in sizes]
        stopping = _Stopping(self._work, self._place)
        _, failed = parallel.run(tasks, workers=WORKERS, notify=watch, cancellation=stopping)
        if failed:
            raise failed[min(failed)]
        self._told.traces.sort()
        self._told.seconds = time.monotonic() - begun
        return self._told

    def _made(
        self, steps: Iterable[Step], lent: Callable[[Digest], Outputs | None]
    ) -> dict[Step, tuple[Derivation, Outputs]]:
        """What was made here, with its own traces."""
        known: dict[Step, Outputs] = {}
        made: dict[Step, tuple[Derivation, Outputs]] = {}
        for step in ordered(steps):
            if not all(each in known for each in needs(step)):
                self._told.unmade.append(step.label)
                continue
            derivation = _resolved(step, known)
            own = self._store.traces.get(derivation.digest)
            found = lent(derivation.digest) if own is None else own
            if found is None:
                self._told.unmade.append(step.label)
                continue
            known[step] = found
            if own is None:
                self._told.strange.append(step.label)
            else:
                made[step] = (derivation, own)
        return made

    def _share(
        self,
        index: int,
        step: Step,
        made: tuple[Derivation, Outputs],
        emit: Callable[[Event], None],
    ) -> None:
        emit(Event("start", index))
        derivation, outputs = made
        sent = False
        with _failing():
            for blob in outputs.values():
                if not self._store.has(blob.digest):
                    self._told.unmade.append(f"{step.label} (collected)")
                    emit(Event("failed", index))
                    return
                sent |= self._share_output(blob)
                emit(Event("bytes", index, blob.size))
            self._share_trace(step, derivation, outputs)
        size = sum(blob.size for blob in outputs.values())
        emit(Event("done" if sent else "present", index, size))

    def _signpost(
        self, step: Step, made: tuple[Derivation, Outputs], _emit: Callable[[Event], None]
    ) -> None:
        with _failing():
            self._share_trace(step, *made)

    def _share_output(self, blob: Blob) -> bool:
        """Whether an output had to be sent."""
        if not self._again and self._is_there(blob):
            self._told.there.add(blob.digest)
            return False
        path = self._store.path(blob.digest)  # hashed, unless it was in this process
        with ExitStack() as stack:
            packed = self._packed(blob, path, stack)
            parcel = Parcel("identity", blob, blob) if packed is None else packed[0]
            self._place.upload(parcel.wire, path if packed is None else packed[1])
        if not self._place.has(parcel.wire):
            raise PublishError(
                f"{self._place.name} took {parcel.wire.digest} and keeps something else",
                expected=f"{parcel.wire.size} bytes",
                hint="its storage is damaged: docker-registry, for one, writes no blob again that "
                "it believes to have; remove the blob there, or name another repository",
            )
        self._place.write(parcel_name(blob.digest), parcel.as_bytes(), (parcel.wire,))
        self._told.sent[blob.digest] = parcel
        return True

    def _is_there(self, blob: Blob) -> bool:
        """Whether the place has the parcel of an output, and what that names."""
        try:
            data = self._place.read(parcel_name(blob.digest), PARCEL_LIMIT)
            parcel = None if data is None else Parcel.from_bytes(data, blob)
        except IntegrityError:
            return False  # garbage: it is written anew
        return parcel is not None and self._place.has(parcel.wire)

    def _packed(self, blob: Blob, path: Path, stack: ExitStack) -> tuple[Parcel, Path] | None:
        """An output packed into a file of its own, if that is worth it; gone with the stack."""
        if blob.size < SMALLEST:
            return None
        packed = stack.enter_context(contextlib.closing(_PackedFile(self._store)))
        with path.open("rb") as source:
            pack(source, packed, self._work.check)
        wire = packed.finish()
        return (Parcel("zstd", blob, wire), packed.path) if is_worth(blob, wire.size) else None

    def _share_trace(self, step: Step, derivation: Derivation, outputs: Outputs) -> None:
        name = trace_name(derivation.digest, self._signer.public.fingerprint)
        there = self._own_words(derivation.digest, self._place_read(name))
        if there is not None and dict(there) == dict(outputs):
            self._told.known += 1
            return
        if there is not None:
            raise NotReproducibleError(
                f"{step.label}: {self._place.name} has another result, signed with this very key",
                expected=", ".join(f"{name} {blob.digest}" for name, blob in sorted(there.items())),
                got=", ".join(f"{name} {blob.digest}" for name, blob in sorted(outputs.items())),
                hint="the step gives different bytes on different machines: hps build --check; "
                f"if the one there is wrong, remove {name}",
            )
        statement = trace_statement(derivation.digest, step.label, outputs)
        self._place.write(name, Bundle.sign(statement, self._signer).as_bytes())
        self._told.traces.append(step.label)

    def _place_read(self, name: str) -> bytes | None:
        try:
            return self._place.read(name, TRACE_LIMIT)
        except IntegrityError:
            return None  # garbage: it is written anew

    def _own_words(self, derivation: Digest, data: bytes | None) -> Outputs | None:
        """What this key has said of a derivation before; None when it was not this key."""
        try:
            bundle = None if data is None else Bundle.from_bytes(data)
            if bundle is None or not bundle.verified_by(self._signer.public):
                return None
            if not isinstance(bundle.content, Envelope):
                return None
            statement = Statement.from_bytes(bundle.content.payload)
            about = {one.digest for one in statement.subjects}
            return stated_outputs(statement) if about == {derivation} else None
        except IntegrityError:
            return None


class _PackedFile:
    """An unfinished file of the store: hashed as it is written, gone when it is closed."""

    def __init__(self, store: Store) -> None:
        self._filesystem = store.filesystem
        self._file = store.workspace.create()
        self._hasher = hashlib.sha256()
        self._size = 0
        self.path = Path(self._file.name)

    def write(self, data: bytes) -> None:
        self._hasher.update(data)
        self._size += len(data)
        self._filesystem.write(self._file, data)

    def finish(self) -> Blob:
        self._filesystem.seal(self._file)
        return Blob(Digest(self._hasher.hexdigest()), self._size)

    def close(self) -> None:
        self._filesystem.abandon(self._file)


class _Stopping(Cancellation):
    """Calls off what the place is doing too."""

    def __init__(self, work: Cancellation, place: Place) -> None:
        super().__init__()
        self._own = work
        self._place = place

    def cancel(self) -> None:
        super().cancel()
        self._own.cancel()
        self._place.abandon()


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """The first failure ends the push: another hundred steps would wait as long."""
    try:
        yield
    except FetchError as error:
        raise PublishError(
            error.message, got=error.got, hint=error.hint, details=error.details
        ) from error


def _resolved(step: Step, known: Mapping[Step, Outputs]) -> Derivation:
    inputs = {
        role: value if isinstance(value, Digest) else known[value[0]][value[1]].digest
        for role, value in step.inputs.items()
    }
    return Derivation(step.kind, step.label, inputs, step.parameters)
