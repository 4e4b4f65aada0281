"""The project's own files and folders: one layer, made from what lies in the checkout today."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hps.build.writing import write
from hps.config.target import Tree
from hps.derivation.record import Derivation, Input, Step
from hps.derivation.scheduler import Workshop
from hps.digest import Blob
from hps.layer.entry import Entry
from hps.layer.tree import tree_digest, tree_entries

KIND = "trees-layer/1"


def trees_step(
    root: Path, trees: Sequence[Tree], epoch: int, inputs: Mapping[str, Input] | None = None
) -> Step | None:
    """The step of all trees of a target; its identity is their content.

    Args:
        root: folder of the project.
        trees: of the target.
        epoch: time stamp of every file, in seconds since 1970.
        inputs: what the layers below say of folders, over a base image.
    """
    if not trees:
        return None
    entries = _entries(root, [(tree.from_, tree.to, list(tree.exclude)) for tree in trees])
    return Step(
        KIND,
        "layer trees",
        dict(inputs or {}),
        {
            "content": str(tree_digest(entries)),
            "trees": [[tree.from_, tree.to, list(tree.exclude)] for tree in trees],
            "epoch": epoch,
        },
    )


def trees_layer(root: Path, derivation: Derivation, workshop: Workshop) -> Mapping[str, Blob]:
    """Write the layer of the project's trees."""
    entries = _entries(root, derivation.parameters["trees"])
    return write(workshop, entries, derivation)


def _entries(root: Path, trees: Sequence[Sequence[object]]) -> list[Entry]:
    entries: list[Entry] = []
    for source, to, exclude in trees:
        entries += tree_entries(root / str(source), str(to), tuple(exclude), owner=str(source))  # type: ignore[arg-type] # a list of strings, by the schema
    return entries
