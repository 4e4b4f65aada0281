"""Processes that the fault tests of the store start: they are killed, starved and refused.

`python -m tests.faults.store_process NAME FOLDER` prints one JSON value.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hps.digest import Blob, Digest
from hps.errors import HpsError, StoreError
from hps.store.blobs import Store
from hps.store.collect import collect
from hps.store.filesystem import may_only_read
from hps.store.verify import verify
from tests.faults.tracer import walk
from tests.store.damage import truncate

OLD, NEW = b"old content", b"new content " * 1000
OLD_STEP, NEW_STEP = Digest.of(b"old step"), Digest.of(b"new step")
OLD_TREE, NEW_TREE = Digest.of(b"old tree"), Digest.of(b"new tree")
TREE_FILES = 3


def make_old(folder: Path) -> None:
    """A store with one of each, needed by a project."""
    store = Store(folder / "store")
    (folder / "project").mkdir()
    blob = store.add(OLD)
    store.traces.put(OLD_STEP, {"kind": "old"}, {"out": blob})
    make_tree(store, OLD_TREE)
    store.roots.set(folder / "project", "cpu", [blob.digest, OLD_TREE])


def make_tree(store: Store, digest: Digest) -> None:
    with store.new_tree(digest) as folder:
        for number in range(TREE_FILES):
            (folder / str(number)).write_text("x" * 100)


def make_garbage(folder: Path) -> None:
    store = Store(folder / "store")
    store.traces.put(NEW_STEP, {"kind": "new"}, {"out": store.add(NEW)})
    make_tree(store, NEW_TREE)
    store.roots.set(folder / "gone", "cpu", [Digest.of(NEW)])


def damage_new(folder: Path) -> None:
    store = Store(folder / "store")
    truncate(store.path(store.add(NEW).digest), 5)


def nothing(folder: Path) -> None:
    """The store is as `make_old` left it."""


def read_damaged(store: Store, folder: Path) -> None:
    try:
        store.path(Digest.of(NEW))
    except HpsError:
        store.add(NEW)


def write_pieces(store: Store, folder: Path) -> None:
    with store.writer() as writer:
        writer.write(NEW[:100])
        writer.write(NEW[100:])
        writer.commit(Digest.of(NEW), len(NEW))


# name: (what is there besides the old store, what is done)
OPERATIONS: dict[str, tuple[Callable[[Path], None], Callable[[Store, Path], object]]] = {
    "add": (nothing, lambda store, _: store.add(NEW)),
    "commit": (nothing, write_pieces),
    "replace": (damage_new, write_pieces),
    "quarantine": (damage_new, read_damaged),
    "trace": (
        nothing,
        lambda store, _: store.traces.put(
            NEW_STEP, {"kind": "new"}, {"out": Blob(Digest.of(OLD), len(OLD))}
        ),
    ),
    "root": (
        nothing,
        lambda store, folder: store.roots.set(
            folder / "project", "cpu", [Digest.of(OLD), OLD_TREE, NEW_TREE]
        ),
    ),
    "tree": (nothing, lambda store, _: make_tree(store, NEW_TREE)),
    "collect": (make_garbage, lambda store, _: collect(store, wait=True)),
}


def crash_everywhere(folder: Path, name: str) -> list[str]:
    """Kill the operation at each effect, each in a copy of its own; returns their names."""
    prepare, operation = OPERATIONS[name]

    def make(place: Path) -> None:
        make_old(place)
        prepare(place)

    return walk(folder, make, lambda place: _do(operation, place))


def _do(operation: Callable[[Store, Path], object], place: Path) -> None:
    operation(Store(place / "store"), place)


def crash_first_use(folder: Path) -> list[str]:
    """As `crash_everywhere`, for the first write to a store that does not exist."""
    return walk(folder, nothing, lambda place: _do(OPERATIONS["add"][1], place))


def full_disk(folder: Path) -> dict[str, Any]:
    """Fill a small disk that is mounted on the folder, in every way a store writes."""
    store = Store(folder / "store")
    (folder / "project").mkdir()
    kept = store.add(b"k" * 1000)
    store.roots.set(folder / "project", "cpu", [kept.digest])
    garbage = store.add(os.urandom(1 << 20))
    (folder / "filler").write_bytes(b"")
    errors = {}

    def attempt(name: str, effect: Callable[[], object]) -> None:
        try:
            effect()
        except StoreError as error:
            errors[name] = error.as_json()

    def stream() -> None:
        with store.writer() as writer:
            while True:
                writer.write(os.urandom(100_000))

    attempt("writer", stream)
    left = [str(path) for path in (store.root / "temporary").glob("*/*")]
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(b"f" * 4096):
                pass
        except OSError:
            pass
    attempt("add", lambda: store.add(os.urandom(5000)))
    attempt("trace", lambda: store.traces.put(NEW_STEP, {"big": "x" * 9000}, {"out": kept}))
    many = [Digest.of(bytes([number])) for number in range(100)]
    attempt("root", lambda: store.roots.set(folder / "project", "gpu", many))

    def tree() -> None:
        with store.new_tree(NEW_TREE) as place:
            try:
                (place / "file").write_bytes(os.urandom(9000))
            except OSError as error:
                raise StoreError("full") from error

    attempt("tree", tree)
    found = {
        "errors": errors,
        "left": left + [str(path) for path in (store.root / "temporary").glob("*/*")],
        "damaged": len(verify(store).damaged),
        "traces": len(list(store.traces.all())),
        "roots": [root.name for root in store.roots.all()],
        "tree": store.tree(NEW_TREE) is not None,
    }
    found["freed"] = collect(store).size == garbage.size
    found["kept"] = store.read(kept.digest, 1000) == b"k" * 1000
    found["works_again"] = store.add(b"n" * 100_000).size
    return found


def read_only(folder: Path) -> dict[str, Any]:
    """Use a store that the caller has mounted read-only, or that belongs to somebody else."""
    if "--as-nobody" in sys.argv:
        _become_nobody(folder)
    store = Store(folder / "store")
    errors = {}
    refused = []
    old = Blob(Digest.of(OLD), len(OLD))
    with store.session():
        # What is there already may be said again.
        store.traces.put(OLD_STEP, {"kind": "old"}, {"out": old})
        store.roots.set(folder / "project", "cpu", [OLD_TREE, old.digest])
        found: dict[str, Any] = {
            "read": store.read(Digest.of(OLD), 100).decode(),
            "add": str(store.add(OLD).digest),
            "trace": len(store.traces.get(OLD_STEP) or {}),
            "tree": store.tree(OLD_TREE) is not None,
            "roots": len(store.roots.all()),
            "unrooted": len(collect(store, dry_run=True).blobs),
        }
    found["verified"] = verify(store).blobs
    effects: dict[str, Callable[[], object]] = {
        "write": lambda: store.add(NEW),
        "root": lambda: store.roots.set(folder, "cpu", []),
        "trace": lambda: store.traces.put(NEW_STEP, {}, {"out": Blob(Digest.of(OLD), 11)}),
        "collect": lambda: collect(store),
        "tree": lambda: make_tree(store, NEW_TREE),
        "damaged": lambda: store.path(Digest.of(b"damaged")),
        "mistaken trace": lambda: store.traces.get(NEW_STEP),
    }
    for name, effect in effects.items():
        try:
            effect()
        except HpsError as error:
            errors[name] = error.as_json()
            if isinstance(error, StoreError) and may_only_read(error):
                refused.append(name)
    return found | {"errors": errors, "may only be read": sorted(refused)}


def _become_nobody(folder: Path) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        return
    for path in (folder / "store").rglob("*"):
        if path.is_dir():
            path.chmod(0o555)
    (folder / "store").chmod(0o555)
    if (lock := folder / "store" / "lock").exists():
        lock.chmod(0o444)


def build(folder: Path) -> int:
    """Rounds of what builds do, while others collect: all that a root names must stay."""
    name = sys.argv[3]
    (project := folder / f"project-{name}").mkdir()
    store = Store(folder / "store")
    kept: list[Blob] = []
    for number in range(ROUNDS):
        with store.session():
            for blob in kept:
                assert store.check(blob.digest) == blob.size
            shared = store.add(f"shared by both, round {number}".encode())
            own = store.add(f"{name} {number} ".encode() * 1000)
            store.add(f"garbage {name} {number}".encode())
            step = Digest.of(f"step {name} {number}".encode())
            store.traces.put(step, {"kind": "round"}, {"out": own})
            tree = Digest.of(f"tree {number % 3}".encode())
            if store.tree(tree) is None:
                make_tree(store, tree)
            kept = [*kept[-6:], shared, own]
            # All of the round is there until its session ends, rooted or not.
            assert store.read(own.digest, 1 << 20)
            store.roots.set(project, "cpu", [*(blob.digest for blob in kept), tree])
        with store.session():
            assert store.traces.get(step) == {"out": own}
            found = store.tree(tree)
            assert found is not None
            assert len(list(found.iterdir())) == TREE_FILES
    return len(kept)


def keep_collecting(folder: Path) -> dict[str, int]:
    """Collect until the builds are done."""
    store = Store(folder / "store")
    rounds = removed = 0
    while not (folder / "stop").exists():
        removed += len(collect(store, wait=True).blobs)
        rounds += 1
    return {"rounds": rounds, "removed": removed}


ROUNDS = 120


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    if name == "crash":
        value: object = crash_everywhere(folder, sys.argv[3])
    else:
        value = {
            "crash_first_use": crash_first_use,
            "full_disk": full_disk,
            "read_only": read_only,
            "build": build,
            "keep_collecting": keep_collecting,
        }[name](folder)
    print(json.dumps(value))


if __name__ == "__main__":
    main()
