"""`hps store` as a process: data on stdout, talk on stderr, exit codes by cause."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.store.blobs import Store
from tests.store.damage import truncate

HELLO = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"


class Command:
    """`hps store` with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.folder = folder

    def __call__(
        self, *words: str, before: tuple[str, ...] = (), code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hps", *before, "store", *words],
            cwd=self.folder,
            env={**os.environ, "HPS_STORE": str(self.root)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code).stdout)


@pytest.fixture
def hps_store(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    (path := tmp_path / "hello").write_bytes(b"hello")
    return path


def test_files_are_added_found_and_reported(hps_store: Command, hello: Path) -> None:
    (hello.parent / "empty").touch()
    done = hps_store("add", "hello", "empty")
    assert done.stdout.splitlines() == [HELLO, f"sha256:{hashlib.sha256().hexdigest()}"]
    for name in (HELLO, HELLO.removeprefix("sha256:")):
        path = hps_store("path", name).stdout
        assert Path(path.removesuffix("\n")).read_bytes() == b"hello"
    Store(hps_store.root).roots.set(hello.parent, "cpu", [Digest.parse(HELLO)])
    facts = hps_store.json("info")
    assert facts == {
        "path": str(hps_store.root),
        "blobs": 2,
        "blob_bytes": 5,
        "trees": 0,
        "tree_bytes": 0,
        "traces": 0,
        "roots": [{"project": str(hello.parent), "name": "cpu", "digests": 1, "counts": True}],
    }
    told = hps_store("info").stdout
    assert str(hps_store.root) in told
    assert "blobs   2, 5 B\n" in told
    assert json.loads(hps_store("info", before=("--json",)).stdout) == facts


def test_the_option_wins_over_the_environment(hps_store: Command, hello: Path) -> None:
    hps_store("--store", "other", "add", "hello")
    assert Store(hello.parent / "other").has(Digest.parse(HELLO))
    assert not hps_store.root.exists()


def test_looking_makes_no_store(hps_store: Command) -> None:
    assert hps_store.json("info")["blobs"] == 0
    assert hps_store.json("verify")["blobs"] == 0
    assert hps_store.json("collect")["bytes"] == 0
    assert not hps_store.root.exists()


def test_a_file_that_is_not_what_was_said_is_refused(hps_store: Command, hello: Path) -> None:
    hps_store("add", "hello", "--sha256", HELLO)
    hps_store("add", "hello", "--sha256", HELLO.removeprefix("sha256:"))
    wrong = "0" * 64
    done = hps_store("--store", "other", "add", "hello", "--sha256", wrong, code=5)
    assert done.stdout == ""
    assert "error[integrity]" in done.stderr
    assert wrong in done.stderr
    assert HELLO in done.stderr
    assert list(Store(hello.parent / "other").list_blobs()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "none"),
        ("add", "."),
        ("add", "hello", "hello", "--sha256", HELLO),
        ("add", "hello", "--sha256", "12"),
        ("path", "sha512:" + "0" * 64),
        ("path",),
        ("collect", "--older-than", "-1"),
        ("collect", "--older-than", "week"),
        ("unknown",),
    ],
)
def test_what_cannot_be_meant_is_exit_2(
    hps_store: Command, hello: Path, words: tuple[str, ...]
) -> None:
    assert hello.exists()
    done = hps_store(*words, code=2)
    assert done.stdout == ""
    assert done.stderr


def test_an_absent_blob_is_exit_5(hps_store: Command) -> None:
    done = hps_store("path", "0" * 64, code=5)
    assert "error[store-missing]" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_damage_is_found_reported_and_exit_5(
    hps_store: Command, hello: Path, *, as_json: bool
) -> None:
    hps_store("add", "hello")
    assert hps_store.json("verify") == {
        "blobs": 1,
        "bytes": 5,
        "damaged": [],
        "missing": [],
        "damaged_traces": 0,
    }
    truncate(hps_store.root / "blobs" / "sha256" / HELLO[7:], 4)
    done = hps_store("verify", *(["--json"] if as_json else []), code=5)
    if as_json:
        assert json.loads(done.stdout)["damaged"] == [HELLO]
    else:
        assert done.stdout == "blobs: 1, 4 B; damaged: 1\n"
    assert "error[store-corrupt]" in done.stderr
    assert HELLO in done.stderr
    assert "quarantine" in done.stderr
    assert hps_store.json("verify")["blobs"] == 0
    assert hps_store("add", "hello").stdout == f"{HELLO}\n"


def test_collect_frees_what_no_project_needs(hps_store: Command, hello: Path) -> None:
    (hello.parent / "needed").write_bytes(b"needed")
    needed = Digest.parse(hps_store("add", "hello", "needed").stdout.split()[1])
    (gone := hello.parent / "gone").mkdir()
    store = Store(hps_store.root)
    store.roots.set(hello.parent, "cpu", [needed])
    store.roots.set(gone, "cpu", [Digest.parse(HELLO)])
    assert hps_store("collect").stdout.startswith("freed 0 B")
    gone.rmdir()
    assert "no longer counts" in hps_store("info").stdout
    assert hps_store.json("collect", "--older-than", "3600")["bytes"] == 0
    store.roots.set(gone, "cpu", [Digest.parse(HELLO)])
    foreseen = hps_store.json("collect", "--dry-run")
    assert (foreseen["dry_run"], foreseen["blobs"], foreseen["bytes"]) == (True, [HELLO], 5)
    done = hps_store("collect")
    assert done.stdout.startswith("freed 5 B; blobs: 1,")
    assert str(gone) in done.stderr
    assert [it.blob.digest for it in store.list_blobs()] == [needed]
    assert [root.project for root in store.roots.all()] == [hello.parent]


def test_collect_gives_up_or_waits_while_builds_run(hps_store: Command, hello: Path) -> None:
    hps_store("add", "hello")
    store = Store(hps_store.root)
    with store.session():
        done = hps_store("collect", code=6)
        assert "error[store-busy]" in done.stderr
        assert "--wait" in done.stderr
        assert store.has(Digest.parse(HELLO))
        waiter = subprocess.Popen(
            [sys.executable, "-m", "hps", "store", "--store", str(store.root), "collect", "--wait"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiter.stderr is not None
        assert "waiting" in waiter.stderr.readline()
        assert store.has(Digest.parse(HELLO))
    out, _ = waiter.communicate(timeout=60)
    assert (waiter.returncode, out[:9]) == (0, "freed 5 B")


def test_a_folder_of_other_things_is_never_touched(hps_store: Command, hello: Path) -> None:
    for words in (("info",), ("add", "hello"), ("collect",), ("verify",)):
        done = hps_store("--store", str(hello.parent), *words, code=6)
        assert "is no store" in done.stderr
    assert [path.name for path in hello.parent.iterdir()] == ["hello"]
