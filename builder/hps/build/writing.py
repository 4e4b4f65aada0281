"""Writing entries into the store as a layer and its index."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hps import canonical
from hps.derivation.record import Derivation
from hps.derivation.scheduler import Workshop
from hps.digest import Blob
from hps.layer.entry import Entry
from hps.layer.plan import Folder
from hps.layer.tar import write_layer
from hps.store.blobs import Store

FOLDERS = "folders"  # role of the input that says how a base image's folders are
_LIMIT = 64 << 20  # bytes of it


def write(
    workshop: Workshop, entries: Iterable[Entry], derivation: Derivation
) -> Mapping[str, Blob]:
    """Write a layer; its outputs are `layer`, the tar, and `index`, one line for each path.

    Args:
        workshop: with the store.
        entries: of the layer.
        derivation: with the parameter `epoch`; over a base image also with the input `folders`.
    """
    folders: dict[str, Folder] = {}
    if FOLDERS in derivation.inputs:
        data = workshop.store.read(derivation.inputs[FOLDERS], _LIMIT)
        for path, *facts in canonical.loads(data, max_bytes=_LIMIT):
            folders[path] = Folder(*facts)
    epoch = derivation.parameters["epoch"]
    with workshop.store.writer() as tar, workshop.store.writer() as index:
        sink = workshop.checked(tar.write)
        write_layer(entries, sink, epoch=epoch, index=index.write, folders=folders)
        return {"layer": tar.commit(), "index": index.commit()}


@contextlib.contextmanager
def scratch(store: Store) -> Iterator[Path]:
    """A folder in the store's workspace that goes away with the block or with the process."""
    folder = store.workspace.new_path()
    store.filesystem.make_directory(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
