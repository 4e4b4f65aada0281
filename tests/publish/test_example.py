"""The example of hot loading: two periods are published, and a monitor swaps both in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hps.model import donefile
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "hot-loading" / "publish.py"
NAME = "uci_housing"
# Stands in for train.py where there is no Paddle: other weights in each period.
TRAINS = """
import sys, pathlib
folder, state = map(pathlib.Path, sys.argv[1:3])
learned = state.read_bytes() if state.exists() else b""
state.write_bytes(learned + b"*")
(folder / "inference.json").write_text("{}")
(folder / "inference.pdiparams").write_bytes(learned + b"*")
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    key = FileKey.generate()
    keys = KeyStore(tmp_path / "keys", Secrets({}))
    keys.add("models", Purpose.of("model"), key.public, key.pem(None))
    return os.environ | {"HPS_KEYS": str(tmp_path / "keys"), "PYTHONPATH": str(ROOT)}


def run(folder: Path, environment: dict[str, str], *words: str | Path) -> None:
    line = [sys.executable, *map(str, words)]
    done = subprocess.run(
        line, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr


def publish(folder: Path, environment: dict[str, str], train: str, periods: int = 1) -> None:
    run(
        *(folder, environment, EXAMPLE, "--to", "there", "--key", "models"),
        *("--public", "keys/models.pub", "--train", train),
        *("--periods", str(periods), "--every", "0", "--epochs", "3"),
    )


def monitor(folder: Path, environment: dict[str, str]) -> None:
    """Paddle Serving's command line, as its document on hot loading has it."""
    run(
        *(folder, environment, "-m", "hps.monitor", "--type", "general", "--once"),
        *("--general_host", folder.as_uri(), "--remote_path", "/there"),
        *("--remote_model_name", f"{NAME}.tar.gz", "--remote_donefile_name", "donefile"),
        *("--local_path", folder / "local", "--local_model_name", NAME),
        *("--unpacked_filename", NAME, "--interval", "1"),
    )


def two_periods(folder: Path, environment: dict[str, str], train: str) -> list[bytes]:
    (folder / "there").mkdir()
    served = folder / "local" / NAME
    served.mkdir(parents=True)
    weights, touched = [], []
    for period in (1, 2):
        publish(folder, environment, train)
        hint = donefile.read((folder / "there" / "donefile").read_bytes())
        assert (hint.model, hint.sequence) == (NAME, period)
        monitor(folder, environment)
        assert {"inference.json", "inference.pdiparams"} <= {one.name for one in served.iterdir()}
        weights.append((served / "inference.pdiparams").read_bytes())
        touched.append((served / "fluid_time_file").stat().st_mtime_ns)
    assert touched[0] < touched[1]
    return weights


def test_two_periods_go_live_without_paddle(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "trains.py").write_text(TRAINS)
    weights = two_periods(tmp_path, environment, f"{sys.executable} trains.py")
    assert weights == [b"*", b"**"]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_two_periods_of_a_linear_model_go_live(tmp_path: Path, environment: dict[str, str]) -> None:
    from tests.e2e import inside_image

    inside_image.prepare()
    if os.geteuid() != 0:
        pytest.skip("a network namespace of our own needs root")
    train = f"{sys.executable} -m tests.publish.train_inside_image"
    first, second = two_periods(tmp_path, environment, train)
    assert first != second
    assert 13 * 4 + 4 <= len(first) == len(second)
