"""Two directories change places, and nobody ever finds one of them missing."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hps.monitor.disk import DiskError
from hps.monitor.exchange import ExchangeError, check_exchange, exchange
from tests.faults.disks import mounted


def test_two_directories_change_places(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "deep" / "other"
    for path in (one, other):
        path.mkdir(parents=True)
        (path / path.name).write_bytes(b"")
    exchange(one, other)
    assert [path.name for path in one.iterdir()] == ["other"]
    assert [path.name for path in other.iterdir()] == ["one"]


def test_a_reader_never_misses_the_directory(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.mkdir()
        (path / "model").write_bytes(b"")
    missed, done = [], threading.Event()

    def look() -> None:
        while not done.is_set():
            if not (one / "model").exists():
                missed.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(50):
        exchange(one, other)
    done.set()
    reader.join()
    assert missed == []


def test_what_is_not_there_cannot_be_exchanged(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(DiskError, match="No such file") as raised:
        exchange(tmp_path / "one", tmp_path / "other")
    assert not isinstance(raised.value, ExchangeError)


def test_two_file_systems_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with mounted(tmp_path / "disk", "1m") as disk:
        (disk / "other").mkdir()
        with pytest.raises(ExchangeError, match="two file systems"):
            exchange(tmp_path / "one", disk / "other")


def test_a_file_system_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check_exchange(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DiskError):
        check_exchange(tmp_path / "not there")


WITHOUT = """
import sys
from pathlib import Path
from tests.monitor.without_exchange import forbid_exchange
from hps.monitor.exchange import ExchangeError, check_exchange
forbid_exchange()
try:
    check_exchange(Path(sys.argv[1]))
except ExchangeError as error:
    print(error)
"""


def test_a_file_system_that_cannot_is_told_before_anything_depends_on_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "cannot exchange two directories atomically" in done.stdout
    assert "NFS" in done.stdout
    assert list(tmp_path.iterdir()) == []
