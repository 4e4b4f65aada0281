"""One monitor per model: by lock on one machine, by the counter wherever the lock does not reach."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hps.monitor.disk import DiskError
from hps.monitor.ownership import OwnershipError, OwnershipLostError, holder_of, owned


def test_a_model_has_one_owner_and_says_who(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder_of(path) is None
    with owned(path, now=1000.5) as ownership:
        ownership.check()
        assert ownership.fence == 1
        holder = holder_of(path)
        assert holder == ownership.holder
        assert str(holder) == (
            f"process {os.getpid()} on {socket.gethostname()} since 1970-01-01T00:16:40.500Z"
        )
        with (
            pytest.raises(OwnershipError, match="belongs to another monitor") as raised,
            owned(path, now=0),
        ):
            pass
        assert raised.value.got == str(holder)
        ownership.check()
    assert holder_of(path) is None


def test_the_fence_counts_up_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    fences = []
    for _ in range(5):
        with owned(path, now=0) as ownership:
            fences.append(ownership.fence)
    assert fences == [1, 2, 3, 4, 5]
    path.unlink()
    with owned(path, now=0, at_least=5) as ownership:  # the journal knows
        assert ownership.fence == 6


HOLD = """
import sys
from pathlib import Path
from hps.monitor.ownership import owned
with owned(Path(sys.argv[1]), now=0) as ownership:
    print(ownership.fence, flush=True)
    sys.stdin.read()
"""


def test_a_killed_owner_owns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        holder = holder_of(path)
        assert holder is not None
        assert holder.pid == other.pid
        with pytest.raises(OwnershipError), owned(path, now=0):
            pass
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        assert holder_of(path) is None
        with owned(path, now=0) as ownership:
            assert ownership.fence == 2


def test_who_lost_the_lock_file_stops(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with owned(path, now=0) as first:
        path.unlink()
        with pytest.raises(OwnershipLostError, match="was removed"):
            first.check()
        with owned(path, now=0, at_least=first.fence) as second:
            assert second.fence == 2
            second.check()
            with pytest.raises(OwnershipLostError, match="was replaced"):
                first.check()


def test_who_was_overtaken_through_a_lock_that_does_not_reach_stops(tmp_path: Path) -> None:
    """Two hosts on a file system that keeps locks to itself: the file alone tells."""
    path = tmp_path / "lock"
    with owned(tmp_path / "other", now=5) as elsewhere:
        record = (tmp_path / "other").read_bytes()
        assert elsewhere.fence == 1
    with owned(path, now=0) as ownership:
        path.write_bytes(b"\0" * 512 + record[512:])  # in place, as by another host
        with pytest.raises(OwnershipLostError, match="taken over by process"):
            ownership.check()


@pytest.mark.parametrize("damage", [b"", b"x" * 2000, b"\0" * 1024, b"{}\n", b"[1]" * 400])
def test_a_lock_file_of_nonsense_is_no_obstacle(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "lock"
    path.write_bytes(damage)
    assert holder_of(path) is None
    with owned(path, now=0, at_least=7) as ownership:
        assert ownership.fence == 8
        ownership.check()


def test_a_torn_place_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(4):
        with owned(path, now=0):
            pass
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\0" * 412 + data[512:])  # fence 4 lies in the first place
    with owned(path, now=0) as ownership:
        assert ownership.fence == 4


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError), owned(tmp_path / "lock", now=0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskError, match="cannot lock"),
        owned(tmp_path / "not there" / "lock", now=0),
    ):
        pass
