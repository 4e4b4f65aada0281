"""A file that is replaced as a whole; killed at every effect in tests/faults."""

import fcntl
import os
from pathlib import Path

import pytest

from hps.store.whole_file import replacing


def put(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        put(tmp_path / "file", b"one")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    put(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    put(tmp_path / "file", b"one")
    with pytest.raises(TypeError), replacing(tmp_path / "file") as file:
        file.writelines([b"half of two" * 100_000, "a mistake"])  # type: ignore[list-item]
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        put(tmp_path / "file", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["file", "f[i]l*?"])
def test_what_the_dead_left_goes_and_what_the_living_write_stays(tmp_path: Path, name: str) -> None:
    (dead := tmp_path / f".{name}.0.partial").touch()
    (foreign := tmp_path / f".{name}x.0.partial").touch()
    with replacing(tmp_path / name) as slow:
        slow.write(b"slow")
        put(tmp_path / name, b"quick")
        assert (tmp_path / name).read_bytes() == b"quick"
        assert not dead.exists()
    assert (tmp_path / name).read_bytes() == b"slow"
    assert {path.name for path in tmp_path.iterdir()} == {name, foreign.name}


def test_a_name_that_may_not_be_opened_is_left(tmp_path: Path) -> None:
    (tmp_path / ".file.0.partial").mkdir()
    (tmp_path / ".file.1.partial").symlink_to("/nonexistent")
    put(tmp_path / "file", b"one")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_held_lock_counts_whoever_holds_it(tmp_path: Path) -> None:
    (held := tmp_path / ".file.0.partial").touch()
    with held.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        put(tmp_path / "file", b"one")
        assert held.exists()
    put(tmp_path / "file", b"two")
    assert not held.exists()
