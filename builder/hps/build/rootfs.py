"""The root file system of a built image: its layers laid over each other on this disk."""

from pathlib import Path

from hps.build.healing import healing
from hps.build.image import Built, build
from hps.build.workbench import Workbench
from hps.layer.unpack import unpack


def root_file_system(bench: Workbench, built: Built) -> Path:
    """Unpack an image once; the tree is kept in the store under the image's configuration.

    The configuration names the diff_ids, so that two images with the same layers share a tree
    only when all else is equal too; a tree is made in one piece or not at all.
    """
    digest = built.image.image_id
    found = bench.store.tree(digest)
    if found is not None:
        return found
    bench.progress.note(f"unpacking {built.target}")

    def work(healed: bool) -> None:
        if healed:
            build(bench, built.target, verify=True)
        with bench.store.session(), bench.store.new_tree(digest) as folder:
            unpack([bench.store.path(layer.blob.digest) for layer in built.layers], folder)

    healing(bench, work)
    made = bench.store.tree(digest)
    if made is None:  # pragma: no cover - new_tree has just put it there
        raise AssertionError(f"no tree of {digest}")
    return made
