"""`hps init` as a process: what it writes, what it leaves alone, what it says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.config.load import load


def hps(
    *arguments: str | Path, cwd: Path, preexec: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hps", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=preexec,
    )


def test_writes_a_project_that_reads_without_fault(tmp_path: Path) -> None:
    folder = tmp_path / "My Models"
    folder.mkdir()
    done = hps("init", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hps lock" in done.stderr
    assert load(folder / "hps.toml").project.name == "my-models"
    assert {path.name for path in folder.iterdir()} == {"hps.toml", "requirements.in"}


def test_makes_the_directory_it_is_given(tmp_path: Path) -> None:
    assert hps("init", "a/b", "--name", "other", cwd=tmp_path).returncode == 0
    assert load(tmp_path / "a/b/hps.toml").project.name == "other"
    assert hps("-C", tmp_path / "a", "init", "c", cwd=Path("/")).returncode == 0
    assert load(tmp_path / "a/c/hps.toml").project.name == "c"


def test_never_overwrites_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "hps.toml").write_text("mine")
    (tmp_path / "requirements.in").write_text("mine")
    done = hps("--json", "init", cwd=tmp_path)
    assert done.returncode == 2
    assert "--force" in json.loads(done.stdout)["hint"]
    assert (tmp_path / "hps.toml").read_text() == "mine"
    assert hps("init", "--force", "--name", "x", cwd=tmp_path).returncode == 0
    assert load(tmp_path / "hps.toml").project.name == "x"
    assert (tmp_path / "requirements.in").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "hps.toml").symlink_to("gone")
    assert hps("init", cwd=tmp_path).returncode == 2
    assert (tmp_path / "hps.toml").readlink() == Path("gone")


@pytest.mark.parametrize("name", ["A B", "", "../x"])
def test_a_bad_name_writes_nothing(tmp_path: Path, name: str) -> None:
    done = hps("init", "--name", name, cwd=tmp_path)
    assert done.returncode == 2
    assert "hps init --name NAME" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = hps("init", "file/below", cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot be written: Not a directory" in done.stderr


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    def small_files() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = hps("init", cwd=tmp_path, preexec=small_files)
    assert done.returncode == 2
    assert "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
