"""The main job: the default image is built from the committed lock, starts, and answers.

The store is the one of the user who runs the tests ($HPS_STORE or the cache folder), so that the
artifacts are fetched once; everything else is temporary.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import free_ports

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "sdk" / "examples" / "models"
ASK = f"{sys.executable} {ROOT / 'sdk' / 'examples' / 'ask.py'}"
HPS = [sys.executable, "-m", "hps", "-C", str(ROOT)]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.network,
]

# Run inside the image: the libraries import, a Paddle computation gives the right numbers, and
# what a server needs from an operating system is there.
INSIDE = """
import json, locale, pathlib, pwd, os, ssl, sys
import numpy, paddle, paddlex
matrix = paddle.to_tensor([[1.0, 2.0], [3.0, 4.0]])
solved = paddle.linalg.solve(matrix, paddle.to_tensor([[5.0], [6.0]]))
context = ssl.create_default_context()
print(json.dumps({
    "user": pwd.getpwuid(os.getuid()).pw_name,
    "python": sys.version_info[:2],
    "numpy": int(numpy.__version__.split(".")[0]),
    "paddle": paddle.__version__,
    "paddlex": paddlex.__version__,
    "solved": [round(float(value), 4) for value in solved.flatten()],
    "authorities": len(context.get_ca_certs()),
    "encoding": locale.getpreferredencoding().lower(),
    "font": pathlib.Path(os.environ["PADDLE_PDX_LOCAL_FONT_FILE_PATH"]).is_file(),
    "compiled": pathlib.Path(paddle.__cached__).is_file(),
    "home": os.access(pathlib.Path.home(), os.W_OK),
    "root": os.access("/usr", os.W_OK),
}))
"""


def hps(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*HPS, *arguments], check=check, capture_output=True, text=True, timeout=850
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The default image, built once for this module from the committed lock."""
    layout = tmp_path_factory.mktemp("image") / "cpu"
    result = hps("build", "--frozen", "cpu", "--json", "-o", str(layout))
    answer: dict[str, object] = json.loads(result.stdout)[0]
    return answer


def test_the_image_is_what_the_lock_says(built: dict[str, object]) -> None:
    """Every environment layer has the diff_id that the committed lock predicts."""
    layers = built["layers"]
    assert isinstance(layers, list)
    text = (ROOT / "hps.lock").read_text()
    locked = [layer for layer in layers if layer["locked"]]
    assert len(locked) > 30
    for layer in locked:
        assert layer["diff_id"].removeprefix("sha256:") in text


def test_it_builds_again_without_a_network(built: dict[str, object], tmp_path: Path) -> None:
    """In a network namespace with no interface but an unset loopback; same digest."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace of our own needs root")
    line = ["unshare", "--net", *HPS, "build", "--frozen", "--offline", "cpu", "--json"]
    result = subprocess.run(
        [*line, "-o", str(tmp_path / "cpu")], check=True, capture_output=True, text=True
    )
    assert json.loads(result.stdout)[0]["digest"] == built["digest"]


@pytest.fixture
def probe() -> Iterator[Path]:
    """A folder that the image's user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("engine", ["bubblewrap", "docker"])
def test_paddle_and_the_system_work_inside(
    engine: str,
    built: dict[str, object],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    probe: Path,
) -> None:
    assert built
    if engine == "docker":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_host"))
    probe.joinpath("inside.py").write_text(INSIDE)
    result = subprocess.run(
        [
            *HPS,
            "run",
            "cpu",
            "--engine",
            engine,
            "--entrypoint",
            "python3",
            "--mount",
            f"{probe}:/probe",
            "--",
            "/probe/inside.py",
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=850,
    )
    line = next(line for line in result.stdout.splitlines() if line.startswith("{"))
    found = json.loads(line)
    assert found.pop("authorities") > 100
    assert found.pop("paddle").startswith("3.")
    assert found.pop("paddlex").startswith("3.")
    assert found == {
        "user": "hps",
        "python": [3, 11],
        "numpy": 1,
        "solved": [-4.0, 4.5],
        "encoding": "utf-8",
        "font": True,
        "compiled": True,
        "home": True,
        "root": False,
    }


@pytest.mark.parametrize("engine", ["bubblewrap", "docker"])
def test_triton_answers_over_http_and_grpc(
    engine: str,
    built: dict[str, object],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert built
    if engine == "docker":
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_host"))
    result = hps(
        "run", "cpu", "--engine", engine, "--models", str(MODELS), "--port", "0", "--then", ASK
    )
    assert result.stdout.count("as it should be") == 2


def test_a_repository_that_would_hang_triton_is_refused(
    built: dict[str, object], tmp_path: Path
) -> None:
    assert built
    version = tmp_path / "empty" / "1"
    version.mkdir(parents=True)
    (tmp_path / "empty" / "config.pbtxt").write_text('name: "empty"\nbackend: "python"\n')
    result = hps("run", "cpu", "--models", str(tmp_path), "--port", "0", check=False)
    assert result.returncode == 2
    assert "model.py" in result.stderr


@pytest.fixture
def server(built: dict[str, object]) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A running image, started as a user would, and its HTTP port."""
    assert built
    first = free_ports()
    line = [*HPS, "run", "cpu", "--models", str(MODELS), "--port", str(first)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_until_ready(process, first)
            yield process, first
        finally:
            process.kill()
            process.communicate()


def _wait_until_ready(process: "subprocess.Popen[str]", port: int) -> None:
    for _ in range(600):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("not ready in time")


def test_sigterm_ends_it_cleanly(server: tuple["subprocess.Popen[str]", int]) -> None:
    process, port = server
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/housing/ready") as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port + 2}/metrics") as answer:
        assert b"nv_inference" in answer.read()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "SIGTERM" in said
