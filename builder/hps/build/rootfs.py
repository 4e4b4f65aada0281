"""The root file system of a built image: its layers laid over each other on this disk."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from hps import canonical
from hps.build.base_tree import base_tree, document_of, fill, linked, made
from hps.build.healing import healing
from hps.build.image import Built, build
from hps.build.proof import BuiltLayer
from hps.build.workbench import Workbench
from hps.digest import Digest
from hps.layer.unpack import unpack

DOMAIN = "hps-root-v1"


def tree_name(layers: Sequence[BuiltLayer], base: Digest | None = None) -> Digest:
    """What the tree of some layers is called in the store: a digest of them in their order.

    Args:
        layers: lowest first.
        base: root document of the base image below them.
    """
    below = [] if base is None else [str(base)]
    return canonical.digest([*below, *(str(layer.blob.digest) for layer in layers)], domain=DOMAIN)


def root_file_system(bench: Workbench, built: Built, held: contextlib.ExitStack) -> Path:
    """The tree of an image, unpacked once.

    Layers that the lock knows make a tree of their own. That of the image has its files by hard
    links, so that an edit of the project's code costs the room of what was edited and no more
    (docs/adr/0011-trees-share-files.md). A tree is made in one piece or not at all.

    Args:
        bench: the tools.
        built: the image.
        held: for as long as it is open, no collection removes the tree.

    Raises:
        StoreError: the store cannot be written, or its disk is full.
    """

    def work(healed: bool) -> Path:
        if healed:
            build(bench, built.target, verify=True)
        with bench.store.session():  # no collection until the tree is held
            below = built.base.locked.layers if built.base else ()
            base = bench.store.add(document_of(below)).digest if below else None
            root = _tree(bench, built.target, built.layers, base)
            held.enter_context(bench.store.hold_tree(tree_name(built.layers, base)))
            return root

    return healing(bench, work)


def _tree(bench: Workbench, target: str, layers: Sequence[BuiltLayer], base: Digest | None) -> Path:
    digest = tree_name(layers, base)
    found = bench.store.tree(digest)
    if found is not None:
        return found
    below = [layer for layer in layers if layer.locked]
    share = 0 < len(below) < len(layers)
    lower, upper = None, layers
    if share:
        lower, upper = _tree(bench, target, below, base), layers[len(below) :]
    elif base is not None:
        bench.progress.note(f"unpacking the base image of {target}")
        lower = base_tree(bench.store, base)
    with bench.store.new_tree(digest) as folder:
        if lower is None or not linked(bench.store, lower, folder):
            bench.progress.note(f"unpacking {target}")
            if base is not None:
                fill(bench.store, base, folder)
            upper = layers
        unpack(_tars(bench, upper), folder)
    return made(bench.store, digest)


def _tars(bench: Workbench, layers: Sequence[BuiltLayer]) -> list[Path]:
    return [bench.store.path(layer.blob.digest) for layer in layers]
