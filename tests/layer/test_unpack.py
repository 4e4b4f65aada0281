"""Layers laid down as a root file system."""

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.errors import StoreError
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.layer.unpack import unpack
from tests.layer.test_tar import UNUSUAL, file, folder, link

Add = Callable[[tarfile.TarFile], None]


def layer(path: Path, *entries: Entry, epoch: int = 1_700_000_000) -> Path:
    with path.open("wb") as out:
        write_layer(entries, out.write, epoch=epoch)
    return path


def held(path: Path) -> object:
    """Where a link leads, or what a file holds; None for anything else."""
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else None


def tree(root: Path) -> dict[str, tuple[int, object]]:
    found: dict[str, tuple[int, object]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(root))] = (stat.S_IMODE(status.st_mode), held(path))
    return found


def laid(tmp_path: Path, *layers: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    unpack(layers, root)
    return root


def test_the_same_tree_as_gnu_tar(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.tar", *UNUSUAL, link("zz", "big", "hardlink"))
    root = laid(tmp_path, path)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["tar", "-x", "-p", "--no-same-owner", "-f", path, "-C", other], check=True)
    assert tree(root) == tree(other)
    assert (root / "zz").samefile(root / "big")
    assert (root / "empty").stat().st_mtime == 1_700_000_000
    assert (root / "a").stat().st_mtime == 1_700_000_000


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_others(tmp_path: Path, style: int) -> None:
    path = tmp_path / "a.tar"
    names = ["x", "d/" + "y" * 90, "e/" * 40 + "z"]
    if style != tarfile.USTAR_FORMAT:
        names += ["l" * 200 + "/" + "m" * 200, "é" * 60]
    with tarfile.open(path, "w", format=style, pax_headers={"comment": "global"}) as archive:
        for name in names:
            info = tarfile.TarInfo("./" + name)
            info.size, info.mode, info.mtime = 3, 0o640, 1_600_000_000
            archive.addfile(info, io.BytesIO(b"abc"))
    root = laid(tmp_path, path)
    for name in names:
        assert (root / name).read_bytes() == b"abc"
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o640
        assert (root / name).stat().st_mtime == 1_600_000_000


def test_a_later_layer_wins_and_kinds_may_change(tmp_path: Path) -> None:
    lower = layer(
        tmp_path / "lower.tar",
        file("same", b"old"),
        file("was-file", b"1"),
        file("was-folder/x/y", b"2"),
        link("was-link", "same"),
        link("link-to-folder", "kept"),
        file("kept/a", b"3"),
    )
    upper = layer(
        tmp_path / "upper.tar",
        file("same", b"new"),
        file("was-file/now/folder", b"4"),
        link("was-folder", "kept"),
        file("was-link", b"5"),
        file("link-to-folder/b", b"6"),
        file("kept/c", b"7"),
    )
    root = laid(tmp_path, lower, upper)
    assert (root / "same").read_bytes() == b"new"
    assert (root / "was-file/now/folder").read_bytes() == b"4"
    assert (root / "was-folder").readlink() == Path("kept")
    assert not (root / "was-link").is_symlink()
    assert (root / "was-link").read_bytes() == b"5"
    assert not (root / "link-to-folder").is_symlink()
    assert sorted(p.name for p in (root / "kept").iterdir()) == ["a", "c"]


def test_whiteouts_hide_lower_layers_only(tmp_path: Path) -> None:
    lower = layer(
        tmp_path / "lower.tar",
        file("a", b"1"),
        file("b/x", b"2"),
        file("c/old", b"3"),
        file("c/-old/z", b"4"),
        file("c/sub/old", b"5"),
        file("d/x", b"6"),
        file("e", b"7"),
    )
    upper = layer(
        tmp_path / "upper.tar",
        file(".wh.a"),
        file(".wh.b"),
        file("c/.wh..wh..opq"),
        file("c/-new", b"8"),
        file("c/sub/new", b"9"),
        file("d/.wh.x"),
        file("d/y", b"10"),
        file(".wh.never-there"),
        file("-e", b""),
        file(".wh.-e"),
    )
    root = laid(tmp_path, lower, upper)
    files = {name for name, (_, what) in tree(root).items() if what is not None}
    assert files == {"c/-new", "c/sub/new", "d/y", "e", "-e"}


def test_modes_are_kept_but_nothing_runs_as_another(tmp_path: Path) -> None:
    path = layer(
        tmp_path / "a.tar",
        file("su", b"1", mode=0o4755),
        file("wall", b"1", mode=0o2755),
        file("secret", b"1", mode=0),
        folder("tmp", mode=0o1777),
        folder("shut", mode=0o000),
        file("shut/in", b"2"),
    )
    root = laid(tmp_path, path)
    modes = {name: mode for name, (mode, _) in tree(root).items()}
    assert modes == {
        "su": 0o755,
        "wall": 0o755,
        "secret": 0o400,
        "tmp": 0o1777,
        "shut": 0o700,
        "shut/in": 0o644,
    }


def test_umask_and_an_unprivileged_user_change_nothing(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.tar", *[entry for entry in UNUSUAL if entry.uid == 0])
    before = os.umask(0o077)
    try:
        root = laid(tmp_path, path)
    finally:
        os.umask(before)
    modes = {name: mode for name, (mode, _) in tree(root).items()}
    assert modes["usr/bin/x"] == 0o755
    assert modes["usr/bin"] == 0o755
    assert modes["empty"] == 0o644


def test_a_disk_that_refuses_is_explained(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.tar", file("a", b"1"))
    with pytest.raises(StoreError, match="unpack"):
        unpack([path], tmp_path / "not-there")
    with pytest.raises(StoreError, match="unpack"):
        unpack([tmp_path / "no.tar"], tmp_path)
    with pytest.raises(StoreError, match="unpack"):
        unpack([path], Path("/proc"))
