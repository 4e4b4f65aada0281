"""Unpacked images: made once, sharing files, whole whoever else runs or collects."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from hps.build.image import Built, build
from hps.build.rootfs import root_file_system, tree_name
from hps.build.workbench import Workbench
from hps.layer.unpack import unpack
from hps.store.blobs import Store
from hps.store.collect import collect
from tests.build.laboratory import Laboratory, copy_tree
from tests.faults.disks import mounted
from tests.layer.test_linked import facts

pytestmark = pytest.mark.network


WAITS = "print('up', flush=True); input(); import app_late; print(app_late.NAME)"
PYTHON = ("--entrypoint", "/usr/bin/python3.11 -B")


def root(bench: Workbench, built: Built) -> Path:
    with contextlib.ExitStack() as held:
        return root_file_system(bench, built, held)


def edited(lab: Laboratory, text: str) -> tuple[Workbench, Built]:
    (lab.folder / "server" / "main.py").write_text(text)
    bench = lab.open()
    return bench, build(bench, "cpu")


def inodes(tree: Path) -> set[int]:
    return {path.lstat().st_ino for path in tree.rglob("*") if not path.is_dir()}


def trees(lab: Laboratory) -> set[str]:
    return {digest.hex for digest in Store(lab.store).list_trees()}


def test_a_tree_is_that_of_its_layers_one_over_the_other(lab: Laboratory, tmp_path: Path) -> None:
    bench, built = lab.open(), lab.built()
    tree = root(bench, built)
    whole = tmp_path / "whole"
    whole.mkdir()
    unpack([bench.store.path(layer.blob.digest) for layer in built.layers], whole)
    assert facts(tree) == facts(whole)
    assert root(bench, built) == tree


def test_an_edit_costs_what_was_edited(lab: Laboratory) -> None:
    kept = trees(lab)  # those of sandboxes
    first = root(lab.open(), lab.built())
    before, known = facts(first), trees(lab)
    second = root(*edited(lab, "print('edited')\n"))
    assert first != second
    assert (second / "srv/main.py").read_text() == "print('edited')\n"
    assert inodes(second) - inodes(first) == {(second / "srv/main.py").stat().st_ino}
    assert facts(first) == before
    assert len(trees(lab) - known) == 1
    told = lab.run("store", "info", "--json").json
    assert told["tree_bytes"] == size(lab, trees(lab))
    gone = size(lab, trees(lab) - kept)
    done = lab.run("store", "collect", "--json").json
    assert set(done["trees"]) == {f"sha256:{name}" for name in known - kept} | {
        f"sha256:{second.name}"
    }
    blobs = told["blob_bytes"] - lab.run("store", "info", "--json").json["blob_bytes"]
    assert done["bytes"] == gone + blobs
    assert trees(lab) == kept


def size(lab: Laboratory, names: set[str]) -> int:
    """Bytes of trees, each file once."""
    found = [
        path.lstat()
        for name in names
        for path in (lab.store / "trees" / name).rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    return sum({status.st_ino: status.st_size for status in found}.values())


def test_another_configuration_needs_no_other_tree(lab: Laboratory) -> None:
    first = root(lab.open(), lab.built())
    lab.edit('entrypoint = ["/usr/bin/python3.11"', 'entrypoint = ["/usr/bin/env", "python3.11"')
    lab.run("lock")
    bench = lab.open()
    assert root(bench, build(bench, "cpu")) == first


def test_a_file_system_without_further_links_gets_a_tree_of_its_own(lab: Laboratory) -> None:
    first = root(lab.open(), lab.built())
    base = lab.store / "trees" / tree_name(lab.built().layers[:-1]).hex
    fixed = min(path for path in base.rglob("*") if path.is_file() and not path.is_symlink())
    chattr = shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, "+i", fixed], check=False).returncode != 0:
        pytest.skip("needs root and a file system with immutable files, which refuse links")
    try:
        second = root(*edited(lab, "print('edited')\n"))
        assert not inodes(second) & inodes(first)
        assert {path for path, _ in facts(second).items()} == set(facts(first))
    finally:
        subprocess.run([chattr, "-i", fixed], check=True)


def test_a_full_disk_leaves_no_half_tree(lab: Laboratory, tmp_path: Path) -> None:
    """What is made lies on another disk, so that links are refused too."""
    root(lab.open(), lab.built())
    edited(lab, "print('edited')\n")
    before, run = trees(lab), ("run", "cpu", "--port", "0", *PYTHON, "--", "/srv/main.py")
    with mounted(tmp_path / "small", "4m") as small:
        workspace = lab.store / "temporary"
        shutil.rmtree(workspace)
        workspace.symlink_to(small)
        assert "No space left on device" in lab.run(*run, code=6).err
        assert list(small.iterdir()) == []
        workspace.unlink()
        workspace.mkdir()
    assert trees(lab) == before
    assert lab.run(*run).out == "edited\n"


def test_a_tree_is_held_as_long_as_asked(lab: Laboratory) -> None:
    bench, built, kept = lab.open(), lab.built(), trees(lab)
    with contextlib.ExitStack() as held:
        tree = root_file_system(bench, built, held)
        before = facts(tree)
        collect(Store(lab.store))
        assert facts(tree) == before
        assert trees(lab) == {tree.name} | kept
    collect(Store(lab.store))
    assert {path.name for path in (lab.store / "trees").iterdir()} == kept


def start(lab: Laboratory, program: str) -> "subprocess.Popen[str]":
    """An image that runs a program; what it is told comes by its standard input."""
    words = ("run", "cpu", "--port", "0", *PYTHON, "--", "-c", program)
    return subprocess.Popen(
        lab.command(*words),
        env=lab.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def up(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


LATE = "import sys; sys.path.insert(0, '/srv'); "


def test_a_running_image_is_whole_until_it_ends(lab: Laboratory) -> None:
    """It loads a file late, after an edit, a run of what was edited, and a collection."""
    kept, late = trees(lab), lab.folder / "server" / "app_late.py"
    late.write_text("NAME = 'old'\n")
    lab.run("build")
    with start(lab, LATE + WAITS) as old:
        up(old)
        late.write_text("NAME = 'new'\n")
        with start(lab, LATE + WAITS) as new:
            up(new)
            lab.run("store", "collect", "--wait")
            assert new.communicate("\n", timeout=60)[0] == "new\n"
        lab.run("store", "collect", "--wait")
        assert old.communicate("\n", timeout=60)[0] == "old\n"
        assert (old.returncode, new.returncode) == (0, 0)
    lab.run("store", "collect")
    assert {path.name for path in (lab.store / "trees").iterdir()} == kept


def test_runs_at_once_each_show_their_own(lab: Laboratory, tmp_path: Path) -> None:
    """Two projects with other code and a third with the same, and nothing unpacked yet."""
    kept, labs = trees(lab), []
    for number in range(3):
        copy_tree(lab.folder, tmp_path / str(number))
        each = Laboratory(tmp_path / str(number), lab.store, lab.index, lab.environment)
        (each.folder / "server" / "main.py").unlink()
        (each.folder / "server" / "main.py").write_text(f"print({number % 2})\n")
        each.run("build")
        labs.append(each)
    running = [start(each, "print(open('/srv/main.py').read(), end='')") for each in labs]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert said == ["print(0)\n", "print(1)\n", "print(0)\n"]
    assert len(trees(lab) - kept) == 3  # of the locked layers, and of two images
    assert not list((lab.store / "temporary").iterdir())


def kill(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_tree(lab: Laboratory, tmp_path: Path) -> None:
    """Killed at moments that are spread over the making of both trees."""
    built, bench = lab.built(), lab.open()
    whole = tmp_path / "whole"
    whole.mkdir()
    unpack([bench.store.path(layer.blob.digest) for layer in built.layers], whole)
    expected = facts(whole)
    for delay in (0.5, 0.8, 1.1, 1.4, 1.8, 2.3):
        for digest in list(Store(lab.store).list_trees()):
            shutil.rmtree(lab.store / "trees" / digest.hex)
        with start(lab, "print('up', flush=True); input()") as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
            kill(process)
        found = Store(lab.store).tree(tree_name(built.layers))
        assert found is None or facts(found) == expected
    assert lab.run("run", "cpu", *PYTHON, "--", "-c", "print('up')").out == "up\n"
    assert facts(lab.store / "trees" / tree_name(built.layers).hex) == expected
    # What a killed run has left goes when somebody writes next; the last run may not have had to.
    lab.run("store", "collect")
    assert not list((lab.store / "temporary").iterdir())
