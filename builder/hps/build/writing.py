"""Writing entries into the store as a layer and its index."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from hps.derivation.scheduler import Workshop
from hps.digest import Blob
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.store.blobs import Store


def write(workshop: Workshop, entries: Iterable[Entry], epoch: int) -> Mapping[str, Blob]:
    """Write a layer; its outputs are `layer`, the tar, and `index`, one line for each path."""
    with workshop.store.writer() as tar, workshop.store.writer() as index:
        write_layer(entries, workshop.checked(tar.write), epoch=epoch, index=index.write)
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
