"""Fetch artifacts into the store, verifying while reading.

Where an alias lives is decided by `origins`, how bytes travel by `http`, what is right by the
lock. Here: what is missing, which place is tried next, and one report for all that failed.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol

from hps.digest import Blob
from hps.errors import FetchError, HpsError, IntegrityError, NotFoundError, OfflineError
from hps.store import debian_archive, parallel, plain_file, python_index
from hps.store import url as address
from hps.store.blobs import Store
from hps.store.cancellation import Cancellation
from hps.store.http import Http
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from hps.store.request import (
    DebianOrigin,
    Event,
    FileOrigin,
    NewRequest,
    Place,
    PythonOrigin,
    RegistryOrigin,
    Request,
)
from hps.store.writer import BlobWriter

_WORKERS = 6
_REPORTED = 20  # failures that are told in full; the rest are counted

Progress = Callable[[Event], None]
_Emit = Callable[[Event], None]


class Registries(Protocol):
    """Where blobs of images come from; speaking with registries is another room's affair."""

    def receive(
        self,
        origin: RegistryOrigin,
        blob: Blob,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        cancellation: Cancellation,
    ) -> None:
        """Hand a blob to `sink`, verified when this returns; `restart` makes it forget.

        Raises:
            FetchError: no address of the registry gave it.
            IntegrityError: one gave other bytes.
        """


class Fetcher:
    """Brings artifacts into the store, several at a time.

    Args:
        store: where they go; what it has is not fetched.
        http: how they travel.
        origins: where aliases live.
        offline: refuse everything that is not on this machine.
        registries: where blobs of images come from, if any are asked for.
        index_http: how Python packages travel, if in another way.
        archive_http: how Debian packages travel, if in another way.
    """

    def __init__(
        self,
        store: Store,
        http: Http,
        origins: Origins,
        *,
        offline: bool = False,
        registries: Registries | None = None,
        index_http: Http | None = None,
        archive_http: Http | None = None,
    ) -> None:
        self._store = store
        self._http = http
        self._index_http = index_http or http
        self._archive_http = archive_http or http
        self._origins = origins
        self._offline = offline
        self._registries = registries
        self._lock = threading.Lock()
        self._indexes: dict[str, PythonIndex] = {}

    def fetch(
        self,
        requests: Sequence[Request],
        progress: Progress = lambda _: None,
        workers: int = _WORKERS,
    ) -> None:
        """Fetch what the store does not have. Returns when all of it is there, verified.

        Args:
            requests: the locked artifacts; one digest is fetched once.
            progress: told what happens, in this thread.
            workers: downloads at a time.

        Raises:
            OfflineError: something is missing and `offline` is set.
            IntegrityError: other bytes came than were locked; nothing of them is kept.
            NotFoundError: nobody has some of them.
            FetchError: some could not be fetched; all failures are in `details`.
            StoreError: the store cannot be written.
        """
        self._fetch(
            [
                NewRequest(file=r.file, origin=r.origin, digest=r.digest, size=r.size)
                for r in requests
            ],
            progress,
            workers,
        )

    def fetch_new(
        self,
        requests: Sequence[NewRequest],
        progress: Progress = lambda _: None,
        workers: int = _WORKERS,
    ) -> tuple[Blob, ...]:
        """Fetch files that are about to be locked, and tell what they are, in order.

        A digest that the request or the index gives must fit; raises as `fetch` does.
        """
        blobs = self._fetch(requests, progress, workers)
        return tuple(blobs[index] for index in range(len(requests)))

    def _fetch(
        self, requests: Sequence[NewRequest], progress: Progress, workers: int
    ) -> Mapping[int, Blob]:
        blobs: dict[int, Blob] = {}
        wanted: dict[int, NewRequest] = {}
        first: dict[str, int] = {}
        for index, request in enumerate(requests):
            if request.digest is not None and self._store.has(request.digest):
                blobs[index] = Blob(request.digest, self._store.size(request.digest))
                progress(Event("present", index, blobs[index].size))
            elif request.digest is None or first.setdefault(request.digest.hex, index) == index:
                wanted[index] = request
        plain_file.require(wanted.values())
        if self._offline:
            _refuse_offline(wanted.values())
        cancellation = Cancellation()
        numbers = list(wanted)
        fetched, failed = parallel.run(
            [self._task(index, wanted[index], cancellation) for index in numbers],
            workers=workers,
            notify=progress,
            cancellation=cancellation,
        )
        if failed:
            raise combined([(wanted[numbers[each]].file, failed[each]) for each in sorted(failed)])
        blobs |= {numbers[each]: blob for each, blob in fetched.items()}
        for index, request in enumerate(requests):
            if index not in blobs and request.digest is not None:
                blobs[index] = blobs[first[request.digest.hex]]
        return blobs

    def _task(
        self, index: int, request: NewRequest, cancellation: Cancellation
    ) -> Callable[[_Emit], Blob]:
        def task(emit: _Emit) -> Blob:
            emit(Event("start", index))
            receive = _Receiver(self._store, index, emit)
            try:
                blob = self._fetch_one(request, receive, cancellation)
            except BaseException:
                emit(Event("failed", index))
                raise
            finally:
                receive.close()
            emit(Event("done", index, blob.size))
            return blob

        return task

    def _fetch_one(
        self, request: NewRequest, receive: "_Receiver", cancellation: Cancellation
    ) -> Blob:
        origin = request.origin
        if isinstance(origin, RegistryOrigin):
            return self._from_registry(origin, request, receive, cancellation)
        http, places = self._places(request, origin, cancellation)
        tried: list[tuple[Place, HpsError]] = []
        for place in places:
            try:
                return self._download(http, request, place, receive, cancellation)
            except FetchError as error:
                tried.append((place, error))
        if isinstance(origin, DebianOrigin):
            raise debian_archive.not_found(origin, tried)
        if isinstance(origin, PythonOrigin):
            raise python_index.not_found(request.file, tried)
        raise plain_file.not_found(request.file, origin, tried)

    def _from_registry(
        self,
        origin: RegistryOrigin,
        request: NewRequest,
        receive: "_Receiver",
        cancellation: Cancellation,
    ) -> Blob:
        if self._registries is None or request.digest is None or request.size is None:
            raise ValueError(f"{request.file}: a blob of {origin} is known by digest and size")
        blob = Blob(request.digest, request.size)
        self._registries.receive(origin, blob, receive.write, receive.restart, cancellation)
        return receive.writer().commit(blob.digest, blob.size)

    def _places(
        self,
        request: NewRequest,
        origin: PythonOrigin | DebianOrigin | FileOrigin,
        cancellation: Cancellation,
    ) -> tuple[Http, Iterable[Place]]:
        """Where a request may be found, best first, and how one gets there."""
        if isinstance(origin, PythonOrigin):
            index = self._index(origin.alias)
            return self._index_http, index.places(origin, request.file, cancellation)
        if isinstance(origin, DebianOrigin):
            mirrors = self._origins.debian_mirrors(origin.source, origin.archive, origin.suite)
            return self._archive_http, debian_archive.places(origin, mirrors)
        return self._http, plain_file.places(origin, offline=self._offline)

    def _index(self, alias: str) -> PythonIndex:
        with self._lock:
            if alias not in self._indexes:
                urls = self._origins.python_indexes(alias)
                self._indexes[alias] = PythonIndex(alias, urls, self._index_http)
            return self._indexes[alias]

    def _download(
        self,
        http: Http,
        request: NewRequest,
        place: Place,
        receive: "_Receiver",
        cancellation: Cancellation,
    ) -> Blob:
        """Fetch from one place. What the request says wins over what the place announces."""
        digest = request.digest or place.digest
        size = request.size
        if size is None and request.digest is None:
            size = place.size
        if digest is not None and self._store.has(digest):
            return Blob(digest, self._store.size(digest))
        try:
            http.stream(
                place.url,
                receive.write,
                limit=request.limit if size is None else size,
                exact=size is not None,
                restart=receive.restart,
                cancellation=cancellation,
            )
            return receive.writer().commit(digest, size)
        except IntegrityError as error:
            hint = (
                plain_file.wrong(request.file, request.origin)
                if isinstance(request.origin, FileOrigin)
                else "nothing of it was kept; use another mirror (docs/how-to/mirrors.md), or "
                "lock again if the file was meant to change"
            )
            raise IntegrityError(
                f"{request.file} is not what was promised: {address.redact(place.url)} "
                f"({place.label})",
                expected=error.expected,
                got=error.got,
                hint=hint,
            ) from error
        except FetchError:
            receive.restart()  # the next place starts from nothing
            raise


class _Receiver:
    """Takes one download. Its file is made when the first byte is there.

    So a thread that waits for a silent server holds nothing that would have to be removed.
    """

    def __init__(self, store: Store, index: int, emit: _Emit) -> None:
        self._store = store
        self._index = index
        self._emit = emit
        self._stack = ExitStack()
        self._writer: BlobWriter | None = None

    def writer(self) -> BlobWriter:
        if self._writer is None:
            self._writer = self._stack.enter_context(self._store.writer())
        return self._writer

    def write(self, piece: bytes) -> None:
        self.writer().write(piece)
        self._emit(Event("bytes", self._index, len(piece)))

    def restart(self) -> None:
        lost = self._writer.size if self._writer else 0
        self.close()
        if lost:
            self._emit(Event("restart", self._index, lost))

    def close(self) -> None:
        self._writer = None
        self._stack.close()


def _refuse_offline(wanted: Iterable[NewRequest]) -> None:
    """Raise for everything that is not in the store; a path of this machine is no fetching."""
    missing = [
        each
        for each in wanted
        if not (
            isinstance(each.origin, FileOrigin) and plain_file.places(each.origin, offline=True)
        )
    ]
    if not missing:
        return
    known = sum(each.size or 0 for each in missing)
    raise OfflineError(
        f"{len(missing)} file{'s are' if len(missing) > 1 else ' is'} missing in the store "
        f"({_megabytes(known)}), and --offline forbids fetching",
        details=tuple(
            f"{each.file} ({_megabytes(each.size)}): {each.origin}"
            for each in sorted(missing, key=lambda each: each.file)
        ),
        hint="run once without --offline, or bring each file: hps store add FILE",
    )


def _megabytes(size: int | None) -> str:
    return "size unknown" if size is None else f"{size / 1e6:.1f} MB"


def combined(failures: Sequence[tuple[str, HpsError]]) -> HpsError:
    """One error for all files that failed; a lone one stays as it is.

    The gravest cause decides the class: wrong bytes, then a failure, then a missing file.
    """
    if len(failures) == 1:
        return failures[0][1]
    errors = [error for _, error in failures]
    kind: type[HpsError] = FetchError
    if any(isinstance(each, IntegrityError) for each in errors):
        kind = IntegrityError
    elif all(isinstance(each, NotFoundError) for each in errors):
        kind = NotFoundError
    details = [line for _, error in failures[:_REPORTED] for line in _lines(error)]
    if len(failures) > _REPORTED:
        details.append(f"and {len(failures) - _REPORTED} more")
    hints = dict.fromkeys(each.hint for each in errors if each.hint)
    return kind(
        f"{len(failures)} files could not be fetched",
        details=tuple(details),
        hint="; or ".join(list(hints)[:3]),
    )


def _lines(error: HpsError) -> list[str]:
    lines = [error.message, *(f"  {each}" for each in error.details)]
    if error.expected is not None and error.got is not None:
        lines.append(f"  expected {error.expected}, got {error.got}")
    return lines
