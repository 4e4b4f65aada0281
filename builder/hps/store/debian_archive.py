"""Where a package of a Debian archive may be: the mirrors, then snapshot archives.

Paths follow the Debian repository format (field Filename of a Packages index).
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from hps.errors import FetchError, HpsError, NotFoundError
from hps.store import url as address
from hps.store.request import DebianOrigin, Place

_FIELD = re.compile(r"\{([^{}]*)\}")


def places(origin: DebianOrigin, mirrors: Sequence[str]) -> tuple[Place, ...]:
    """Every place where the package may be, in the order in which they are tried.

    A fallback that needs the time of the lock is left out when the time is not known.

    Raises:
        FetchError: a fallback has a field that is not known.
    """
    found = [
        Place(f"archive {origin.source!r}", address.join(each, origin.pool)) for each in mirrors
    ]
    for template in origin.fallbacks:
        base = expand(template, origin.archive, origin.time)
        if base is not None:
            found.append(Place(f"fallback of {origin.source!r}", address.join(base, origin.pool)))
    return tuple(found)


def expand(template: str, archive: str, time: datetime | None) -> str | None:
    """Fill `{archive}` and `{time}` (UTC, as snapshot archives write it: 20260131T235959Z).

    Raises:
        FetchError: another field.
    """
    stamp = time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ") if time else None
    values = {"archive": archive, "time": stamp}
    names = _FIELD.findall(template)
    unknown = sorted(set(names) - set(values))
    if unknown:
        raise FetchError(
            f"the fallback {address.redact(template)} has an unknown field",
            expected="{archive} and {time}",
            got=", ".join(f"{{{each}}}" for each in unknown),
            hint="correct [sources.debian.ALIAS] fallbacks in hps.toml",
        )
    if "time" in names and stamp is None:
        return None
    return _FIELD.sub(lambda match: values[match[1]] or "", template)


def not_found(origin: DebianOrigin, tried: Sequence[tuple[Place, HpsError]]) -> FetchError:
    """One error for a package that no place has, or that could not be looked for everywhere."""
    gone = all(isinstance(error, NotFoundError) for _, error in tried)
    kind: type[FetchError] = NotFoundError if gone else FetchError
    what = "is in none of the places tried" if gone else "could not be fetched"
    fallback = "" if origin.fallbacks else f" or add fallbacks to [sources.debian.{origin.source}]"
    return kind(
        f"the Debian package {origin.name} {origin.version} {what}",
        details=tuple(
            f"{place.label}: {address.redact(place.url)}: {reason(error)}" for place, error in tried
        ),
        hint=f"hps lock --upgrade-package {origin.name}{fallback}"
        if gone
        else "try again later, or use another mirror (docs/how-to/mirrors.md)",
    )


def reason(error: HpsError) -> str:
    """An error of one place in a few words."""
    return "not there" if isinstance(error, NotFoundError) else error.message
