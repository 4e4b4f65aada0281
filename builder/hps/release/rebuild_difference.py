"""What differs between an image and what its lock gives: layer, path, setting."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hps import canonical
from hps.archive.paths import Limits
from hps.build.image import Built
from hps.build.proof import BuiltLayer
from hps.digest import Digest
from hps.errors import HpsError, NotReproducibleError
from hps.layer.index import IndexLine
from hps.layer.tar_reader import Member, members
from hps.release.claimed import Claimed
from hps.store.foreign_text import printable

_PIECE = 1 << 20  # bytes hashed at once
_LINES = 10  # of details

Lines = Callable[[BuiltLayer], Iterable[IndexLine]]


def difference(built: Built, claimed: Claimed, lines: Lines) -> NotReproducibleError:
    """The error that names what differs first.

    Args:
        built: what the lock gives.
        claimed: another image.
        lines: gives the index of a layer of the first.
    """
    below = [Digest(one.diff_id) for one in built.base.locked.layers] if built.base else []
    try:
        diff_ids = claimed.diff_ids
    except HpsError as error:
        return _other_documents(built, claimed, error.message)
    if list(diff_ids[: len(below)]) != below:
        return _other_base(below, diff_ids, claimed)
    pairs = list(zip_longest(built.layers, diff_ids[len(below) :]))
    differing = [(one, two) for one, two in pairs if one is None or one.blob.digest != two]
    if not differing:
        return _other_settings(built, claimed)
    layer, got = differing[0]
    further = [one.name if one else "one more" for one, _ in differing[1:]]
    details = [_place(layer, got, claimed, lines)] if layer and got else []
    details += [f"further layers that differ: {', '.join(further)}"] if further else []
    if layer is None:
        message = f"{claimed.name} has a layer that hps.lock does not give"
    elif got is None:
        message = f"{claimed.name} has no layer {layer.name}"
    else:
        message = f"layer {layer.name} of {claimed.name} is not what hps.lock gives"
    return NotReproducibleError(
        message,
        expected=layer.blob.digest if layer else "no such layer",
        got=got or "no such layer",
        details=tuple(details),
        hint="it is made of the files of this folder: check out the commit of the image"
        if layer and not layer.locked
        else "do not use the image before somebody knows why; `hps build --check` tells whether "
        "this machine gives the same twice",
    )


def _other_base(
    below: Sequence[Digest], diff_ids: Sequence[Digest], claimed: Claimed
) -> NotReproducibleError:
    """The layers of a base image come first, and are other ones."""
    pairs = zip_longest(below, diff_ids[: len(below)])
    expected, got = next((one, two) for one, two in pairs if one != two)
    return NotReproducibleError(
        f"{claimed.name} lies over another base image than hps.lock says",
        expected=expected,
        got=got or "no such layer",
        hint="do not use the image before somebody knows why",
    )


def first_path(expected: Iterable[IndexLine], tar: Iterable[Member]) -> str | None:
    """The first path at which a tar departs from the index of a layer; None for none.

    Owners on disk and times are not compared.
    """
    for line, member in zip_longest(expected, tar):
        if member is None:
            return f"/{printable(line.path)} (missing)"
        path = f"/{printable(member.path)}"
        if line is None:
            return f"{path} (additional)"
        if line.path != member.path:
            return f"{path}, where /{printable(line.path)} should be"
        if (line.kind, line.mode, line.size) != (member.kind, member.mode, member.size):
            return path
        if line.content != _content(member):
            return path
    return None


def _content(member: Member) -> str:
    if member.reader is None:
        return member.link
    hasher = hashlib.sha256()
    while piece := member.reader.read(_PIECE):
        hasher.update(piece)
    return hasher.hexdigest()


def _place(layer: BuiltLayer, got: Digest, claimed: Claimed, lines: Lines) -> str:
    """Where a layer differs, as far as the bytes of both are here."""
    if claimed.layer is None:
        return "its bytes are not here: which path differs cannot be said"
    path = claimed.layer(got)
    try:
        with _members(path) as found:
            where = first_path(lines(layer), found)
    except HpsError as error:
        return f"it cannot be read: {error.message}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return f"first path that differs: {where}" if where else "the paths agree, the tar does not"


@contextlib.contextmanager
def _members(path: Path) -> Iterator[Iterator[Member]]:
    with path.open("rb") as file:
        found = members(file, path.name, packed=path.stat().st_size, limits=Limits())
        with contextlib.closing(found):
            yield found


def _other_settings(built: Built, claimed: Claimed) -> NotReproducibleError:
    """All layers are the same: then the configuration differs, or the manifest alone."""
    if claimed.config == built.image.config:
        return _other_documents(
            built, claimed, "layers and configuration are the same, the manifest does not"
        )
    ours = dict(_settings(canonical.loads(built.image.config)))
    theirs = dict(_settings(canonical.loads(claimed.config)))
    names = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    details = [
        f"{printable(name, 60)}: expected {_shown(ours.get(name))}, got {_shown(theirs.get(name))}"
        for name in names[:_LINES]
    ]
    return NotReproducibleError(
        f"the layers of {claimed.name} are what hps.lock gives, its configuration is not",
        expected=built.image.image_id,
        got=Digest.of(claimed.config),
        details=tuple(details),
        hint="settings come from hps.toml: check out the commit of the image",
    )


def _other_documents(built: Built, claimed: Claimed, text: str) -> NotReproducibleError:
    return NotReproducibleError(
        f"{claimed.name} is not the image that hps.lock gives",
        expected=built.image.digest,
        got=claimed.digest,
        details=(text,),
        hint="somebody wrote its documents anew: get the image from where it was built",
    )


def _settings(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of a configuration; lists are leaves."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _settings(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _shown(value: object) -> str:
    return "nothing" if value is None else printable(json.dumps(value), 100)
