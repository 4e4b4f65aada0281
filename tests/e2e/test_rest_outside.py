"""The REST facade from outside an image: `hps run --pipeline --rest-port`, with both engines.

Real Triton and real PaddleX, on a model that the suite makes and a project locks.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import (  # type: ignore[import-untyped]  # it has no type hints
    Draft202012Validator,
    ValidationError,
)

from tests.e2e import inside_image
from tests.e2e.inside_image import ROOT
from tests.e2e.models.served import request as smallest_request
from tests.e2e.openapi_rules import faults
from tests.e2e.requests_from_schema import wrong
from tests.e2e.serving import JSON, part_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

NAME, MODEL, FOLDER = "image_classification", "PP-LCNet_x0_5", "ImageClassification"
TABLES = f"""
[weights.{MODEL}]
directory = "weights"

[pipelines.{NAME}]
weights = ["{MODEL}"]
"""
SCHEMA = json.loads((ROOT / "sdk" / "schema" / "paddlex-3.7.2.json").read_text())
(OPERATION,) = SCHEMA["pipelines"][NAME]["operations"]
ENDPOINT = OPERATION["endpoint"]
REQUEST = OPERATION["request"]["schema"]

Answers = dict[str, tuple[int, Any]]


@dataclass(frozen=True)
class Project:
    """A project with a pipeline, and what is known of the pipeline.

    Args:
        folder: of hps.toml.
        requests: by the name of the file that they are about.
        wanted: the results, by the same.
    """

    folder: Path
    requests: "dict[str, JSON]"
    wanted: "dict[str, JSON]"


@pytest.fixture(scope="module")
def project() -> "Iterator[Project]":
    """A project like this repository's, with the small model and its pipeline, locked."""
    inside_image.prepare()
    inside = str(inside_image.WORK)
    with inside_image.work_folder() as work, tempfile.TemporaryDirectory() as name:
        inside_image.run("tests/e2e/models/make.py", work, inside, NAME)
        answers = f"{inside}/direct.json"
        inside_image.run("tests/e2e/models/direct.py", work, inside, answers, NAME)
        folder = Path(name)
        for part in ("hps.toml", "hps.lock"):
            shutil.copy(ROOT / part, folder)
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("server_env", "sdk"):
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        shutil.copytree(work / NAME / FOLDER, folder / "weights")
        with (folder / "hps.toml").open("a") as file:
            file.write(TABLES)
        _hps(folder, "lock")
        wanted = json.loads((work / "direct.json").read_text())[NAME]
        requests = {
            file: smallest_request(
                REQUEST["properties"], file, (work / NAME / "inputs" / file).read_bytes()
            )
            for file in wanted
        }
        yield Project(folder, requests, wanted)


@pytest.fixture(scope="module", params=["bubblewrap", "docker"])
def answers(
    project: Project, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """What the facade answers as soon as hps says that it is ready, by the name of the request."""
    folder = tmp_path_factory.mktemp(request.param)
    good = next(iter(project.requests.values()))
    asked = {
        **{file: ("POST", ENDPOINT, each) for file, each in project.requests.items()},
        "wrong type": ("POST", ENDPOINT, wrong(REQUEST, good)),
        "no image": ("POST", ENDPOINT, good | {"image": "AG5vIGltYWdl"}),
        "no object": ("POST", ENDPOINT, [good]),
        "no operation": ("POST", "/ocr", good),
        "wrong method": ("GET", ENDPOINT, None),
        "health": ("GET", "/health", None),
        "ready": ("GET", "/health/ready", None),
        "openapi": ("GET", "/openapi.json", None),
    }
    (folder / "requests").write_text(json.dumps(asked))
    script = ROOT / "tests" / "e2e" / "ask_rest.py"
    files = [str(folder / "requests"), str(folder / "answers")]
    then = shlex.join([sys.executable, str(script), *files])
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "docker":
            patch.setenv("DOCKER_HOST", request.getfixturevalue("docker_host"))
        line = ("run", "cpu", "--pipeline", NAME, "--engine", request.param)
        _hps(project.folder, *line, "--port", "0", "--rest-port", "0", "--then", then)
    return dict(json.loads((folder / "answers").read_text()))


@pytest.fixture(scope="module")
def openapi(answers: Answers) -> JSON:
    """The document of the facade."""
    status, document = answers["openapi"]
    assert status == 200, document
    return dict(document)


def test_good_requests_get_the_numbers_of_the_pipeline(project: Project, answers: Answers) -> None:
    assert len(project.wanted) >= 2
    for file, wanted in project.wanted.items():
        status, envelope = answers[file]
        assert (status, envelope["errorCode"], envelope["errorMsg"]) == (200, 0, "Success")
        assert part_of(envelope["result"], wanted) == wanted


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("wrong type", 422),
        ("no image", 422),
        ("no object", 400),
        ("no operation", 404),
        ("wrong method", 405),
    ],
)
def test_bad_requests_get_their_status(asked: str, code: int, answers: Answers) -> None:
    status, envelope = answers[asked]
    assert (status, envelope["errorCode"]) == (code, code)
    assert envelope["errorMsg"]
    assert "result" not in envelope


def test_it_is_healthy_and_ready(answers: Answers) -> None:
    assert answers["health"][0] == 200
    status, envelope = answers["ready"]
    assert (status, envelope["errorCode"]) == (200, 0)
    assert envelope["models"] == {"image-classification": {"ready": True, "reason": ""}}


def test_the_document_is_openapi_and_has_every_operation(openapi: JSON) -> None:
    assert faults(openapi) == []
    wanted = [each["endpoint"] for each in SCHEMA["pipelines"][NAME]["operations"]]
    assert sorted(openapi["paths"]) == sorted(wanted)
    assert {*openapi["paths"][ENDPOINT]} == {"post"}


def test_requests_and_answers_are_as_the_document_says(
    project: Project, answers: Answers, openapi: JSON
) -> None:
    post = openapi["paths"][ENDPOINT]["post"]
    body = post["requestBody"]["content"]["application/json"]["schema"]
    for request in project.requests.values():
        _check(openapi, body, request)
    with pytest.raises(ValidationError):
        _check(openapi, body, wrong(REQUEST, request))
    for name in (*project.requests, "wrong type", "no image"):
        status, envelope = answers[name]
        said = post["responses"][str(status)]["content"]["application/json"]["schema"]
        _check(openapi, said, envelope)


def _check(openapi: JSON, schema: JSON, document: JSON) -> None:
    """Whether a document follows a schema of an OpenAPI document; raises ValidationError."""
    # References are relative to the whole document.
    Draft202012Validator({**schema, "components": openapi["components"]}).validate(document)


def _hps(folder: Path, *words: str) -> None:
    line = [sys.executable, "-m", "hps", "-C", str(folder), *words]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stderr[-4000:]
