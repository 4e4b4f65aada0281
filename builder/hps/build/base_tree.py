"""Base images unpacked in the store: trees to run in, and to lay packages over."""

import errno
from collections.abc import Sequence
from pathlib import Path

from hps import canonical
from hps.build.writing import scratch
from hps.digest import Digest
from hps.layer.base_root import PackedLayer, lay_down
from hps.layer.linked import link_tree
from hps.layer.unpack import Owned, unpack
from hps.lock.records import BaseLayer
from hps.store.blobs import Store
from hps.store.filesystem import explain

DOMAIN = "hps-over-base-v1"
_LIMIT = 1 << 20  # bytes of a list of layers
# No hard links here, not of somebody else's files, or no further one of a file (link(2)).
_NOT_LINKED = frozenset({errno.EMLINK, errno.ENOTSUP, errno.EPERM, errno.EXDEV})


def root_document(layers: Sequence[tuple[Digest, str, Digest]]) -> bytes:
    """What identifies the root file system of a base: digest, packing and diff_id of each layer."""
    return canonical.dumps([[one.hex, kind, diff_id.hex] for one, kind, diff_id in layers])


def document_of(layers: Sequence[BaseLayer]) -> bytes:
    """The same, of a lock."""
    return root_document([(one.digest, one.media_type, Digest(one.diff_id)) for one in layers])


def base_tree(store: Store, root: Digest) -> Path:
    """The tree of a base, unpacked once.

    Args:
        store: holds its layers and its root document.
        root: digest of the root document.
    """
    return store.tree(root) or unpack_base(store, root)[0]


def unpack_base(store: Store, root: Digest) -> tuple[Path, dict[str, Owned]]:
    """Unpack a base, whether its tree is there or not; tells modes and owners too.

    Raises:
        IntegrityError: a layer is another one than its diff_id says.
        UnsafeArchiveError: a layer is damaged, or holds what no image needs.
    """
    with scratch(store) as room, store.new_tree(root) as folder:
        owned = lay_down(_packed(store, root), folder, room)
    return made(store, root), owned


def _packed(store: Store, root: Digest) -> list[PackedLayer]:
    return [
        PackedLayer(store.path(Digest(blob)), media_type, Digest(diff_id))
        for blob, media_type, diff_id in canonical.loads(store.read(root, _LIMIT))
    ]


def tree_over(store: Store, root: Digest, layers: Sequence[Digest]) -> Path:
    """A base with layers of plain tar over it, unpacked once; its files by hard links."""
    if not layers:
        return base_tree(store, root)
    name = canonical.digest([str(root), *map(str, layers)], domain=DOMAIN)
    if (found := store.tree(name)) is not None:
        return found
    base = base_tree(store, root)
    with store.new_tree(name) as folder:
        if not linked(store, base, folder):
            fill(store, root, folder)
        unpack([store.path(layer) for layer in layers], folder)
    return made(store, name)


def fill(store: Store, root: Digest, folder: Path) -> None:
    """Unpack a base into an empty folder, for one that cannot have the files of its tree."""
    with scratch(store) as room:
        lay_down(_packed(store, root), folder, room)


def linked(store: Store, tree: Path, folder: Path) -> bool:
    """Fill a new tree with the files of another; False, and empty, where links cannot be."""
    try:
        link_tree(tree, folder)
    except OSError as error:
        if error.errno not in _NOT_LINKED:
            raise explain(error, "link files into", folder) from error
        store.filesystem.remove_tree(folder)
        store.filesystem.make_directory(folder)
        return False
    return True


def made(store: Store, name: Digest) -> Path:
    """A tree that has just been put there."""
    found = store.tree(name)
    if found is None:  # pragma: no cover - new_tree has just put it there
        raise AssertionError(f"no tree of {name}")
    return found
