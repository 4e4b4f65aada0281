"""Numbered directories and the pointer: whole or not there, read-only, and removable by us."""

import contextlib
import io
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hps.errors import IntegrityError
from hps.monitor.disk import DiskError, Room
from hps.monitor.generations import Generations
from hps.monitor.tree import StrangeFileError, measure_tree, remove_tree, seal_tree
from tests.faults.disks import mounted


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(tmp_path / ".hps" / "ocr")


def stage(generations: Generations, number: int, content: bytes = b"weights") -> Path:
    tree = generations.staging(number) / "model"
    (tree / "1" / "deep").mkdir(parents=True)
    (tree / "config.pbtxt").write_text(f"version {number}")
    (tree / "1" / "deep" / "weights").write_bytes(content)
    (tree / "1" / "run").write_bytes(b"#!")
    (tree / "1" / "run").chmod(0o700)
    return tree


def fill(file: io.FileIO) -> None:
    """Until nothing more fits."""
    with contextlib.suppress(OSError):
        while file.write(b"f" * 4096):
            pass


def publish(generations: Generations, number: int) -> Path:
    return generations.publish(number, stage(generations, number))


def modes(top: Path) -> dict[str, int]:
    return {
        str(path.relative_to(top)): stat.S_IMODE(path.lstat().st_mode)
        for path in [top, *sorted(top.rglob("*"))]
    }


def test_a_generation_is_whole_and_read_only(generations: Generations) -> None:
    path = publish(generations, 1)
    assert path == generations.path(1)
    assert modes(path) == {
        ".": 0o555,
        "1": 0o555,
        "1/deep": 0o555,
        "1/deep/weights": 0o444,
        "1/run": 0o555,
        "config.pbtxt": 0o444,
    }
    assert (path / "config.pbtxt").read_text() == "version 1"
    assert list(generations.staging(1).iterdir()) == []


def test_many_files_become_a_generation_too(generations: Generations) -> None:
    tree = stage(generations, 1)
    for number in range(100):
        (tree / f"part-{number}").write_bytes(b"x")
    path = generations.publish(1, tree)
    assert set(modes(path).values()) == {0o555, 0o444}


def test_staging_is_private_and_stays_for_the_same_number(generations: Generations) -> None:
    (generations.staging(3) / "packed").write_bytes(b"half")
    assert stat.S_IMODE(generations.staging(3).parent.stat().st_mode) == 0o700
    again = Generations(generations.folder)
    again.clean([3])
    assert (again.staging(3) / "packed").read_bytes() == b"half"
    again.clean([4])
    assert list((generations.folder / "staging").iterdir()) == []
    generations.discard(4)


def test_what_is_not_staged_for_the_number_is_not_published(generations: Generations) -> None:
    tree = stage(generations, 1)
    with pytest.raises(ValueError, match="not staged for generation 2"):
        generations.publish(2, tree)


def test_the_live_number_is_never_given_again(generations: Generations) -> None:
    publish(generations, 1)
    generations.point(1)
    with pytest.raises(ValueError, match="numbers are given once"):
        generations.publish(1, stage(generations, 1))


def test_what_a_killed_process_left_under_a_number_gives_way(generations: Generations) -> None:
    publish(generations, 2)
    path = generations.publish(2, stage(generations, 2, b"other"))
    assert (path / "1" / "deep" / "weights").read_bytes() == b"other"


def test_the_pointer_moves_in_one_step(generations: Generations) -> None:
    assert generations.live() is None
    for number in (1, 2):
        publish(generations, number)
        generations.point(number)
        assert generations.live() == number
        assert (generations.folder / "live" / "config.pbtxt").read_text() == f"version {number}"
    generations.point(1)
    assert generations.live() == 1
    with pytest.raises(DiskError, match="generation 7 is not in"):
        generations.point(7)
    assert generations.live() == 1


@pytest.mark.parametrize("target", ["../../etc", "generations/../1", "generations/x", "/", "1"])
def test_a_pointer_that_is_not_ours_leads_nowhere(generations: Generations, target: str) -> None:
    (generations.folder / "live").symlink_to(target)
    assert generations.live() is None


def test_the_live_one_is_never_removed(generations: Generations) -> None:
    for number in (1, 2, 3, 4):
        publish(generations, number)
    generations.point(2)
    assert generations.numbers() == (1, 2, 3, 4)
    assert generations.keep_only([4]) == (1, 3)
    assert generations.numbers() == (2, 4)
    assert generations.keep_only([]) == (4,)
    assert list((generations.folder / "removed").iterdir()) == []


def test_files_of_other_people_are_no_generations(generations: Generations) -> None:
    for name in ("01", "0", "x", ".1", "1.old"):
        (generations.folder / "generations" / name).mkdir()
    assert generations.numbers() == ()
    generations.keep_only([])
    assert len(list((generations.folder / "generations").iterdir())) == 5


def test_leftovers_of_a_killed_process_are_removed(generations: Generations) -> None:
    publish(generations, 1)
    stage(generations, 2)
    (generations.folder / "live.new").symlink_to("generations/2")
    generations.path(1).chmod(0o755)
    generations.path(1).rename(generations.folder / "removed" / "1")
    Generations(generations.folder).clean([])
    assert sorted(path.name for path in generations.folder.rglob("*")) == [
        "generations",
        "removed",
        "staging",
    ]


def test_room_is_counted_and_asked_for(generations: Generations) -> None:
    publish(generations, 1)
    extent = generations.extent()
    assert (extent.files, extent.size > 0) == (3, True)
    room = generations.room()
    generations.check_room(1, 1)
    with pytest.raises(DiskError, match="no room") as raised:
        generations.check_room(room.size, 1, reserve=1 << 50)
    assert f"{1 << 50} of them to be left" in (raised.value.expected or "")
    if room.files is not None:
        with pytest.raises(DiskError, match="no room"):
            generations.check_room(1, room.files * 2 + 1_000_000)


def test_a_full_disk_is_told_and_leaves_what_is_live(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        generations = Generations(disk / "ocr")
        publish(generations, 1)
        generations.point(1)
        assert Room.at(disk).size < 1 << 20
        with pytest.raises(DiskError, match="no room for the model"):
            generations.check_room(2 << 20, 1)
        tree = stage(generations, 2)
        with (disk / "filler").open("wb", buffering=0) as filler:
            fill(filler)
            with pytest.raises(DiskError, match="no room for the model"):
                generations.check_room(1 << 16, 1)
        assert generations.live() == 1
        generations.keep_only([])
        (disk / "filler").unlink()
        generations.publish(2, tree)
        generations.point(2)
        assert generations.live() == 2


# trees whose names come from outside


def test_a_name_that_is_no_text_is_a_name_like_any_other(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(os.fsencode(top) + b"/\xff\n\x1b", os.O_CREAT | os.O_WRONLY)
    os.close(descriptor)
    seal_tree(top)
    assert measure_tree(top).files == 1
    remove_tree(top)
    assert not top.exists()


@pytest.mark.parametrize("kind", ["link", "link to a folder", "fifo", "two names", "socket"])
def test_what_nobody_unpacked_is_refused(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"")
    (outside / "file").chmod(0o640)
    top = tmp_path / "top" / "inner"
    top.mkdir(parents=True)
    if kind == "link":
        (top / "x").symlink_to(outside / "file")
    elif kind == "link to a folder":
        (top / "x").symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(top / "x")
    elif kind == "two names":
        (top / "x").hardlink_to(outside / "file")
    else:
        os.mknod(top / "x", stat.S_IFSOCK | 0o600)
    with pytest.raises(StrangeFileError) as raised:
        seal_tree(top.parent)
    assert isinstance(raised.value, IntegrityError)
    assert stat.S_IMODE((outside / "file").stat().st_mode) == 0o640
    remove_tree(top.parent)
    assert (outside / "file").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    remove_tree(tmp_path / "link")
    assert (tmp_path / "there").is_dir()
    remove_tree(tmp_path / "not" / "there")
    assert measure_tree(tmp_path / "not there").files == 0


def test_a_tree_that_is_too_deep_is_told(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "/".join("d" * 300)).mkdir(parents=True)
    with pytest.raises(DiskError, match="too deep"):
        seal_tree(top)


REMOVE = """
import os, sys
from pathlib import Path
from hps.monitor.tree import remove_tree, seal_tree
top = Path(sys.argv[1]) / "top"
os.setgroups([]); os.setgid(65534); os.setuid(65534)
(top / "a" / "b").mkdir(parents=True)
(top / "a" / "b" / "file").write_bytes(b"x")
seal_tree(top)
(top / "a").chmod(0)
remove_tree(top)
assert not top.exists()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_plain_user_removes_its_own_read_only_trees(tmp_path: Path) -> None:
    for folder in tmp_path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    tmp_path.chmod(0o777)
    subprocess.run([sys.executable, "-c", REMOVE, str(tmp_path)], check=True)
