"""The step that reads a base image: its tree, what is in it, what it provides."""

from collections.abc import Mapping
from typing import Any

from hps import canonical
from hps.build.base_tree import root_document, unpack_base
from hps.build.functions import kind
from hps.derivation.record import Derivation, Input, Step
from hps.derivation.scheduler import Workshop
from hps.digest import Blob, Digest
from hps.layer.base_dpkg import BaseDpkg
from hps.layer.base_facts import base_facts
from hps.layer.base_root import base_lines
from hps.lock.records import LockedBase

FACTS_LIMIT = 64 << 20  # bytes
_PLAIN = (0o755, 0, 0)  # mode, user and group of most folders


def base_step(base: LockedBase, python: str) -> Step:
    """The step of a base image.

    Its outputs: `root`, what identifies its root file system; `index`, a line for each path;
    `facts`, what hps.lock says of it; `folders`, those with a mode or an owner of their own.

    Args:
        base: as it is locked; only its layers count.
        python: the target's version, for instance 3.11.
    """
    inputs: dict[str, Input] = {
        f"layer:{number}": layer.digest for number, layer in enumerate(base.layers)
    }
    layers = [[layer.media_type, layer.diff_id] for layer in base.layers]
    return Step(
        kind("base"),
        f"base image {base.registry}/{base.repository}",
        inputs,
        {"layers": layers, "python": python},
    )


def read_base(derivation: Derivation, workshop: Workshop) -> Mapping[str, Blob]:
    """Unpack a base image and write down what it is."""
    store, parameters = workshop.store, derivation.parameters
    layers = [
        (derivation.inputs[f"layer:{number}"], media_type, Digest(diff_id))
        for number, (media_type, diff_id) in enumerate(parameters["layers"])
    ]
    root = store.add(root_document(layers))
    tree, owned = unpack_base(store, root.digest)
    folders: list[list[object]] = []
    with store.writer() as index:
        write = workshop.checked(index.write)
        for line in base_lines(tree, owned, BaseDpkg(tree).owners):
            write(line.dump())
            if line.kind == "directory" and (line.mode, line.uid, line.gid) != _PLAIN:
                folders.append([line.path, line.mode, line.uid, line.gid])
        listed = index.commit()
    facts = base_facts(tree, parameters["python"])
    return {
        "root": root,
        "index": listed,
        "facts": store.add(canonical.dumps(facts)),
        "folders": store.add(canonical.dumps(folders)),
    }


def read_facts(data: bytes) -> dict[str, Any]:
    """The output `facts`."""
    return dict(canonical.loads(data, max_bytes=FACTS_LIMIT))
