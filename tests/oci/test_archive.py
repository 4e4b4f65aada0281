import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import BlobMissingError, BuildError, StoreCorruptError
from hps.oci.archive import archive_pieces, write_archive
from hps.oci.image import assemble
from hps.oci.layout import check_layout, write_layout
from tests.oci.images import Blobs, settings, small_image


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def archive(blobs: Blobs, epoch: int = 0) -> bytes:
    stream = io.BytesIO()
    write_archive(stream, [small_image(blobs)], blobs.path, epoch=epoch)
    return stream.getvalue()


def test_the_archive_holds_the_layout(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", "-", "-C", tmp_path / "out"], input=archive(blobs), check=True)
    assert check_layout(tmp_path / "out") == (small_image(blobs),)
    write_layout(tmp_path / "layout", [small_image(blobs)], blobs.path)
    subprocess.run(["diff", "-r", tmp_path / "out", tmp_path / "layout"], check=True)


def test_members_are_sorted_and_anonymous(blobs: Blobs) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(blobs, epoch=1_700_000_000))) as tar:
        members = tar.getmembers()
    names = [member.name + ("/" if member.isdir() else "") for member in members]
    assert names == sorted(names)
    assert {member.mtime for member in members} == {1_700_000_000}
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert {member.mode for member in members} == {0o644, 0o755}


def test_two_writes_give_the_same_bytes(tmp_path: Path, blobs: Blobs) -> None:
    write_archive(tmp_path / "image.tar", [small_image(blobs)], blobs.path, epoch=0)
    assert (tmp_path / "image.tar").read_bytes() == archive(blobs)


def test_gnu_tar_reads_it_to_the_end(tmp_path: Path, blobs: Blobs) -> None:
    (tmp_path / "image.tar").write_bytes(archive(blobs))
    listed = subprocess.run(
        ["tar", "-tf", tmp_path / "image.tar"], capture_output=True, text=True, check=True
    )
    assert listed.stderr == ""
    assert len(listed.stdout.splitlines()) == 9


def test_pieces_are_small(blobs: Blobs) -> None:
    pieces = archive_pieces([small_image(blobs)], blobs.path, epoch=0)
    assert max(len(piece) for piece in pieces) <= 1 << 20


def test_a_layer_beyond_8_gib_is_announced_in_full(tmp_path: Path) -> None:
    # A sparse file: only the header and the first piece are read.
    path = tmp_path / "large"
    size = 9 << 30
    with path.open("wb") as writer:
        writer.truncate(size)
    layer = Blob(Digest("0" * 64), size)
    image = assemble("demo:large", settings(), [layer], platform="linux/amd64", epoch=0)
    pieces = archive_pieces([image], lambda _: path, epoch=0)
    headers = next(piece for piece in pieces if b"0" * 64 in piece)
    pieces.close()  # type: ignore[attr-defined]
    member = tarfile.TarFile(fileobj=io.BytesIO(headers)).next()
    assert member is not None
    assert member.size == size


def test_a_missing_layer(tmp_path: Path, blobs: Blobs) -> None:
    image = small_image(blobs)
    (tmp_path / "image.tar").write_bytes(b"old")
    blobs.path(image.layers[0].digest).unlink()
    with pytest.raises(BlobMissingError):
        write_archive(tmp_path / "image.tar", [image], blobs.path, epoch=0)
    assert (tmp_path / "image.tar").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*partial"))


def test_a_layer_of_another_size(blobs: Blobs) -> None:
    image = small_image(blobs)
    with blobs.path(image.layers[0].digest).open("ab") as writer:
        writer.write(b"more")
    with pytest.raises(StoreCorruptError, match="another size"):
        write_archive(io.BytesIO(), [image], blobs.path, epoch=0)


def test_a_layer_that_shrinks_while_it_is_read(blobs: Blobs) -> None:
    image = small_image(blobs)
    large = max(image.layers, key=lambda layer: layer.size)
    pieces = archive_pieces([image], blobs.path, epoch=0)
    assert any(len(piece) == 1 << 20 for piece in pieces)
    with blobs.path(large.digest).open("r+b") as writer:
        writer.truncate(1 << 20)
    with pytest.raises(StoreCorruptError, match="became shorter"):
        list(pieces)


def test_a_full_disk(blobs: Blobs) -> None:
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(BuildError, match="No space"),
    ):
        write_archive(full, [small_image(blobs)], blobs.path, epoch=0)


def test_memory_does_not_grow_with_the_image(tmp_path: Path, blobs: Blobs) -> None:
    """An archive of 1 GiB (sparse) in an address space that could not hold a quarter of it."""
    path = blobs.folder / "large"
    with path.open("wb") as writer:
        writer.truncate(1 << 30)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hps.digest import Blob, Digest\n"
        "from hps.config.target import ImageSettings\n"
        "from hps.oci.archive import archive_pieces\n"
        "from hps.oci.image import assemble\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)\n"
        "layer = Blob(Digest('0' * 64), 1 << 30)\n"
        "image = assemble('a:b', ImageSettings(), [layer], platform='linux/amd64', epoch=0)\n"
        "print(sum(map(len, archive_pieces([image], lambda _: Path(sys.argv[1]), epoch=0))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert int(done.stdout) > 1 << 30
