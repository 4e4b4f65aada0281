"""Unfinished files go when their writer is dead, and not before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hps.errors import StoreError
from hps.store.filesystem import Filesystem
from hps.store.workspace import Workspace, remove_stale


def workspace(root: Path) -> Workspace:
    return Workspace(root, Filesystem(), lambda _: None)


def test_paths_are_never_given_twice(tmp_path: Path) -> None:
    one, two = workspace(tmp_path), workspace(tmp_path)
    paths = [space.new_path() for space in (one, two) for _ in range(100)]
    assert len(set(paths)) == 200


def test_a_published_file_is_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    space = workspace(tmp_path / "temporary")
    space.publish(b"content", tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"content"
    assert list(space.begin().iterdir()) == []


def test_a_living_writer_keeps_its_files_while_others_come(tmp_path: Path) -> None:
    living = workspace(tmp_path)
    path = living.new_path()
    path.write_text("unfinished")
    for _ in range(3):
        workspace(tmp_path).begin()
    assert path.read_text() == "unfinished"


def test_a_writer_that_ends_takes_its_folder_with_it(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    space.new_path().write_text("given up")
    del space
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_killed_writer_go_with_the_next_one(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from hps.store.filesystem import Filesystem\n"
        "from hps.store.workspace import Workspace\n"
        "space = Workspace(Path(sys.argv[1]), Filesystem(), lambda _: None)\n"
        "space.new_path().write_text('unfinished')\n"
        "tree = space.new_path(); tree.mkdir(); (tree / 'file').write_text('x'); tree.chmod(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.iterdir())) == 2  # the folder and its lock
    own = workspace(tmp_path).begin
    folder = own()
    assert sorted(tmp_path.iterdir()) == sorted((folder, folder.with_name(folder.name + ".lock")))


def test_a_forked_child_has_a_folder_of_its_own_and_leaves_its_parents(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from hps.store.filesystem import Filesystem\n"
        "from hps.store.workspace import Workspace\n"
        "space = Workspace(Path(sys.argv[1]), Filesystem(), lambda _: None)\n"
        "path = space.new_path(); path.write_text('unfinished')\n"
        "if (child := os.fork()) == 0:\n"
        "    sys.exit(space.new_path().parent == path.parent)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert path.read_text() == 'unfinished'\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_cleaner_that_was_killed_go_too(tmp_path: Path) -> None:
    (tmp_path / "1-a").mkdir()  # its lock is gone already
    (tmp_path / "2-b.lock").touch()  # its folder is gone already
    remove_stale(tmp_path, Filesystem())
    assert list(tmp_path.iterdir()) == []


def test_sandboxes_that_outlived_their_writer_end_when_it_is_cleaned_up(tmp_path: Path) -> None:
    """As those do whose bwrap was killed before it had asked to die with its parent."""
    space, dead = workspace(tmp_path), tmp_path / "1-a"
    outputs = [dead / "0", space.new_path()]
    for output in outputs:
        output.mkdir(parents=True)
    dead.with_suffix(".lock").touch()
    line = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    pairs = [
        subprocess.Popen([*line, "--bind", str(output), "/mnt", "--", "/bin/sleep", "60"])
        for output in outputs
    ]
    other = subprocess.Popen(["/bin/sh", "-c", "sleep 60; :", str(dead / "file")])
    try:
        remove_stale(tmp_path, Filesystem())
        assert pairs[0].wait(30) == -signal.SIGKILL
        assert pairs[1].poll() is None
        assert other.poll() is None  # a person's, perhaps
        assert not dead.exists()
    finally:
        for one in (*pairs, other):
            one.kill()
            one.wait()


def test_cleaning_where_nothing_is_does_nothing(tmp_path: Path) -> None:
    remove_stale(tmp_path / "none", Filesystem())
    assert list(tmp_path.iterdir()) == []


def test_a_preparation_that_fails_is_tried_again(tmp_path: Path) -> None:
    answers = iter([StoreError("not yet"), None])

    def prepare(_: Workspace) -> None:
        if (answer := next(answers)) is not None:
            raise answer

    space = Workspace(tmp_path, Filesystem(), prepare)
    with pytest.raises(StoreError, match="not yet"):
        space.begin()
    assert space.begin().is_dir()


def test_the_order_that_survives_power_loss(tmp_path: Path) -> None:
    """Content reaches the disk before its name, and the name before the call returns."""
    order: list[str] = []

    class Recorder(Filesystem):
        def seal(self, file):  # type: ignore[no-untyped-def]
            assert os.fstat(file.fileno()).st_nlink == 1
            super().seal(file)
            order.append("seal")

        def rename(self, old: Path, new: Path) -> None:
            super().rename(old, new)
            order.append(f"rename {new.name}")

        def sync_directory(self, path: Path) -> None:
            super().sync_directory(path)
            order.append(f"sync {path.name}")

    (tmp_path / "names").mkdir()
    space = Workspace(tmp_path / "temporary", Recorder(), lambda _: None)
    space.publish(b"content", tmp_path / "names" / "final")
    assert order == ["seal", "rename final", "sync names"]
