"""What a place says at one moment, and when two such moments show the same. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from hps.model.paths import check_paths
from hps.monitor.source import Caps, Donefile, Found, SourceError, Trouble

# Seconds by which the clocks of two machines may differ where the place does not tell its time.
_CLOCKS = 600.0


@dataclass(frozen=True, slots=True)
class Look:
    """The donefile, if there is one, and all files of the model, in that order of asking."""

    donefile: Donefile | None
    model: tuple[Found, ...]

    def is_like(self, other: "Look") -> bool:
        """Whether nothing that can be seen changed from one look to the other."""
        return _same_donefile(self.donefile, other.donefile) and (
            len(self.model) == len(other.model) and all(map(agree, self.model, other.model))
        )

    def size(self) -> int:
        """Bytes of all files whose size the place tells."""
        return sum(found.size or 0 for found in self.model)


def agree(one: Found, other: Found) -> bool:
    """Whether both can be the same content of the same file.

    What only one of them tells decides nothing: some servers tell more with a body than without.
    """
    sizes = one.size is None or other.size is None or one.size == other.size
    shared = one.tokens.keys() & other.tokens.keys()
    return (
        one.path == other.path
        and sizes
        and all(one.tokens[key] == other.tokens[key] for key in shared)
    )


def is_settled(found: Found, now: float) -> bool:
    """Whether the tokens will never stand for other bytes than those that are read from now on.

    A place that counts in seconds shows two contents under one token when both were published
    in one second, so tokens count only when that second is over (RFC 9110, section 8.8.2.2;
    "racy" in Git). `now` is our own clock, in seconds since the epoch.
    """
    if "digest" in found.tokens:
        return True
    modified = found.tokens.get("modified")
    if modified is None:
        return bool(found.tokens.keys() & {"etag", "checksum", "id"})
    if found.resolution == 0:
        return True
    try:
        age = now - _CLOCKS - float(modified) if found.age is None else found.age
    except ValueError:
        return False
    return age > found.resolution


def check_model(model: Iterable[Found], caps: Caps) -> None:
    """Refuse a model before a byte of it is pulled: its names, their number, its announced size.

    Raises:
        SourceError: MALFORMED for names, TOO_LARGE beyond a cap.
    """
    model = tuple(model)
    if len(model) > caps.files:
        raise too_large("files", caps.files, len(model))
    announced = sum(found.size or 0 for found in model)
    if announced > caps.bytes:
        raise too_large("bytes", caps.bytes, announced)
    if [found.path for found in model] == [""]:
        return
    depth = max((found.path.count("/") for found in model), default=0)
    if depth > caps.depth:
        raise too_large("folders below each other", caps.depth, depth)
    try:
        check_paths(found.path for found in model)
    except ValueError as error:
        raise SourceError(
            Trouble.MALFORMED,
            f"the model holds a name that is not let in: {error}",
            hint="rename it at the source, or publish the model packed",
        ) from error


def too_large(what: str, cap: int, got: object) -> SourceError:
    """The error of a model beyond a cap."""
    return SourceError(
        Trouble.TOO_LARGE,
        f"the model holds too many {what}",
        expected=f"at most {cap}",
        got=got,
        hint="raise the cap of this model if it is right",
    )


def _same_donefile(one: Donefile | None, other: Donefile | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.content == other.content and agree(one.found, other.found)
