"""A project on disk: found from below, its lock read and written whole."""

from pathlib import Path

import pytest

from hps.build.project import Project, write_atomically
from hps.errors import ConfigError, LockError, UsageError
from tests.build.laboratory import CONFIG
from tests.lock.test_text import lock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hps.toml").write_text(CONFIG)
    (tmp_path / "app.in").write_text("app\n# nothing\nbase>=1 ; python_version > '3'\n")
    return tmp_path


def test_a_project_is_found_from_a_folder_below(folder: Path) -> None:
    (below := folder / "a" / "b").mkdir(parents=True)
    assert Project.open(below).root == folder.resolve()


def test_no_project_above(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Project.open(tmp_path)
    assert "hps.toml" in str(caught.value)


def test_targets_come_in_the_order_of_the_file(folder: Path) -> None:
    (folder / "hps.toml").write_text(CONFIG + '[targets.a.debian]\nsource = "os"\npackages = []\n')
    opened = Project.open(folder)
    assert opened.target_names(()) == ("cpu", "a")
    assert opened.target_names(("a", "cpu")) == ("cpu", "a")
    with pytest.raises(UsageError, match="no target gpu"):
        opened.target_names(("a", "gpu"))


def test_default_targets_are_what_nobody_named(folder: Path) -> None:
    other = '[targets.a.debian]\nsource = "os"\npackages = []\n'
    named = CONFIG.replace('name = "lab"', 'name = "lab"\ndefault-targets = ["a"]')
    (folder / "hps.toml").write_text(named + other)
    opened = Project.open(folder)
    assert opened.target_names(()) == ("a",)
    assert opened.target_names(("cpu",)) == ("cpu",)
    (folder / "hps.toml").write_text(named.replace('["a"]', '["b", "b"]') + other)
    with pytest.raises(ConfigError, match=r"there is no .targets\.b.") as caught:
        Project.open(folder)
    assert "name used twice" in str(caught.value)


def test_requirements_are_lines_of_files(folder: Path) -> None:
    lines = Project.open(folder).requirements("cpu")
    assert [line.text.split(";")[0].strip() for line in lines] == ["app", "base>=1"]
    assert {line.file for line in lines} == {"app.in"}


def test_a_lock_is_written_once_and_read_back(folder: Path) -> None:
    opened = Project.open(folder)
    assert opened.read_lock() is None
    assert opened.write_lock(lock())
    assert not opened.write_lock(lock())
    assert opened.read_lock() == lock() == opened.require_lock()


def test_a_huge_file_is_no_lock(folder: Path) -> None:
    with (folder / "hps.lock").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(LockError, match="not a lock"):
        Project.open(folder).read_lock()


def test_a_write_leaves_nothing_beside(folder: Path) -> None:
    path = folder / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    path.unlink()
    (path / "inside").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(path, b"three")
    assert sorted(one.name for one in folder.iterdir()) == ["app.in", "file", "hps.toml"]
    with pytest.raises(UsageError, match="cannot be written"):
        write_atomically(folder / "absent" / "file", b"four")
