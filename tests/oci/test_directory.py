import threading
from pathlib import Path

import pytest

from hps.oci import directory
from hps.oci.directory import replacing


def write(destination: Path, text: str) -> None:
    with replacing(destination) as folder:
        (folder / "file").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(destination: Path) -> None:
    with replacing(destination) as folder:
        (folder / "file").write_text("half")
        raise ZeroDivisionError


def test_a_directory_appears_with_its_parents(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "new")
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"
    assert names(tmp_path / "a") == ["b"]


def test_the_old_one_is_replaced_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "b") as folder:
        (folder / "only-old").touch()
    write(tmp_path / "b", "new")
    assert names(tmp_path / "b") == ["file"]
    assert names(tmp_path) == ["b"]


def test_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "b")
    assert (tmp_path / "b" / "file").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_the_old_one_is_there_while_the_new_one_is_written(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    with replacing(tmp_path / "b") as folder:
        (folder / "file").write_text("new")
        assert (tmp_path / "b" / "file").read_text() == "old"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".b[1].0123456789abcdef.partial"
    left.mkdir()
    (left / "half").touch()
    other = tmp_path / ".b1.0123456789abcdef.partial"  # of another destination
    other.mkdir()
    write(tmp_path / "b[1]", "new")
    assert names(tmp_path) == [other.name, "b[1]"]


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with replacing(tmp_path / "b") as slow:
        (slow / "file").write_text("slow")
        write(tmp_path / "b", "fast")
        assert (tmp_path / "b" / "file").read_text() == "fast"
    assert (tmp_path / "b" / "file").read_text() == "slow"


def test_many_at_once(tmp_path: Path) -> None:
    failures = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                write(tmp_path / "b", str(number))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (tmp_path / "b" / "file").read_text() in "0123"
    assert names(tmp_path) == ["b"]


def test_a_link_to_a_directory_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_two_renames_where_the_file_system_cannot_exchange(tmp_path: Path) -> None:
    for name in ("old", "new"):
        write(tmp_path / name, name)
    directory._rename_twice(tmp_path / "new", tmp_path / "old", tmp_path / ".old.old")
    assert (tmp_path / "old" / "file").read_text() == "new"
    assert names(tmp_path) == ["old"]


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    write(tmp_path / "b", "old")
    (tmp_path / "b").rename(tmp_path / ".b.old")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(tmp_path / "b")
    assert (tmp_path / "b" / "file").read_text() == "old"
