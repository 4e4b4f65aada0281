"""Disks that are full, read-only, or somebody else's."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.store.blobs import Store
from tests.faults.store_process import NEW, NEW_STEP, OLD, make_old

REPOSITORY = Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


needs_mounts = pytest.mark.skipif(
    not can_mount(), reason="no private mounts here: neither root nor user namespaces"
)


def run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def mounted(mount: str, name: str, folder: Path) -> dict[str, Any]:
    """Run a process in a mount namespace of its own, after a mount on `$2`."""
    script = f'set -e; {mount} "$2"; exec "$0" -m tests.faults.store_process "$1" "$2"'
    return run([*UNSHARE, "sh", "-c", script, sys.executable, name, str(folder)])


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user can reach, with a filled store of the current user's."""
    del tmp_path  # only its owner can enter it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        before = os.umask(0o022)
        try:
            make_old(folder)
        finally:
            os.umask(before)
        store = Store(folder / "store")
        (store.blobs / Digest.of(b"damaged").hex).write_bytes(b"not that")
        trace = store.traces.path(NEW_STEP)
        trace.parent.mkdir(exist_ok=True)
        trace.write_bytes(b"{")
        yield folder
        for path in folder.rglob("*"):  # a test may have taken our own rights away
            if path.is_dir():
                path.chmod(0o755)


@needs_mounts
def test_a_full_disk_is_told_leaves_nothing_and_can_be_collected(tmp_path: Path) -> None:
    found = mounted("mount -t tmpfs -o size=3m tmpfs", "full_disk", tmp_path)
    assert set(found["errors"]) == {"writer", "add", "trace", "root", "tree"}
    for name in ("writer", "add", "trace", "root"):
        error = found["errors"][name]
        assert error["error"] == "store-unusable"
        assert "No space left" in error["message"]
        assert str(tmp_path) in error["message"]
        assert "bytes free of 3145728" in error["got"]
        assert "hps store collect" in error["hint"]
    assert found["left"] == []
    assert (found["damaged"], found["traces"], found["roots"]) == (0, 0, ["cpu"])
    assert not found["tree"]
    assert found["freed"]
    assert found["kept"]
    assert found["works_again"] == 100_000


def assert_reads_and_refuses_to_write(found: dict[str, Any], because: str, hint: str) -> None:
    assert found["read"] == OLD.decode()
    assert found["add"] == str(Digest.of(OLD))
    assert (found["trace"], found["tree"], found["roots"]) == (1, True, 1)
    assert found["unrooted"] == 1
    assert found["verified"] == 2
    errors = found["errors"]
    assert set(errors) == {"write", "root", "trace", "collect", "tree", "damaged"}
    assert found["may only be read"] == ["collect", "root", "trace", "tree", "write"]
    for name in ("write", "root", "trace", "collect", "tree"):
        assert errors[name]["error"] == "store-unusable"
        assert because in errors[name]["message"]
        assert hint in errors[name]["hint"]
    # Damage is refused even where it cannot be set aside.
    assert errors["damaged"]["error"] == "store-corrupt"
    assert "could not be set aside" in errors["damaged"]["details"][0]


def read_only(folder: Path) -> dict[str, Any]:
    script = (
        'set -e; mount --bind "$2" "$2"; mount -o remount,bind,ro "$2";'
        'exec "$0" -m tests.faults.store_process "$1" "$2"'
    )
    return run([*UNSHARE, "sh", "-c", script, sys.executable, "read_only", str(folder)])


@needs_mounts
def test_a_read_only_store_is_read_and_every_write_refused(public: Path) -> None:
    assert_reads_and_refuses_to_write(read_only(public), "Read-only file system", "writable")


@needs_mounts
def test_a_read_only_store_without_a_lock_file_is_read_too(public: Path) -> None:
    (public / "store" / "lock").unlink()
    found = read_only(public)
    assert found["read"] == OLD.decode()


def as_nobody(folder: Path) -> dict[str, Any]:
    program = [sys.executable, "-m", "tests.faults.store_process"]
    return run([*program, "read_only", str(folder), "--as-nobody"])


def test_a_store_of_somebody_else_without_a_lock_file_is_read_too(public: Path) -> None:
    (public / "store" / "lock").unlink()
    assert as_nobody(public)["read"] == OLD.decode()


def test_a_store_of_somebody_else_is_read_and_every_write_refused(public: Path) -> None:
    found = as_nobody(public)
    assert_reads_and_refuses_to_write(found, "Permission denied", "owner")
    assert not Store(public / "store").has(Digest.of(NEW))
