"""`hps run` of a pipeline: its ports on this machine, when it is ready, and who ended first.

A small program takes the launcher's place; tests/e2e/test_rest_outside.py has the real one.
"""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.build.laboratory import Laboratory
from tests.build.models import DETECTOR, OCR, official
from tests.build.test_running import END_IT

pytestmark = pytest.mark.network

TABLES = f"""
[weights.{DETECTOR}]
path = "{DETECTOR}.tar"

[pipelines.OCR]
weights = ["{DETECTOR}"]
"""
TESTS = Path(__file__).resolve().parents[1]
PROGRAM = ("--mount", f"{TESTS / 'build'}:/program")
ENTRYPOINT = ("--entrypoint", "/usr/bin/python3.11 /program/serving_program.py")
# The program's first answer is "not ready": who asks too early fails.
ASK = """
import json, os, urllib.request
ports = {name: int(os.environ[f"HPS_{name}_PORT"]) for name in ("HTTP", "GRPC", "METRICS", "REST")}
for name, path in (("HTTP", "/v2/health/ready"), ("REST", "/health/ready")):
    urllib.request.urlopen(f"http://127.0.0.1:{ports[name]}{path}", timeout=20).close()
print(json.dumps(ports))
"""


def then(script: str, *words: str) -> tuple[str, str]:
    """`--then` of a Python script."""
    return "--then", shlex.join([sys.executable, "-c", script, *words])


@pytest.fixture
def ocr(lab: Laboratory) -> tuple[str, ...]:
    """The words that run a pipeline of the laboratory, whose image says where Triton listens."""
    lab.add_wheel("paddlex", "3.7.2", {"paddlex/configs/pipelines/OCR.yaml": OCR.encode()})
    (lab.folder / "app.in").write_text((lab.folder / "app.in").read_text() + "paddlex\n")
    (lab.folder / f"{DETECTOR}.tar").write_bytes(official(DETECTOR))
    lab.edit("large = 4000", "large = 4000\nports = [8000, 8001, 8002]")
    lab.config.write_text(lab.config.read_text() + TABLES)
    for part in ("pipelines/OCR", "common"):
        shutil.copytree(TESTS.parent / "sdk" / part, lab.folder / "sdk" / part)
    lab.run("lock")
    return ("run", "cpu", "--pipeline", "OCR", *PROGRAM)


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.slow)])
def test_the_facade_has_a_port_on_this_machine(
    engine: str, lab: Laboratory, ocr: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    if engine == "docker":
        lab.environment["DOCKER_HOST"] = request.getfixturevalue("docker_host")
    words = (*ocr, *ENTRYPOINT, "--engine", engine, "--port", "0")
    done = lab.run(*words, "--rest-port", "0", *then(ASK))
    ports = done.json
    assert len({*ports.values()}) == 4
    wanted = str(ports["REST"])  # free again
    done = lab.run(*words, "--rest-port", wanted, *then(ASK))
    assert str(done.json["REST"]) == wanted


def test_mistakes_with_the_port_of_the_facade(lab: Laboratory) -> None:
    """All are told before anything is built or read."""
    pipeline = ("--pipeline", "OCR")
    mistakes = (
        (("--rest-port", "8080"), "--rest-port: say with --pipeline"),
        (("--rest-port", "0", "--models", "."), "--rest-port: say with --pipeline"),
        ((*pipeline, "--rest-port", "70000"), "70000 is not in the range"),
        ((*pipeline, "--rest-port", "-1"), "-1 is not in the range"),
        ((*pipeline, "--rest-port", "http"), "'http' is not a valid integer"),
        ((*pipeline, "--rest-port", "8001"), "the REST facade cannot have port 8001"),
        ((*pipeline, "--port", "9000", "--rest-port", "9002"), "of Triton, 9000 to 9002"),
        ((*pipeline, "--rest-port", "8080", "-e", "HPS_REST_PORT=1"), "the same thing twice"),
        ((*pipeline, "--rest-port", "8080", "--engine", "docker", "--port", "8080"), "8080"),
    )
    lab.lock_path.unlink()
    for words, said in mistakes:
        done = lab.run("run", "cpu", *words, code=2)
        assert said in done.err, words
        assert done.out == ""


def test_an_image_that_ends_beside_its_command_is_a_fault(lab: Laboratory) -> None:
    words = ("run", "cpu", "--port", "0", *PROGRAM, *ENTRYPOINT)
    done = lab.run(*words, *then(END_IT, "0"), code=8)
    assert "error[run-failed]: the image ended by itself while" in done.err
    assert "got:      exit code 5" in done.err
    done = lab.run(*words, *then(END_IT, "9"), code=9)
    assert "error[run-failed]: the image ended by itself while" in done.err
