import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import BuildError
from hps.oci.archive import write_archive
from hps.oci.layout import check_layout, write_layout
from tests.faults.disks import mounted
from tests.faults.killed_layout import FORMS
from tests.faults.tracer import can_trace
from tests.oci.images import Blobs, small_image

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")
@pytest.mark.parametrize("form", FORMS)
def test_kill_at_every_effect_leaves_a_whole_image(tmp_path: Path, form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_layout", form, tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert all(int(count) > 8 for count in done.stdout.split())  # a walk that sees nothing


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB: one layout of 2 MiB fits, a second beside it does not."""
    with mounted(tmp_path / "disk", "3m") as folder:
        yield folder


def test_a_full_disk_leaves_the_old_layout(tmp_path: Path, small_disk: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    old = small_image(blobs)
    write_layout(small_disk / "layout", [old], blobs.path)
    with pytest.raises(BuildError, match="No space left on device") as caught:
        write_layout(small_disk / "layout", [small_image(blobs, labels={"a": "b"})], blobs.path)
    assert "unchanged" in str(caught.value.hint)
    assert check_layout(small_disk / "layout") == (old,)
    assert [path.name for path in small_disk.iterdir()] == ["layout"]


def test_a_full_disk_leaves_the_old_archive(tmp_path: Path, small_disk: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    image = small_image(blobs)
    write_archive(small_disk / "image.tar", [image], blobs.path, epoch=0)
    before = (small_disk / "image.tar").read_bytes()
    with pytest.raises(BuildError, match="No space left on device"):
        write_archive(small_disk / "image.tar", [image], blobs.path, epoch=1)
    assert (small_disk / "image.tar").read_bytes() == before
    assert [path.name for path in small_disk.iterdir()] == ["image.tar"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="cannot be written"):
        write_layout(tmp_path / "file" / "layout", [small_image(blobs)], blobs.path)
