"""The launcher starts a package: what it refuses, what the models see, and how it ends."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hps_server.launch import parse_arguments, program, server_command
from hps_server.probe import exchange, request
from tests.server_env.conftest import PYTHON, SERVER_ENV
from tests.server_env.packages import (
    ENVIRONMENT,
    SEVERAL,
    PackageServer,
    installed_paddlex,
    make_package,
)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A Triton folder that has the Python backend by name only: enough to judge."""
    library = tmp_path / "triton" / "backends" / "python" / "libtriton_python.so"
    library.parent.mkdir(parents=True)
    library.touch()
    return tmp_path / "triton"


def launch(*arguments: str, site: Path, **environment: str) -> tuple[int, str]:
    path = os.pathsep.join([str(SERVER_ENV), str(site)])
    done = subprocess.run(
        [PYTHON, "-m", "hps_server.launch", *arguments],
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin", "HPS_ENVIRONMENT": ENVIRONMENT}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def infer(server: PackageServer, model: str, body: object) -> Any:
    document = json.dumps(request(json.dumps(body), "id-1")).encode()
    path = f"/v2/models/{model}/infer"
    status, answer = exchange("127.0.0.1", server.http, "POST", path, document, timeout=30)
    assert status == 200, answer
    return json.loads(json.loads(answer)["outputs"][0]["data"][0])


def test_a_package_that_fits_is_sound(bare: Path, tmp_path: Path) -> None:
    package, site = make_package(tmp_path), installed_paddlex(tmp_path / "site")
    package.chmod(0o555)  # nothing is written there
    options = ("--check", "--package", str(package), "--triton", str(bare))
    assert launch(*options, site=site) == (0, "hps-server: the repository is sound: ocr\n")


def test_a_package_that_does_not_fit_is_refused_unless_asked_for(
    bare: Path, tmp_path: Path
) -> None:
    package, site = make_package(tmp_path), installed_paddlex(tmp_path / "site", "3.6.0")
    options = ("--check", "--package", str(package), "--triton", str(bare))
    code, said = launch(*options, site=site)
    assert code == 2
    assert "is made for PaddleX 3.7.2, and this image has 3.6.0: start it in" in said
    code, said = launch(*options, "--allow-mismatch", site=site)
    assert code == 0
    assert "warning: paddlex_hps_OCR_sdk 0.3.0 is made for PaddleX 3.7.2" in said


def test_another_environment_is_one_line_of_warning(bare: Path, tmp_path: Path) -> None:
    package, site = make_package(tmp_path), installed_paddlex(tmp_path / "site")
    options = ("--check", "--package", str(package), "--triton", str(bare))
    code, said = launch(*options, site=site, HPS_ENVIRONMENT="sha256:" + "0" * 64)
    assert code == 0
    assert said.startswith("hps-server: warning: paddlex_hps_OCR_sdk was made for sha256:abab")
    assert len(said.splitlines()) == 2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "package.json").unlink(), "package.json: FileNotFoundError"),
        (lambda folder: (folder / "package.json").write_text("{}"), "package.json: KeyError"),
        (lambda folder: (folder / "pipeline_config.yaml").unlink(), "pipeline_config.yaml: is mis"),
        (lambda folder: (folder / "model_repo" / "ocr" / "1" / "model.py").unlink(), "would wait"),
        (lambda folder: (folder / "model_repo" / "ocr" / "config_cpu.pbtxt").unlink(), "cpu"),
        (lambda folder: (folder / "model_repo").rename(folder / "models"), "No such file"),
    ],
)
def test_what_is_no_package_is_refused(bare: Path, tmp_path: Path, spoil: Any, said: str) -> None:
    package, site = make_package(tmp_path), installed_paddlex(tmp_path / "site")
    spoil(package)
    code, log = launch("--package", str(package), "--triton", str(bare), site=site)
    assert (code, said in log) == (2, True), log
    assert "Traceback" not in log


def test_wrong_settings_end_with_the_usage(bare: Path, tmp_path: Path) -> None:
    code, said = launch("--package", "x", "--model-control-mode", "poll", site=tmp_path)
    assert (code, "use explicit, and load over gRPC" in said) == (2, True)
    code, said = launch("--model-repository", "x", "--rest-port", "8080", site=tmp_path)
    assert (code, "--rest-port needs --package" in said) == (2, True)
    code, said = launch("--package", "x", "--model-repository", "y", site=tmp_path)
    assert (code, "not allowed with" in said) == (2, True)


def test_the_documented_command_of_the_old_images_runs_its_script(tmp_path: Path) -> None:
    script = tmp_path / "server.sh"
    script.write_text('echo "$1 $PWD" >&2; exit 7')
    assert launch("/bin/bash", str(script), "hello", site=tmp_path)[0] == 7
    code, said = launch("sh", "-c", "echo shell >&2", site=tmp_path)
    assert (code, said) == (0, "shell\n")
    assert program(["--package", "x"]) is program([]) is program(["/tmp"]) is None
    assert program(["/nowhere/bash"]) is None


@pytest.mark.parametrize(
    ("arguments", "present", "absent"),
    [
        (["--log-level", "ERROR"], {"--log-info=false", "--log-warning=false"}, set()),
        (["--log-level", "DEBUG"], {"--log-verbose=1"}, {"--log-info=false"}),
        (["--model-control-mode", "none"], {"--model-control-mode=none"}, {"--load-model=a"}),
        (["--shared-memory", "64"], {"--backend-config=python,shm-default-byte-size=67108864"}, {}),
    ],
)
def test_settings_reach_triton(arguments: list[str], present: set[str], absent: set[str]) -> None:
    options = parse_arguments(["--model-repository", "/m", *arguments], {})
    command = set(server_command(options, ["a"], "prefix-"))
    assert present <= command
    assert not command & set(absent)


@pytest.mark.network
@pytest.mark.slow
def test_several_operations_are_served_and_see_their_settings(triton: Path, tmp_path: Path) -> None:
    package = make_package(tmp_path, SEVERAL, pipeline="PP-ShiTuV2")
    settings = tmp_path / "server.toml"
    settings.write_text("queue = 9\n[serving]\nstrict = true\n")
    before = sorted(str(path) for path in package.rglob("*"))
    server = PackageServer(
        triton,
        package,
        "--log-format=json",
        paths=(installed_paddlex(tmp_path / "site"),),
        environment={
            "HPS_SERVER_CONFIG": str(settings),
            "PADDLEX_HPS_LOGGING_LEVEL": "WARNING",
        },
    )
    try:
        server.wait_for("ready after")
        answer = infer(server, "shitu-infer", {"image": "x"})
        assert answer["logId"] == "id-1"
        assert answer["result"]["parameters"] == {"operation": "infer"}
        assert answer["result"]["environment"] == {
            "HPS_PACKAGE": str(package / "package.json"),
            "PADDLEX_HPS_PIPELINE_CONFIG_PATH": str(package / "pipeline_config.yaml"),
            "PADDLEX_HPS_LOGGING_LEVEL": "WARNING",
            "HPS_SERVER_QUEUE": "9",
            "HPS_SERVER_STRICT": "true",
            "PADDLEX_HPS_DEVICE_TYPE": "cpu",
        }
        other = infer(server, "shitu-index-build", {"image": "x"})
        assert other["result"]["pid"] == answer["result"]["pid"]  # one pipeline for both
        code, report = server.health()
        assert (code, {each["probe"] for each in report["models"].values()}) == (0, {"answers"})
    finally:
        server.process.terminate()
        code, log = server.end()
    assert code == 0
    assert all(json.loads(line)["level"] for line in log.splitlines())
    assert sorted(str(path) for path in package.rglob("*")) == before
