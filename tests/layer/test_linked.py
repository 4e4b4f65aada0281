"""A folder twice, with the same files; and layers laid over one of the two."""

import os
import random
import stat
from pathlib import Path

import pytest

from hps.layer.entry import Entry
from hps.layer.linked import link_tree
from hps.layer.unpack import unpack
from tests.layer.test_tar import UNUSUAL, file, folder, link
from tests.layer.test_unpack import held, layer


def facts(root: Path) -> dict[str, tuple[int, int, object]]:
    """All that a process could see of a tree but inode numbers: modes, times, contents."""
    found: dict[str, tuple[int, int, object]] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        time = 0 if path.is_symlink() else status.st_mtime_ns
        found[str(path.relative_to(root))] = (status.st_mode, time, held(path))
    return found


def made(root: Path, *layers: Path) -> Path:
    root.mkdir()
    unpack(layers, root)
    return root


def linked(source: Path, root: Path) -> Path:
    root.mkdir()
    link_tree(source, root)
    return root


def test_the_same_files_in_other_folders(tmp_path: Path) -> None:
    first = made(tmp_path / "first", layer(tmp_path / "a.tar", *UNUSUAL))
    second = linked(first, tmp_path / "second")
    assert facts(second) == facts(first)
    for path in first.rglob("*"):
        other = second / path.relative_to(first)
        same = path.lstat().st_ino == other.lstat().st_ino
        assert same is not (path.is_dir() and not path.is_symlink())


UPPER: dict[str, tuple[Entry, ...]] = {
    "a new file": (file("srv/app/new.py", b"new"),),
    "another file": (file("usr/lib/a.py", b"other"),),
    "below a new folder": (folder("usr/lib/b"), file("usr/lib/b/c", b"c")),
    "a folder with other facts": (folder("usr/lib"),),
    "a file becomes a folder": (folder("usr/lib/a.py"), file("usr/lib/a.py/x", b"x")),
    "a folder becomes a file": (file("usr/lib", b"a file"),),
    "two names": (file("usr/lib/y", b"y"), link("usr/lib/z.py", "usr/lib/y", "hardlink")),
    "a link becomes a file": (file("usr/link", b"a file"),),
    "a whiteout": (file("usr/lib/.wh.a.py", b""),),
    "a whiteout of all": (file("usr/.wh..wh..opq", b""), file("usr/only", b"only")),
}


@pytest.mark.parametrize("upper", UPPER.values(), ids=UPPER)
def test_a_layer_over_links_is_a_layer_over_layers(
    upper: tuple[Entry, ...], tmp_path: Path
) -> None:
    below = [folder("usr"), folder("usr/lib"), file("usr/lib/a.py", b"a"), link("usr/link", "lib")]
    lower = layer(tmp_path / "lower.tar", *below, file("usr/lib/z.py", b"z"), epoch=1_600_000_000)
    over = layer(tmp_path / "upper.tar", *upper)
    base = made(tmp_path / "base", lower)
    before = facts(base)
    image = linked(base, tmp_path / "image")
    unpack([over], image)
    assert facts(image) == facts(made(tmp_path / "whole", lower, over))
    assert facts(base) == before


@pytest.mark.parametrize("seed", range(20))
def test_any_layer_over_any_other(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    tars = []
    for number in range(2):
        entries: dict[str, Entry] = {}
        for _ in range(12):
            parts = [chance.choice("abc") for _ in range(chance.randint(1, 3))]
            path = "/".join(parts)
            above = {"/".join(parts[:end]) for end in range(1, len(parts))}
            if any(entries[one].kind != "directory" for one in above & entries.keys()):
                continue
            if any(name.startswith(f"{path}/") for name in entries):
                continue
            made_of = [folder(path), file(path, chance.randbytes(5)), link(path, "nowhere")]
            entries.setdefault(path, chance.choice(made_of))
        found = sorted(entries.values(), key=lambda entry: entry.path)
        tars.append(layer(tmp_path / f"{number}.tar", *found, epoch=1_600_000_000 + number))
    base = made(tmp_path / "base", tars[0])
    before = facts(base)
    image = linked(base, tmp_path / "image")
    unpack([tars[1]], image)
    assert facts(image) == facts(made(tmp_path / "whole", *tars))
    assert facts(base) == before


def test_folders_that_cannot_be_written_are_filled(tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "closed").mkdir(parents=True)
    (first / "closed" / "file").write_bytes(b"")
    (first / "closed").chmod(0o555)
    second = linked(first, tmp_path / "second")
    assert stat.S_IMODE((second / "closed").stat().st_mode) == 0o555
    assert os.listdir(second / "closed") == ["file"]  # noqa: PTH208 - names alone
