"""Where a plain file may be: paths of this machine, then addresses."""

from collections.abc import Iterable, Iterator, Sequence

from hps.errors import FetchError, HpsError, NotFoundError
from hps.store import url as address
from hps.store.debian_archive import reason
from hps.store.request import FileOrigin, NewRequest, Place


def places(origin: FileOrigin, *, offline: bool = False) -> tuple[Place, ...]:
    """The paths that exist, then (unless offline) the addresses, in the order given."""
    local = [
        Place(f"path {path}", path.resolve().as_uri()) for path in origin.paths if path.exists()
    ]
    remote = [] if offline else [Place("url", address.from_text(each)) for each in origin.urls]
    return (*local, *remote)


def require(wanted: Iterable[NewRequest]) -> None:
    """Refuse, all at once, files that only a person can bring: no path, no address has them.

    Args:
        wanted: what the store does not have.

    Raises:
        NotFoundError: tells of each its digest, where it was looked for, and where to get it.
    """
    missing = [
        (request, request.origin)
        for request in wanted
        if isinstance(request.origin, FileOrigin)
        and not request.origin.urls
        and not places(request.origin)
    ]
    if not missing:
        return
    count = len(missing)
    raise NotFoundError(
        f"{count} file{'s are' if count > 1 else ' is'} missing that you have to bring",
        details=tuple(line for request, origin in missing for line in _told(request, origin)),
        hint="put each where it was looked for, or keep it in the store: hps store add FILE",
    )


def _told(request: NewRequest, origin: FileOrigin) -> Iterator[str]:
    yield request.file
    if request.digest is not None:
        yield f"  digest: {request.digest}"
    if request.size is not None:
        yield f"  size:   {request.size} bytes"
    yield f"  looked: {', '.join(['the store', *map(str, origin.paths)])}"
    if origin.obtain:
        yield f"  get it: {origin.obtain}"


def wrong(file: str, origin: FileOrigin) -> str:
    """What to do when a path or an address has other bytes than were asked for."""
    where = f" ({file}: {origin.obtain})" if origin.obtain else ""
    return f"nothing of it was kept; it is cut off, or another version: get the right one{where}"


def not_found(file: str, origin: FileOrigin, tried: Sequence[tuple[Place, HpsError]]) -> FetchError:
    """One error for a file that no place has."""
    gone = all(isinstance(error, NotFoundError) for _, error in tried)
    kind: type[FetchError] = NotFoundError if gone else FetchError
    missing = [f"path {path}: not there" for path in origin.paths if not path.exists()]
    failed = [f"{place.label} {address.redact(place.url)}: {reason(e)}" for place, e in tried]
    failed += [f"get it: {origin.obtain}"] if origin.obtain else []
    return kind(
        f"the file {file} could not be found" if gone else f"the file {file} could not be fetched",
        details=(*missing, *failed),
        hint=f"get it by other means and run: hps store add {file}",
    )
