"""Exports that are being written or read when the machine stops, or a disk is full."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import StoreError
from hps.store.blobs import Store
from hps.store.export_manifest import Exported, Manifest
from hps.store.export_read import read_export
from hps.store.export_write import write_archive, write_folder
from tests.faults.disks import mounted
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]
BODIES = [random.Random(seed).randbytes(300_000) for seed in range(4)]
BLOBS = [Exported(Blob(Digest.of(body), len(body)), f"{n}") for n, body in enumerate(BODIES)]
MANIFEST = Manifest.make("demo", ["cpu"], BLOBS)


@pytest.mark.slow
@pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")
def test_kill_at_every_effect_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_export", tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    counts = [int(count) for count in done.stdout.split()]
    assert len(counts) == 3
    assert min(counts) > 5  # a walk that sees nothing


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for body in BODIES:
        made.add(body)
    return made


def test_an_export_that_meets_the_end_of_a_disk_is_carried_on(store: Store, tmp_path: Path) -> None:
    """Another program fills the disk while the export is written."""
    with mounted(tmp_path / "disk", "2m") as disk:
        filled = 0

        def fill(count: int) -> None:
            nonlocal filled
            filled += count
            if filled > 500_000 and not (disk / "ballast").exists():
                free = 2 << 20
                while free > 4096:
                    try:
                        with (disk / "ballast").open("ab") as file:
                            file.write(bytes(free))
                    except OSError:
                        free //= 2

        with pytest.raises(StoreError, match="cannot be written") as caught:
            write_folder(store, MANIFEST, disk / "export", fill)
        assert "No space left" in caught.value.message
        (disk / "ballast").unlink()
        done = write_folder(store, MANIFEST, disk / "export")
        assert done.present >= 1
        assert read_export(Store(tmp_path / "other"), disk / "export").added == len(BODIES)


@pytest.mark.parametrize("size", ["1m", "200k"])
def test_a_disk_that_is_too_small(store: Store, tmp_path: Path, size: str) -> None:
    with mounted(tmp_path / "disk", size) as disk:
        with pytest.raises(StoreError, match="does not fit"):
            write_archive(store, MANIFEST, disk / "export.tar")
        assert list(disk.iterdir()) == []
        with pytest.raises(StoreError, match="does not fit"):
            write_folder(store, MANIFEST, disk / "export")
        write_folder(store, MANIFEST, tmp_path / "export")
        with pytest.raises(StoreError, match="does not fit"):
            read_export(Store(disk / "store"), tmp_path / "export")
