"""Unpacking that ends in the middle: a full disk, a killed process, a folder without rights."""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hps.model.extract import unpack
from hps.model.staging import StagingError, StagingFault, free_bytes
from tests.faults import disks, unpack_process
from tests.model.tars import END, member

SEED = 20_261_122


def archive_of(path: Path, files: int, size: int) -> Path:
    body = bytes(range(256)) * (size // 256)
    with gzip.open(path, "wb", 1) as out:
        for number in range(files):
            out.write(member(b"m/%d" % number, body))
        out.write(END)
    return path


def outside(top: Path, staging: Path) -> dict[str, bytes]:
    files = (path for path in top.rglob("*") if path.is_file() and staging not in path.parents)
    return {str(path): path.read_bytes() for path in files}


def test_a_full_disk_leaves_only_the_staging_folder(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "m.tar.gz", 8, 1 << 20)
    with disks.mounted(tmp_path / "disk", "3m") as disk:
        (disk / "live").write_bytes(b"serving")
        # Seen before; and when another process takes the room after it was asked for.
        for number, room in enumerate((free_bytes, lambda _: 1 << 40)):
            staging = disk / str(number)
            staging.mkdir(mode=0o700)
            with pytest.raises(StagingError) as raised:
                unpack(archive, staging, room=room, reserve=0)
            assert raised.value.fault is StagingFault.DISK_FULL
            assert outside(disk, staging) == {str(disk / "live"): b"serving"}
            subprocess.run(["rm", "-r", staging], check=True)
        staging = disk / "again"
        staging.mkdir(mode=0o700)
        small = archive_of(tmp_path / "small.tar.gz", 2, 1 << 18)
        assert len(unpack(small, staging, reserve=0)) == 2


def test_a_killed_process_leaves_only_the_staging_folder(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "m.tar.gz", 60, 1 << 18)
    (tmp_path / "live").write_bytes(b"serving")
    before = outside(tmp_path, tmp_path / "nothing")
    chance = random.Random(SEED)
    cut = 0
    for number in range(12):
        staging = tmp_path / str(number)
        process = subprocess.Popen(
            [sys.executable, unpack_process.__file__, archive, staging],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            cut += b"ends" not in process.stdout.read()
        assert outside(tmp_path, staging) == before
        (staging / "x").touch()
        with pytest.raises(StagingError, match="not empty"):  # nobody carries on in it
            unpack(archive, staging)
        subprocess.run(["rm", "-r", staging], check=True)
    assert cut


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "m.tar.gz", 1, 256)
    with disks.mounted(tmp_path / "disk", "1m") as disk:
        (disk / "staging").mkdir(mode=0o700)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StagingError) as raised:
            unpack(archive, disk / "staging", reserve=0)
        assert raised.value.fault is StagingFault.DENIED
