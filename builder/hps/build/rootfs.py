"""The root file system of a built image: its layers laid over each other on this disk."""

import contextlib
import errno
from collections.abc import Sequence
from pathlib import Path

from hps import canonical
from hps.build.healing import healing
from hps.build.image import Built, BuiltLayer, build
from hps.build.workbench import Workbench
from hps.digest import Digest
from hps.layer.linked import link_tree
from hps.layer.unpack import unpack
from hps.store.filesystem import explain

DOMAIN = "hps-root-v1"
# No hard links here, not of somebody else's files, or no further one of a file (link(2)).
_NOT_LINKED = frozenset({errno.EMLINK, errno.ENOTSUP, errno.EPERM, errno.EXDEV})


def tree_name(layers: Sequence[BuiltLayer]) -> Digest:
    """What the tree of some layers is called in the store: a digest of them in their order."""
    return canonical.digest([str(layer.blob.digest) for layer in layers], domain=DOMAIN)


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
            root = _tree(bench, built.target, built.layers)
            held.enter_context(bench.store.hold_tree(tree_name(built.layers)))
            return root

    return healing(bench, work)


def _tree(bench: Workbench, target: str, layers: Sequence[BuiltLayer]) -> Path:
    digest = tree_name(layers)
    found = bench.store.tree(digest)
    if found is not None:
        return found
    below = [layer for layer in layers if layer.locked]
    share = 0 < len(below) < len(layers)
    base = _tree(bench, target, below) if share else None
    with bench.store.new_tree(digest) as folder:
        if base is None or not _linked(bench, base, folder):
            bench.progress.note(f"unpacking {target}")
            unpack(_tars(bench, layers), folder)
        else:
            unpack(_tars(bench, layers[len(below) :]), folder)
    made = bench.store.tree(digest)
    if made is None:  # pragma: no cover - new_tree has just put it there
        raise AssertionError(f"no tree of {digest}")
    return made


def _tars(bench: Workbench, layers: Sequence[BuiltLayer]) -> list[Path]:
    return [bench.store.path(layer.blob.digest) for layer in layers]


def _linked(bench: Workbench, base: Path, folder: Path) -> bool:
    """Fill a new tree with the files of another; False, and empty, where links cannot be."""
    try:
        link_tree(base, folder)
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise explain(error, "link files into", folder) from error
        bench.store.filesystem.remove_tree(folder)
        bench.store.filesystem.make_directory(folder)
        return False
    return True
