"""Writes exports of a store, and reads them back, and is killed at each effect.

`python -m tests.faults.killed_export FOLDER` prints how many times each was killed.
"""

import contextlib
import sys
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import IntegrityError
from hps.store.blobs import Store
from hps.store.export_manifest import Exported, Manifest
from hps.store.export_read import read_export
from hps.store.export_write import write_archive, write_folder
from tests.faults.tracer import walk

OLD = {"a.whl": b"a" * 3000, "b.deb": b"b" * 100}
NEW = {"a.whl": b"a" * 3000, "c.deb": b"c" * 5000, "d": b""}


def manifest(bodies: dict[str, bytes]) -> Manifest:
    """The document for these files."""
    blobs = [Exported(Blob(Digest.of(body), len(body)), name) for name, body in bodies.items()]
    return Manifest.make("demo", ["cpu"], blobs)


def filled(folder: Path) -> Store:
    """A store that has all of them."""
    store = Store(folder)
    for body in (*OLD.values(), *NEW.values()):
        store.add(body)
    return store


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def exports(folder: Path, store: Store) -> int:
    """A folder with an older export in it, brought up to date and killed on the way."""
    write_folder(store, manifest(NEW), folder / "alone")

    def prepare(place: Path) -> None:
        write_folder(store, manifest(OLD), place / "export")

    def write(place: Path) -> None:
        write_folder(store, manifest(NEW), place / "export")

    places = walk(folder, prepare, write)
    for number, name in enumerate(places):
        place = folder / name / "export"
        other = Store(folder / f"read{number}")
        with contextlib.suppress(IntegrityError):  # unfinished, or blobs of the older one are gone
            found = read_export(other, place).manifest
            assert found in {manifest(OLD), manifest(NEW)}
        for stored in other.list_blobs():
            other.check(stored.blob.digest)
        write_folder(store, manifest(NEW), place)
        assert tree(place) == tree(folder / "alone"), sorted(tree(place))
        read_export(other, place)
    return len(places)


def archives(folder: Path, store: Store) -> int:
    """An archive over an older one: always the one or the other."""

    def prepare(place: Path) -> None:
        write_archive(store, manifest(OLD), place / "export.tar")

    def write(place: Path) -> None:
        write_archive(store, manifest(NEW), place / "export.tar")

    places = walk(folder, prepare, write)
    for number, name in enumerate(places):
        found = read_export(Store(folder / f"read{number}"), folder / name / "export.tar").manifest
        assert found in {manifest(OLD), manifest(NEW)}
    return len(places)


def imports(folder: Path, store: Store) -> int:
    """An import that is killed leaves whole blobs, and the next one carries on."""
    write_folder(store, manifest(NEW), folder / "source")

    def read(place: Path) -> None:
        read_export(Store(place / "store"), folder / "source")

    places = walk(folder, lambda _: None, read)
    for name in places:
        other = Store(folder / name / "store")
        for stored in other.list_blobs():
            other.check(stored.blob.digest)
        read_export(other, folder / "source")
        assert {one.blob.digest for one in other.list_blobs()} == {
            Digest.of(body) for body in NEW.values()
        }
    return len(places)


def main() -> None:
    """Kill all three."""
    folder = Path(sys.argv[1])
    store = filled(folder / "store")
    counts = []
    for work in (exports, archives, imports):
        (folder / work.__name__).mkdir()
        counts.append(work(folder / work.__name__, store))
    print(*counts)


if __name__ == "__main__":
    main()
