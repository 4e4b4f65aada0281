"""Keys under `kill -9`, by several processes at once, and on a full disk."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import KeyUnusableError
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.faults.disks import mounted
from tests.faults.killed_key import KINDS
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")
@pytest.mark.parametrize("kind", KINDS)
def test_kill_at_every_effect_leaves_a_whole_key_or_none(tmp_path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed_key", kind, tmp_path],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) > 8  # a walk that sees nothing


# Waits until all are there, so that they are at it together.
_ADD = """
import sys
from pathlib import Path
from hps.errors import KeyUnusableError
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
key, keys = FileKey.generate(), KeyStore(Path(sys.argv[1]), Secrets({}))
print("ready", flush=True)
for name in sys.stdin.read().split():
    try:
        keys.add(name, Purpose.of("build"), key.public, key.pem(None))
    except KeyUnusableError as error:
        assert "already" in error.message, error
    else:
        print(name, key.public.fingerprint)
"""


def test_one_of_several_at_once_makes_each_key(tmp_path: Path) -> None:
    names = [f"key-{number}" for number in range(40)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _ADD, str(tmp_path / "keys")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write(" ".join(names))
        process.stdin.close()
        process.stdin = None
    told = "".join(process.communicate()[0] for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    made = [line.split() for line in told.splitlines()]
    assert sorted(name for name, _ in made) == sorted(names)
    keys = KeyStore(tmp_path / "keys", Secrets({}))
    assert all(keys.open(name).public.fingerprint == whose for name, whose in made)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of five pages: the folder, the lock and one key fit, a second does not."""
    with mounted(tmp_path / "disk", "20k") as folder:
        yield folder


def _fill(keys: KeyStore, made: list[str]) -> None:
    key = FileKey.generate()
    for name in (f"key-{number}" for number in range(10)):
        keys.add(name, Purpose.of("build"), key.public, key.pem(None))
        made.append(name)


def test_a_full_disk_leaves_the_other_keys_and_no_half_one(small_disk: Path) -> None:
    keys = KeyStore(small_disk / "keys", Secrets({}))
    made: list[str] = []
    with pytest.raises(KeyUnusableError, match="No space left on device"):
        _fill(keys, made)
    assert made
    assert keys.names() == tuple(made)
    left = {path.name for path in keys.folder.iterdir()}
    assert left == {".lock", *(f"{name}.{end}" for name in made for end in ("key", "pub", "json"))}
