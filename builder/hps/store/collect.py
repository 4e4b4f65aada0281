"""Collection: removes what no root reaches. What to remove is decided by `plan`, without I/O."""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import StoreError
from hps.store import locking
from hps.store.blobs import Store, Stored
from hps.store.filesystem import explain
from hps.store.roots import Root
from hps.store.traces import Trace, Traces
from hps.store.workspace import remove_stale

_REMOVING = ".removing-"


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """What a collection removes.

    Args:
        blobs: that no living root names, and old enough.
        traces: derivations whose outputs do not all stay.
        received: the same of traces that others made.
        trees: that no living root names and nobody holds, with their bytes; the digest is the
            tree's name.
        roots: of projects that are gone.
        rubbish: damaged traces and blobs that were set aside, with their bytes.
    """

    blobs: tuple[Blob, ...] = ()
    traces: tuple[Digest, ...] = ()
    trees: tuple[Blob, ...] = ()
    roots: tuple[Root, ...] = ()
    rubbish: Mapping[Path, int] = field(default_factory=dict)
    received: tuple[Digest, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are freed."""
        things = sum(thing.size for thing in (*self.blobs, *self.trees))
        return things + sum(self.rubbish.values())


def plan(
    blobs: Iterable[Stored],
    traces: Iterable[Trace],
    trees: Iterable[Stored],
    roots: Collection[Root],
    *,
    before: float,
    received: Iterable[Trace] = (),
) -> CollectPlan:
    """Decide what goes: all that no living root names and that is older than `before`.

    A trace stays when each of its outputs is named by a root or is a blob that stays.

    Args:
        blobs: all of the store.
        traces: all of the store.
        trees: all of the store that nobody holds, with their sizes.
        roots: all of the store.
        before: seconds since 1970; what was written at or after it stays.
        received: all traces of the store that others made.
    """
    named = {digest for root in roots if root.alive for digest in root.digests}

    def goes(thing: Stored) -> bool:
        return thing.blob.digest not in named and thing.modified < before

    blobs = list(blobs)
    gone = {stored.blob.digest: stored.blob for stored in blobs if goes(stored)}
    stays = named | {stored.blob.digest for stored in blobs} - gone.keys()

    def lost(traces: Iterable[Trace]) -> tuple[Digest, ...]:
        return tuple(
            sorted(
                trace.derivation
                for trace in traces
                if any(output.digest not in stays for output in trace.outputs.values())
            )
        )

    return CollectPlan(
        blobs=tuple(sorted(gone.values(), key=lambda blob: blob.digest)),
        traces=lost(traces),
        received=lost(received),
        trees=tuple(
            sorted((tree.blob for tree in trees if goes(tree)), key=lambda blob: blob.digest)
        ),
        roots=tuple(root for root in roots if not root.alive),
    )


def collect(
    store: Store,
    *,
    dry_run: bool = False,
    older_than: float = 0,
    wait: bool = False,
    on_wait: Callable[[], None] | None = None,
) -> CollectPlan:
    """Remove what no root reaches, when no build is running.

    Cut short anywhere it leaves whole blobs and trees; the next collection carries on.

    Args:
        store: the store.
        dry_run: only say what would go; builds may run meanwhile.
        older_than: seconds; what was written more recently stays.
        wait: for running builds, instead of giving up.
        on_wait: called when there is somebody to wait for.

    Returns:
        What was, or would be, removed.

    Raises:
        StoreBusyError: builds are running and `wait` is False.
        StoreCorruptError: a root is damaged; nothing is removed.
        StoreError: the store cannot be written.
    """
    if not (store.root / "version").exists():
        return CollectPlan()
    if dry_run:
        with store.session(on_wait):
            return _survey(store, older_than)
    with locking.exclusive(store.root / "lock", wait=wait, on_wait=on_wait):
        found = _survey(store, older_than)
        _remove(store, found)
        remove_stale(store.root / "temporary", store.filesystem)
        return found


def _survey(store: Store, older_than: float) -> CollectPlan:
    traces, received = list(store.traces.all()), list(store.received.all())
    damaged = [trace for trace in (*traces, *received) if isinstance(trace, Path)]
    found = plan(
        store.list_blobs(),
        [trace for trace in traces if isinstance(trace, Trace)],
        _free_trees(store),
        store.roots.all(),
        before=time.time() - older_than if older_than else float("inf"),
        received=[trace for trace in received if isinstance(trace, Trace)],
    )
    rubbish: dict[Path, int] = {}
    for path in (*damaged, *_list(store.quarantine)):
        with contextlib.suppress(FileNotFoundError):  # a reader has removed it meanwhile
            rubbish[path] = path.lstat().st_size
    return replace(found, rubbish=rubbish)


def _free_trees(store: Store) -> list[Stored]:
    """Every tree that nobody holds.

    Trees share files. The bytes of a file count for the tree that goes last: first come those that
    are held, then the youngest, which stay longest.
    """
    found = [
        (not _is_held(store, digest), -path.lstat().st_mtime, digest, path)
        for digest in store.list_trees()
        if (path := store.tree(digest)) is not None
    ]
    counted: set[tuple[int, int]] = set()
    return [
        stored
        for free, age, digest, path in sorted(found)
        for stored in [Stored(Blob(digest, tree_size(path, counted)), -age)]
        if free
    ]


def _is_held(store: Store, digest: Digest) -> bool:
    """Whether a process shows a tree to what it runs; what cannot be told counts as held."""
    lock = store.tree_lock(digest)
    if not lock.exists():
        return False
    try:
        with locking.exclusive(lock, wait=False):
            return False
    except StoreError:
        return True


def _remove(store: Store, found: CollectPlan) -> None:
    # Needs no space and no new file, so that it works on a full disk. Traces go before blobs: a
    # collection that is cut short leaves no trace of what it removed.
    filesystem = store.filesystem
    for root in found.roots:
        store.roots.remove(root.project, root.name)
    _forget(store.traces, found.traces)
    _forget(store.received, found.received)
    for blob in found.blobs:
        filesystem.remove(store.blobs / blob.digest.hex)
    for tree in found.trees:
        # Half a tree must never have a tree's name.
        half = store.trees / (_REMOVING + tree.digest.hex)
        filesystem.remove_tree(half)
        filesystem.rename(store.trees / tree.digest.hex, half)
        filesystem.remove_tree(half)
    for path in _list(store.trees):
        if path.name.startswith(_REMOVING):
            filesystem.remove_tree(path)
        elif path.suffix == ".lock" and not path.with_suffix("").exists():
            filesystem.remove(path)  # in no session nobody begins to hold a tree
    for path in found.rubbish:
        if path.is_dir() and not path.is_symlink():
            filesystem.remove_tree(path)
        else:
            filesystem.remove(path)


def _forget(traces: Traces, derivations: Iterable[Digest]) -> None:
    for derivation in derivations:
        traces.remove(derivation)


def tree_size(path: Path, counted: set[tuple[int, int]] | None = None) -> int:
    """Bytes of the files below a folder, each file once; symbolic links are not followed.

    Args:
        path: of the folder.
        counted: device and inode of files with several names that do not count any more; those
            of this folder are added.
    """
    counted = set() if counted is None else counted
    total = 0
    waiting = [path]  # no recursion: a tree may be deep
    while waiting:
        # The size is for people: a folder without r, or removed meanwhile, counts as empty.
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_nlink > 1:
                        if (status.st_dev, status.st_ino) in counted:
                            continue
                        counted.add((status.st_dev, status.st_ino))
                    total += status.st_size
    return total


def _list(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise explain(error, "read", folder) from error
