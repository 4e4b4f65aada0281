"""The layers of a base image as one folder: packings, whiteouts, owners, and what is refused."""

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.archive.paths import Limits
from hps.digest import Digest
from hps.errors import HpsError, IntegrityError, UnsafeArchiveError
from hps.layer.base_root import PackedLayer, base_lines, lay_down
from hps.layer.unpack import Owned
from tests.layer.packages import PACK, Part, folder, hardlink, symlink, tar_bytes

TYPE = "application/vnd.oci.image.layer.v1.tar"
SUFFIXES = {"": "", "+gzip": ".gz", "+zstd": ".zst"}


def layer(place: Path, tar: bytes, packing: str = "", diff_id: Digest | None = None) -> PackedLayer:
    data = PACK[SUFFIXES[packing]](tar)
    path = place / f"{Digest.of(data).hex}{packing}"
    path.write_bytes(data)
    return PackedLayer(path, f"{TYPE}{packing}", diff_id or Digest.of(tar))


def laid(place: Path, layers: Sequence[PackedLayer], limits: Limits | None = None) -> Path:
    owned_by(place, layers, limits)
    return place / "root"


def owned_by(
    place: Path, layers: Sequence[PackedLayer], limits: Limits | None = None
) -> dict[str, Owned]:
    for name in ("root", "scratch"):
        (place / name).mkdir()
    found = lay_down(layers, place / "root", place / "scratch", limits)
    assert not list((place / "scratch").iterdir())
    return found


def owned_tar(*members: tuple[str, int, int, int, bytes]) -> bytes:
    """Folders (names that end in a slash) and files with mode, owner and group."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode, uid, gid, data in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode, info.uid, info.gid, info.size = mode, uid, gid, len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("packing", SUFFIXES)
def test_every_packing(tmp_path: Path, packing: str) -> None:
    tar = tar_bytes([folder("a/"), Part("a/b", b"content" * 1000)])
    root = laid(tmp_path, [layer(tmp_path, tar, packing)])
    assert (root / "a/b").read_bytes() == b"content" * 1000


def test_layers_take_away_what_is_below(tmp_path: Path) -> None:
    tars = [
        [*(folder("a/"), Part("a/x", b"1"), Part("a/y", b"1")), folder("b/"), Part("b/z", b"1")],
        [Part("a/.wh.x"), Part("b/.wh..wh..opq"), Part("b/new", b"2")],
        [Part("a/x", b"3")],
    ]
    layers = [layer(tmp_path, tar_bytes(parts), "+gzip") for parts in tars]
    root = laid(tmp_path, layers)
    assert (root / "a/x").read_bytes() == b"3"
    assert (root / "a/y").exists()
    assert sorted(path.name for path in (root / "b").iterdir()) == ["new"]


def test_modes_and_owners_are_told_though_a_folder_cannot_have_them(tmp_path: Path) -> None:
    tar = owned_tar(
        ("srv/", 0o2750, 7, 8, b""),
        ("srv/tool", 0o4755, 0, 0, b"x"),
        ("srv/far", 0o600, 3_000_000, 5, b"x"),  # more than an octal field holds
    )
    owned = owned_by(tmp_path, [layer(tmp_path, tar)])
    assert owned["srv"] == Owned(0o2750, 7, 8)
    assert owned["srv/tool"] == Owned(0o4755, 0, 0)
    assert owned["srv/far"].uid == 3_000_000
    assert (tmp_path / "root/srv/tool").stat().st_mode & 0o7000 == 0  # not on this machine's disk


def test_what_an_index_says_of_a_base(tmp_path: Path) -> None:
    parts = [folder("usr/", 0o700), Part("usr/b", b"x", mode=0o4755), symlink("lib", "usr/lib")]
    tar = tar_bytes([*parts, hardlink("usr/c", "usr/b"), Part("usr/implied/file", b"")])
    owned = owned_by(tmp_path, [layer(tmp_path, tar)])
    found = {line.path: line for line in base_lines(tmp_path / "root", owned, {"usr/b": "package"})}
    assert list(found) == ["lib", "usr", "usr/b", "usr/c", "usr/implied", "usr/implied/file"]
    assert (found["usr"].kind, found["usr"].mode) == ("directory", 0o700)
    assert (found["usr/b"].mode, found["usr/b"].owner) == (0o4755, "package")
    assert found["usr/b"].content == Digest.of(b"x").hex
    assert (found["usr/c"].mode, found["usr/c"].owner) == (0o4755, "base")
    assert (found["lib"].kind, found["lib"].content) == ("symlink", "usr/lib")
    assert found["usr/implied"].mode == 0o755


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Part("dev/null", kind=tarfile.CHRTYPE), "a device"),
        (Part("dev/sda", kind=tarfile.BLKTYPE), "a device"),
        (Part("run/pipe", kind=tarfile.FIFOTYPE), "a device"),
        (Part("../../etc/shadow", b"x"), "unsafe name"),
        (Part("/etc/shadow", b"x"), "unsafe name"),
        (hardlink("etc/shadow", "../../../etc/shadow"), "unsafe name"),
        (hardlink("etc/shadow", "etc/nothing"), "a hard link to what is no file"),
        (Part("etc/.wh.", b""), "a whiteout of nothing"),
        (Part("etc/.wh...", b""), "unsafe name"),
    ],
    ids=lambda value: value.name if isinstance(value, Part) else None,
)
@pytest.mark.parametrize("packing", SUFFIXES)
def test_what_no_image_needs(tmp_path: Path, part: Part, told: str, packing: str) -> None:
    tar = tar_bytes([folder("etc/"), part])
    with pytest.raises(HpsError, match=told):
        laid(tmp_path, [layer(tmp_path, tar, packing)])


def test_an_upper_layer_does_not_write_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    first = layer(tmp_path, tar_bytes([symlink("way", str(outside))]))
    second = layer(tmp_path, tar_bytes([Part("way/file", b"x")]))
    with pytest.raises(UnsafeArchiveError, match="an entry below what is no folder"):
        laid(tmp_path, [first, second])
    assert not list(outside.iterdir())


@pytest.mark.parametrize("packing", SUFFIXES)
def test_another_layer_than_the_image_says(tmp_path: Path, packing: str) -> None:
    tar = tar_bytes([Part("a", b"x")])
    wrong = layer(tmp_path, tar, packing, Digest.of(b"another"))
    with pytest.raises(IntegrityError, match="unpacks to something else"):
        laid(tmp_path, [wrong])
    assert not list((tmp_path / "root").iterdir())  # nothing of it was laid down


@pytest.mark.parametrize("packing", ["+gzip", "+zstd"])
@pytest.mark.parametrize("damage", [b"", b"no such thing", None])
def test_damaged_packing(tmp_path: Path, packing: str, damage: bytes | None) -> None:
    good = layer(tmp_path, tar_bytes([Part("a", b"x" * 100_000)]), packing)
    data = good.path.read_bytes()
    good.path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    with pytest.raises(HpsError, match="the base image"):
        laid(tmp_path, [good])


def test_a_tar_that_is_cut_off(tmp_path: Path) -> None:
    tar = tar_bytes([Part("a", b"x" * 5000)])[:3000]
    with pytest.raises(UnsafeArchiveError, match="cut off"):
        laid(tmp_path, [layer(tmp_path, tar, "+gzip")])


def test_more_than_allowed(tmp_path: Path) -> None:
    tar = tar_bytes([Part(f"file-{number}", b"x" * 600) for number in range(20)])
    with pytest.raises(HpsError, match="too many files"):
        laid(tmp_path, [layer(tmp_path, tar)], Limits(files=10))


@pytest.mark.parametrize("packing", ["+gzip", "+zstd"])
def test_a_bomb(tmp_path: Path, packing: str) -> None:
    limits = Limits(ratio=50, ratio_from=1 << 20)
    with pytest.raises(HpsError, match="decompression bomb"):
        laid(tmp_path, [layer(tmp_path, bytes(8 << 20), packing)], limits)


def test_several_gzip_members_are_one_stream(tmp_path: Path) -> None:
    tar = tar_bytes([Part("a", b"x" * 5000)])
    path = tmp_path / "members"
    path.write_bytes(gzip.compress(tar[:4000]) + gzip.compress(tar[4000:]))
    root = laid(tmp_path, [PackedLayer(path, f"{TYPE}+gzip", Digest.of(tar))])
    assert (root / "a").stat().st_size == 5000
