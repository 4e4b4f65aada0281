"""A build with nothing to do is told by bytes; whatever differs goes the ordinary way."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hps.build import unchanged
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


def recall(lab: Laboratory) -> bool:
    return unchanged.recall(lab.folder, lab.store, (None,) * 4) is not None


def test_the_same_answer_without_parsing_anything(lab: Laboratory) -> None:
    first = lab.run("build", "--json")
    command = [sys.executable, "-X", "importtime", *lab.command("build", "--json")[1:]]
    done = subprocess.run(command, env=lab.environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer[0]["digest"] == json.loads(first.out)[0]["digest"]
    assert answer[0]["changed"] is False
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "hps.build.unchanged" in loaded
    assert not loaded & {"pydantic", "requests", "hps.build.image", "hps.lock.text"}


def test_whatever_was_read_counts(lab: Laboratory) -> None:
    lab.run("build")
    assert recall(lab)
    read = ["hps.toml", "hps.lock", "app.in"]
    read += [str(path.relative_to(lab.folder)) for path in (lab.folder / "server").iterdir()]
    assert len(read) > 3
    for name in read:
        path = lab.folder / name
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert not recall(lab), name
        path.write_bytes(before)
        assert recall(lab), name


def test_another_store_is_another_build(lab: Laboratory) -> None:
    lab.run("build")
    assert unchanged.recall(lab.folder, lab.store / "other") is None


def test_a_layout_that_lost_something_is_written_again(lab: Laboratory) -> None:
    lab.run("build")
    blob = max((lab.layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.unlink()
    assert not recall(lab)
    lab.run("build")
    assert blob.exists()
    (lab.layout / "index.json").write_text("{}")
    assert not recall(lab)


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b"null", b'{"hps": 1}', b"\xff"])
def test_a_state_that_is_not_whole_is_nothing(tmp_path: Path, state: bytes) -> None:
    (tmp_path / ".hps").mkdir()
    unchanged.keep(tmp_path, state)
    assert unchanged.recall(tmp_path, tmp_path) is None


def test_a_project_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    unchanged.keep(tmp_path / "nowhere", b"{}")
    assert not (tmp_path / "nowhere").exists()


def test_only_a_build_of_all_targets_is_remembered(lab: Laboratory) -> None:
    lab.run("build", "--check")
    state = lab.folder / ".hps" / "unchanged.json"
    assert json.loads(state.read_text())["answers"][0][0]["target"] == "cpu"
    state.unlink()
    lab.run("build", "-o", str(lab.folder / "elsewhere"))
    assert not state.exists()


def test_an_edit_during_a_build_is_not_taken_for_built(lab: Laboratory) -> None:
    """The build is halted when it has made the layer of what is edited then."""
    blobs, main = lab.store / "blobs" / "sha256", lab.folder / "server" / "main.py"
    lab.run("build")
    for attempt in range(20):
        main.write_text(f"print('before {attempt}')\n")
        made = blobs.stat().st_mtime_ns
        process = lab.start("build")
        while blobs.stat().st_mtime_ns == made and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        halted = process.poll() is None
        main.write_text(f"print('during {attempt}')\n")
        process.send_signal(signal.SIGCONT)
        lab.finish(process)
        if halted:
            break
    assert halted
    after = lab.run("build").out
    (lab.folder / ".hps" / "unchanged.json").unlink(missing_ok=True)
    assert lab.run("build").out == after
