"""The weights of a served PaddleX pipeline are swapped by the monitor while it is asked."""

import base64
import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from hps.monitor.servers.tensors import encode
from hps.monitor.servers.triton_grpc import Connection
from hps.trust.file_key import FileKey
from hps.trust.key_store import KeyStore, Purpose
from hps.trust.secret import Secrets
from tests.e2e import inside_image
from tests.e2e.monitor_pipeline_inside import NAME, WEIGHTS
from tests.e2e.serving import JSON, assemble, part_of, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]
MODEL = "image-classification"
VERSIONS = 3
# What a package has in one place for the whole server stands in each version here, and only there it
# is known where that is; the package's own model.py follows.
BEFORE = """\
import os, tempfile
folder = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(folder, "pipeline_config.yaml")) as file:
    text = file.read().replace("{here}", folder)
named = os.path.join(tempfile.mkdtemp(), "pipeline_config.yaml")
with open(named, "w") as file:
    file.write(text)
os.environ["HPS_PACKAGE"] = os.path.join(folder, "package.json")
os.environ["PADDLEX_HPS_PIPELINE_CONFIG_PATH"] = named
"""
SETTINGS = """\
[monitor]
state = "state"
listen = ""

[monitor.models.{model}]
keys = ["models.pub"]
interval = 0.5
source = {{ type = "general", host = "file://{place}", path = "/", model = "model.tar.gz" }}
server = {{ type = "triton", address = "127.0.0.1:{grpc}", repository = "{repository}" }}
"""


class Asking(threading.Thread):
    """Asks for the same picture all the time, over gRPC or HTTP, and keeps what it is told."""

    def __init__(self, request: str, infer: Any) -> None:
        super().__init__()
        self.request, self.infer = request, infer
        self.stopping = threading.Event()
        self.answers: list[tuple[float, JSON]] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.stopping.wait(0.02):
            begun = time.monotonic()
            try:
                envelope = self.infer(self.request)
            except Exception as error:
                self.failed.append(repr(error))
            else:
                if envelope["errorCode"]:
                    self.failed.append(envelope["errorMsg"])
                else:
                    self.answers.append((time.monotonic() - begun, envelope["result"]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, JSON]]:
    """A folder with a release for each version, and what each version says."""
    inside_image.prepare()
    package = assemble(tmp_path_factory.mktemp("packages") / "output", NAME)[NAME]
    releases = tmp_path_factory.mktemp("releases")
    with inside_image.work_folder() as work:
        script = "tests/e2e/monitor_pipeline_inside.py"
        inside_image.run(script, work, str(inside_image.WORK), str(VERSIONS))
        shutil.copyfile(work / "scene.png", releases / "scene.png")
        answers = json.loads((work / "answers.json").read_text())
        for version in answers:
            folder = releases / version / MODEL
            shutil.copytree(work / version / WEIGHTS, folder / WEIGHTS)
            shutil.copyfile(
                work / version / "pipeline_config.yaml", folder / "pipeline_config.yaml"
            )
            shutil.copyfile(package / "package.json", folder / "package.json")
            config = package / "model_repo" / MODEL / "config_cpu.pbtxt"
            shutil.copyfile(config, folder / "config.pbtxt")
            code = (package / "model_repo" / MODEL / "1" / "model.py").read_text()
            (folder / "model.py").write_text(BEFORE + code)
            for path in folder.rglob("*"):
                path.chmod(0o755 if path.is_dir() else 0o644)
    return releases, answers


def publish(folder: Path, releases: Path, version: int) -> None:
    """Pack and sign a release and put it where the monitor looks."""
    probe = folder / "probe.json"
    tensor = {"datatype": "BYTES", "shape": [1, 1], "data": ['{"hps:probe": true}']}
    probe.write_text(json.dumps({"inputs": {"input": tensor}}))
    words = ["model", "pack", releases / str(version) / MODEL, "--sequence", version]
    words += ["--key", "models", "--probe", probe, "--output", folder]
    assert run([str(word) for word in words]) == 0
    (folder / f"{MODEL}-{version}.tar.gz").replace(folder / "place" / "model.tar.gz")
    (folder / "place" / "donefile").write_text(f"{version}\n")


def monitored(folder: Path, *words: str) -> str:
    """What the monitor says."""
    line = [sys.executable, "-m", "hps", "monitor", *words, "--config", "monitor.toml"]
    done = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@contextlib.contextmanager
def asking(clients: list[Asking]) -> Iterator[None]:
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join()


def version_of(said: JSON, wanted: dict[str, JSON]) -> str | None:
    """The version whose labels and numbers these are, all of them."""
    found = [version for version, answer in wanted.items() if part_of(said, answer) == answer]
    return found[0] if found else None


def test_new_weights_under_load(
    made: tuple[Path, dict[str, JSON]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases, wanted = made
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    key = FileKey.generate()
    KeyStore(tmp_path / "keys", Secrets({})).add(
        "models", Purpose.of("model"), key.public, key.pem(None)
    )
    (tmp_path / "models.pub").write_bytes(key.public.pem)
    (tmp_path / "place").mkdir()
    repository = tmp_path / "repository"
    repository.mkdir()
    request = json.dumps(
        {"image": base64.b64encode((releases / "scene.png").read_bytes()).decode()}
    )
    arguments = ["--model-repository", "/repository", "--allow-empty"]
    with serving(
        ["--mount", f"{repository}:/repository"], arguments, log=tmp_path / "log"
    ) as server:
        settings = SETTINGS.format(
            model=MODEL, place=tmp_path / "place", grpc=server.grpc, repository=repository
        )
        (tmp_path / "monitor.toml").write_text(settings)
        publish(tmp_path, releases, 1)
        monitored(tmp_path, "--once")
        connection = Connection(f"127.0.0.1:{server.grpc}")

        def over_grpc(text: str) -> JSON:
            raw = encode("BYTES", [text])
            inputs = {"input": ("BYTES", [1, 1], raw)}
            answer = connection.infer_raw(MODEL, None, inputs, (), 60)["output"]
            found: JSON = json.loads(answer.raw[4:])
            return found

        def over_http(text: str) -> JSON:
            return server.infer(MODEL, [text])[0]

        clients = [Asking(request, over_grpc), Asking(request, over_http)]
        with asking(clients):
            for version in range(2, VERSIONS + 1):
                publish(tmp_path, releases, version)
                begun = time.monotonic()
                monitored(tmp_path, "--once")
                print(f"version {version} is live after {time.monotonic() - begun:.1f} s")
        connection.close()
    for client in clients:
        assert client.failed == []
        seen = [version_of(said, wanted) for _, said in client.answers]
        assert None not in seen, "an answer that no version gives"
        assert list(dict.fromkeys(seen)) == sorted(wanted)
        longest = max(took for took, _ in client.answers)
        print(f"{len(seen)} answers, the longest took {longest * 1e3:.0f} ms")
    (model,) = json.loads(monitored(tmp_path, "status", "--json"))["models"]
    assert (model["live"]["number"], model["live"]["release"]["sequence"]) == (VERSIONS, VERSIONS)
    versions = [path for path in (repository / MODEL).iterdir() if path.name.isdecimal()]
    assert len(versions) == 1
