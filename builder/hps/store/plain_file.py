"""Where a plain file may be: paths of this machine, then addresses."""

from collections.abc import Sequence

from hps.errors import FetchError, HpsError, NotFoundError
from hps.store import url as address
from hps.store.debian_archive import reason
from hps.store.request import FileOrigin, Place


def places(origin: FileOrigin, *, offline: bool = False) -> tuple[Place, ...]:
    """The paths that exist, then (unless offline) the addresses, in the order given."""
    local = [
        Place(f"path {path}", path.resolve().as_uri()) for path in origin.paths if path.exists()
    ]
    remote = [] if offline else [Place("url", address.from_text(each)) for each in origin.urls]
    return (*local, *remote)


def not_found(file: str, origin: FileOrigin, tried: Sequence[tuple[Place, HpsError]]) -> FetchError:
    """One error for a file that no place has."""
    gone = all(isinstance(error, NotFoundError) for _, error in tried)
    kind: type[FetchError] = NotFoundError if gone else FetchError
    missing = [f"path {path}: not there" for path in origin.paths if not path.exists()]
    failed = [f"{place.label} {address.redact(place.url)}: {reason(e)}" for place, e in tried]
    return kind(
        f"the file {file} could not be found" if gone else f"the file {file} could not be fetched",
        details=(*missing, *failed),
        hint=f"get it by other means and run: hps store add {file}",
    )
