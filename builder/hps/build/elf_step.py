"""The step that looks for libraries in a layer.

A step like those of layers, so a trace remembers it: the second audit reads no payload. It shapes
no layer, so its version is not among those of the layer functions.
"""

from collections.abc import Mapping

from hps.build.writing import scratch
from hps.derivation.record import Derivation, Step
from hps.derivation.scheduler import Workshop
from hps.digest import Blob, Digest
from hps.layer.elf_layer import layer_things

KIND = "elf/2"


def elf_step(name: str, layer: Digest) -> Step:
    """The step whose output `elf` lists what a layer holds for the dynamic linker.

    Args:
        name: of the layer, for people.
        layer: its blob, packed or not, in the store.
    """
    return Step(KIND, f"libraries of {name}", {"layer": layer}, {})


def elf_layer(derivation: Derivation, workshop: Workshop) -> Mapping[str, Blob]:
    """Read a layer once; raises UnsafeArchiveError when it is none."""
    layer = derivation.inputs["layer"]
    path = workshop.store.path(layer)
    with scratch(workshop.store) as spool, workshop.store.writer() as lines:
        write = workshop.checked(lines.write)
        for thing in layer_things(path, f"layer {layer}", spool):
            write(thing.dump())
        return {"elf": lines.commit()}
