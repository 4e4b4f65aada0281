"""What a lock proves of the steps of a target: all that a shared cache may give in their place."""

import base64
from collections.abc import Iterable, Mapping
from functools import partial

from hps.build.graph import Graph
from hps.cache.expectation import Expectation, Outputs
from hps.config.chosen import WEIGHTS_FOLDER
from hps.derivation.record import Step
from hps.digest import Blob, Digest
from hps.errors import HpsError
from hps.layer.index import IndexLine, first_difference, read_index
from hps.lock.records import Layer, LockedTarget
from hps.store.blobs import Store


def expectations(store: Store, locked: LockedTarget, graph: Graph) -> Mapping[Step, Expectation]:
    """The steps of a target whose outputs the lock proves, and what they have to be.

    A layer's tar is proved by its digest, its index by the marks of its entries. The wheel that an
    sdist became, and its file name, are proved by theirs.
    """
    found = {
        planned.step: Expectation(
            {"layer": Blob(layer.digest, layer.size)},
            frozenset({"layer", "index"}),
            partial(_index_fault, store, locked, layer),
        )
        for layer, planned in zip(locked.layers, graph.layers, strict=True)
    }
    wheels = {
        graph.sdists[sdist.name]: Expectation(
            {
                "wheel": Blob(Digest(sdist.wheel_sha256), sdist.wheel_size),
                "name": Blob(Digest.of(sdist.wheel.encode()), len(sdist.wheel.encode())),
            },
            frozenset({"wheel", "name"}),
        )
        for sdist in locked.sdists
    }
    return {**found, **wheels}


def differing_weights(
    locked: LockedTarget, layer: Layer, lines: Iterable[IndexLine]
) -> frozenset[str]:
    """The files of a layer of weights that are not as the lock lists them."""
    (name,) = layer.members
    listed = {file.path: (file.sha256, file.size) for file in locked.files_of(name)}
    top = f"{WEIGHTS_FOLDER}/{name}/".lstrip("/")
    there = {
        line.path.removeprefix(top): (line.content, line.size)
        for line in lines
        if line.kind == "file"
    }
    return frozenset(path for path, _ in there.items() ^ listed.items())


def _index_fault(store: Store, locked: LockedTarget, layer: Layer, outputs: Outputs) -> str | None:
    """Why an index is not that of a locked layer; None when it is."""
    try:
        with store.open(outputs["index"].digest) as file:
            lines = list(read_index(file))
    except HpsError as error:
        return error.message
    path = first_difference(base64.b64decode(layer.paths), lines)
    if len(lines) != layer.entries or path is not None:
        return f"its index is another one than hps.lock says, from /{path or ''} on"
    if layer.kind == "weights" and differing_weights(locked, layer, lines):
        return "its index lists other weights than hps.lock"
    return None
