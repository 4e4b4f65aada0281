"""Neither requests nor reloads make a server grow.

HPS_GROWTH=10000/100 asks and reloads so many times; 300 and 3 when it is not set.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import inside_image
from tests.e2e.growth import Sample, trend

_MODELS = "tests/e2e/models/make.py"
_NAME = "image_classification"
_REQUESTS, _RELOADS = (int(each) for each in os.environ.get("HPS_GROWTH", "300/3").split("/"))
_SECONDS = 600 + _REQUESTS + 60 * _RELOADS  # a bound for a run that hangs
_BYTES = 24 << 20  # an allocator's noise in a process of 650 MB
_NOISE = 2.0  # connections and their threads that happen to be there at a sample
_OF_A_RELOAD = 2 << 20  # bytes that Triton may keep of each reload


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        ([5, 5, 5, 5], 0),
        ([0, 10, 20, 30], 30),
        ([7, 7, 90, 7, 7, 7], 0),
        ([1, 2, 3, 100, 5, 6], 5),
    ],
)
def test_single_leaps_are_no_trend(samples: list[float], grown: float) -> None:
    assert trend(samples) == pytest.approx(grown)


@pytest.fixture(scope="module")
def samples() -> Iterator[dict[str, list[Sample]]]:
    """What was seen of a server that was asked and reloaded."""
    if os.geteuid() != 0:
        pytest.skip("to look into the image's processes needs root")
    inside_image.prepare()
    with inside_image.work_folder() as work:
        inside_image.run(_MODELS, work, str(inside_image.WORK), _NAME)
        _ask(work, _package(work))
        yield json.loads((work / "grown.json").read_text())


def _package(work: Path) -> Path:
    """The server folder of the pipeline's package, with the configuration of the small model."""
    line = [*inside_image._HPS, "assemble", _NAME, "--unsigned", "--no-client", "-o", str(work)]
    subprocess.run(line, check=True, capture_output=True, timeout=300)
    server = work / f"paddlex_hps_{_NAME}_sdk" / "server"
    shutil.copy(work / _NAME / "pipeline_config.yaml", server)
    return server


def _ask(work: Path, server: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = inside_image.ROOT / "tests" / "e2e" / "growth.py"
    then = f"{sys.executable} {script} {work / 'grown.json'} {port} {_REQUESTS} {_RELOADS}"
    line = [*inside_image._HPS, "run", "cpu", "--offline", "--port", "0"]
    line += ["--mount", f"{work}:{inside_image.WORK}", "--mount", f"{server}:/app"]
    line += ["-e", f"HPS_REST_PORT={port}", "--then", then, "--", "--package", "/app"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=_SECONDS)
    assert done.returncode == 0, done.stderr[-4000:]


def _grown(samples: list[Sample]) -> dict[str, float]:
    """How much each thing grew, the bytes of it beside the counts."""
    return {what: trend([each.get(what, 0) for each in samples]) for what in samples[0]}


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_requests_leave_nothing_behind(samples: dict[str, list[Sample]]) -> None:
    grown = _grown(samples["requests"])
    assert {"engine bytes", "server bytes", "facade bytes", "watch bytes"} <= grown.keys()
    limits = {what: _BYTES if what.endswith("bytes") else _NOISE for what in grown}
    assert {what: value for what, value in grown.items() if value > limits[what]} == {}


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
def test_reloads_leave_nothing_behind(samples: dict[str, list[Sample]]) -> None:
    grown = _grown(samples["reloads"])
    most = _BYTES + _OF_A_RELOAD * _RELOADS
    limits = {what: most if what.endswith("bytes") else _NOISE for what in grown}
    assert {what: value for what, value in grown.items() if value > limits[what]} == {}
