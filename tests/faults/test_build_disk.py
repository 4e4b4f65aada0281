"""Disks that are full or read-only while an image is built."""

import os
import shutil
from pathlib import Path

import pytest

from hps.oci.layout import check_layout
from hps.store.verify import verify
from tests.build.laboratory import Laboratory
from tests.faults.test_store_disk import needs_mounts

pytestmark = [pytest.mark.network, needs_mounts]

UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def mounted(script: str, *arguments: Path) -> tuple[str, ...]:
    """What goes before a command so that it runs behind mounts of its own."""
    count = len(arguments)
    body = f'set -e; {script}; shift {count}; exec "$@"'
    return (*UNSHARE, "sh", "-c", body, "sh", *map(str, arguments))


def read_only(*folders: Path) -> tuple[str, ...]:
    lines = [
        f'mount --bind "${number}" "${number}" && mount -o remount,ro,bind "${number}"'
        for number in range(1, len(folders) + 1)
    ]
    return mounted("; ".join(lines), *folders)


def small_workspace(lab: Laboratory, size: str) -> tuple[str, ...]:
    """The store on a disk of this size; it begins with a copy of nothing."""
    return mounted(f'mount -t tmpfs -o size={size} tmpfs "$1"', lab.store)


def test_a_full_disk_ends_with_6_and_loses_nothing(lab: Laboratory) -> None:
    """The store's own disk is full: another one, of 30 MB, where 74 MB of layers must go."""
    before = lab.lock_path.read_bytes()
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    done = lab.run("build", "--frozen", code=6, before=small_workspace(lab, "30m"))
    assert "error[store-unusable]" in done.err
    assert "No space left" in done.err
    assert "hint:" in done.err
    assert not (lab.folder / ".hps").exists()
    assert lab.lock_path.read_bytes() == before
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"


def test_a_file_size_limit_is_a_full_disk(lab: Laboratory) -> None:
    """RLIMIT_FSIZE of 1 MB: no layer above it can be written, and what is there stays whole."""
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    lab.blob(lab.target.layers[0].digest).unlink()
    done = lab.run("build", code=6, before=("prlimit", "--fsize=1000000"))
    assert "error[store-unusable]" in done.err
    assert verify(lab.open().store).damaged == ()
    assert lab.run("build").out == f"{image} cpu\n"


def test_a_layout_on_a_full_disk(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    before = mounted('mount -t tmpfs -o size=1m tmpfs "$1"', tmp_path / "out")
    done = lab.run("build", "-o", str(tmp_path / "out/image"), code=6, before=before)
    assert "No space left" in done.err
    archive = lab.run("build", "-o", str(tmp_path / "out/image.tar"), code=6, before=before)
    assert "No space left" in archive.err
    check_layout(lab.layout)


def test_a_read_only_store_with_everything_in_it(lab: Laboratory) -> None:
    lab.run("build")  # the store knows this project now
    done = lab.run("build", "--frozen", before=read_only(lab.store))
    assert done.out == f"{lab.image()} cpu\n"
    assert "up to date" in done.err
    lab.run("why", "/srv/main.py", before=read_only(lab.store))
    lab.run("build", "--frozen", before=read_only(lab.store, lab.folder))


NOT_RECORDED = "may only be read, so it is not recorded there that"


def test_a_new_project_on_a_read_only_store(lab: Laboratory) -> None:
    """It has everything but a root for this project, and no right to add one."""
    image = lab.image()
    shutil.rmtree(lab.folder / ".hps")
    done = lab.run("build", "--frozen", before=read_only(lab.store))
    assert done.out == f"{image} cpu\n"
    check_layout(lab.layout)
    assert done.err.count(f"warning: the store {lab.store} {NOT_RECORDED}") == 1
    assert lab.folder not in [root.project for root in lab.open().store.roots.all()]
    again = lab.run("build", "--frozen", before=read_only(lab.store))
    assert (again.out, NOT_RECORDED in again.err) == (f"{image} cpu\n", False)  # said once
    assert lab.run("build", "--frozen").out == f"{image} cpu\n"  # it can be recorded by now
    assert lab.folder in [root.project for root in lab.open().store.roots.all()]


def test_a_root_that_a_read_only_store_has_of_an_older_image(lab: Laboratory) -> None:
    """It names too little; it is replaced as soon as the store can be written."""
    store = lab.open().store
    store.roots.set(lab.folder, "cpu", [lab.target.layers[0].digest])
    lab.edit("large = 4000", 'large = 4000\nlabels = {"org.example.note" = "x"}')
    done = lab.run("build", "--frozen", before=read_only(lab.store))
    assert NOT_RECORDED in done.err
    lab.run("build", "--frozen")
    (root,) = [one for one in store.roots.all() if one.project == lab.folder]
    assert {layer.digest for layer in lab.target.layers} <= set(root.digests)


def test_a_read_only_store_that_lacks_something(lab: Laboratory) -> None:
    lab.edit("serving", "serving better", lab.folder / "server" / "main.py")
    done = lab.run("build", "--frozen", code=6, before=read_only(lab.store))
    assert "error[store-unusable]" in done.err
    assert "Read-only" in done.err
    assert lab.run("build", "--frozen").err.startswith("made layer trees")


def test_a_read_only_project(lab: Laboratory) -> None:
    shutil.rmtree(lab.folder / ".hps")
    done = lab.run("build", "--frozen", code=6, before=read_only(lab.folder))
    assert "Read-only" in done.err
    done = lab.run("lock", before=read_only(lab.folder))
    assert "hps.lock is unchanged" in done.err
    lab.lock_path.unlink()
    done = lab.run("lock", code=2, before=read_only(lab.folder))
    assert "hps.lock cannot be written: Read-only" in done.err


def test_a_damaged_blob_in_a_read_only_store_is_not_used(lab: Laboratory) -> None:
    shutil.rmtree(lab.folder / ".hps")
    lab.damage(lab.target.layers[2].digest)
    done = lab.run("build", "--frozen", code=5, before=read_only(lab.store))
    assert "error[store-corrupt]" in done.err
    assert "could not be set aside" in done.err
    assert not lab.layout.exists()
