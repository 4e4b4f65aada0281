"""Packages served by real Triton with real PaddleX, on models that the suite makes.

Whoever asks, and however, gets the numbers of the pipeline called directly in Python.
"""

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import inside_image
from tests.e2e.models import direct
from tests.e2e.models.catalogue import MODELS
from tests.e2e.models.served import request as smallest_request
from tests.e2e.requests_from_schema import wrong
from tests.e2e.serving import JSON, Served, ask, assemble, part_of, ready_to_serve, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

SCHEMA = json.loads((inside_image.ROOT / "sdk" / "schema" / "paddlex-3.7.2.json").read_text())
# One of each kind; a server for each of the others too costs two minutes more.
CHOSEN = (
    "OCR",
    "PP-ShiTuV2",
    "face_recognition",
    "image_classification",
    "object_detection",
    "semantic_segmentation",
    "ts_forecast",
)
NAMES = sorted(MODELS) if os.environ.get("HPS_EVERY_PIPELINE") else CHOSEN


@dataclass(frozen=True)
class Made:
    """What was made inside the image.

    Args:
        folder: the models, and the files that are asked about.
        answers: of the pipelines called directly, by pipeline and file.
        gallery: images and labels of an index.
        packages: server folders, by pipeline.
    """

    folder: Path
    answers: "Mapping[str, Mapping[str, JSON]]"
    gallery: "list[JSON]"
    packages: "Mapping[str, Path]"


@dataclass(frozen=True)
class Asked:
    """One pipeline that is served, and what it is asked.

    Args:
        name: PaddleX's.
        server: where.
        files: by name, with the answer that is wanted.
        parameters: what each request holds beside its file.
    """

    name: str
    server: Served
    files: "Mapping[str, tuple[bytes, JSON]]"
    parameters: JSON

    @property
    def operation(self) -> JSON:
        """What the schema says of the operation that looks at files."""
        return _operation(self.name, "infer")

    @property
    def model(self) -> str:
        """Triton's name of it."""
        return _model(self.name, "infer")

    def requests(self) -> "list[tuple[JSON, JSON]]":
        """As they are on the wire, with the answers that are wanted."""
        fields = self.operation["request"]["schema"]["properties"]
        return [
            (smallest_request(fields, file, data) | self.parameters, wanted)
            for file, (data, wanted) in self.files.items()
        ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Made]":
    """Models, answers and packages."""
    inside_image.prepare()
    packages = assemble(tmp_path_factory.mktemp("packages") / "output", *NAMES)
    inside = inside_image.WORK
    with inside_image.work_folder() as work:
        inside_image.run("tests/e2e/models/make.py", work, str(inside), *NAMES)
        answers = str(inside / "direct.json")
        inside_image.run("tests/e2e/models/direct.py", work, str(inside), answers, *NAMES)
        inside_image.run("tests/e2e/write_files.py", work, str(inside))
        yield Made(
            work,
            json.loads((work / "direct.json").read_text()),
            json.loads((work / "gallery.json").read_text()),
            packages,
        )


@contextlib.contextmanager
def served(
    name: str, made: Made, folder: Path, *options: str, rest: bool = True
) -> "Iterator[Asked]":
    """A package whose pipeline has an index, if it needs one."""
    app = folder / "app"
    ready_to_serve(made.packages[name], made.folder / name / "pipeline_config.yaml", app)
    mounts = ["--mount", f"{app}:/app", "--mount", f"{made.folder}:{inside_image.WORK}"]
    files = {
        file: ((made.folder / name / "inputs" / file).read_bytes(), wanted)
        for file, wanted in made.answers[name].items()
    }
    log = folder / "log"
    started = serving([*mounts, *options], ["--package", "/app"], log=log, rest=rest)
    with started as server:
        yield Asked(name, server, files, _index(name, server, made.gallery))


def test_ocr_in_docker(
    made: Made, tmp_path: Path, docker_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    with served("OCR", made, tmp_path, "--engine", "docker", rest=False) as asked:
        _ask_with_client("http", asked)
        _ask_with_client("grpc", asked)
        ((document, wanted), *_) = asked.requests()
        (envelope,) = asked.server.infer(asked.model, [json.dumps(document)])
        assert part_of(envelope["result"], wanted) == wanted
        told = {0: 2.0 * len(asked.files) + 1}
        assert asked.server.counts("infer", told) == told


@pytest.fixture(scope="module", params=NAMES)
def asked(
    request: pytest.FixtureRequest, made: Made, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Asked]":
    """Each pipeline in turn; it stops cleanly."""
    with served(request.param, made, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_client_gets_the_numbers_of_the_pipeline(protocol: str, asked: Asked) -> None:
    _ask_with_client(protocol, asked)


def test_a_batch_of_raw_requests_is_answered_one_by_one(asked: Asked) -> None:
    """Bad ones beside good ones: a wrong type, a file that is none, no JSON at all."""
    good, wanted = zip(*asked.requests(), strict=True)
    refused = [
        json.dumps(wrong(asked.operation["request"]["schema"], good[0])),
        json.dumps(good[0] | {_file_field(good[0]): base64.b64encode(b"\0no file").decode()}),
        "{",
    ]
    texts = [*map(json.dumps, good), *refused]
    texts.append(texts.pop(0))  # good ones before and behind
    answers = asked.server.infer(asked.model, texts)
    first, bad = answers.pop(), answers[len(good) - 1 :]
    assert [each["errorCode"] for each in bad] == [422, 422, 422]
    assert all("result" not in each and each["errorMsg"] for each in bad)
    for each, expected in zip([first, *answers[: len(good) - 1]], wanted, strict=True):
        assert (each["errorCode"], each["errorMsg"]) == (0, "Success")
        assert part_of(each["result"], expected) == expected


def test_the_rest_facade_answers_the_same(asked: Asked) -> None:
    path = asked.operation["endpoint"]
    for document, wanted in asked.requests():
        status, envelope = ask(asked.server.rest, "POST", path, document)
        assert status == 200, envelope
        assert part_of(envelope["result"], wanted) == wanted
    document = wrong(asked.operation["request"]["schema"], document)
    status, envelope = ask(asked.server.rest, "POST", path, document)
    assert (status, envelope["errorCode"]) == (422, 422)


def test_requests_are_counted_by_code_and_probes_are_not(asked: Asked) -> None:
    time.sleep(2)  # those of the tests before are counted
    before = {code: asked.server.count("infer", code) for code in (0, 422)}
    (document, _), *_ = asked.requests()
    probe = json.dumps({"hps:probe": True})
    alive, good, bad = asked.server.infer(asked.model, [probe, json.dumps(document), "{"])
    assert [each["errorCode"] for each in (alive, good, bad)] == [0, 0, 422]
    wanted = {code: count + 1 for code, count in before.items()}
    assert asked.server.counts("infer", wanted) == wanted


def _ask_with_client(protocol: str, asked: Asked) -> None:
    from hps_client import Client
    from hps_client.catalogue import ATTRIBUTES

    ports = {"http": asked.server.http, "grpc": asked.server.grpc}
    parameters = {"index_key": asked.parameters["indexKey"]} if asked.parameters else {}
    with Client(f"{protocol}://127.0.0.1:{ports[protocol]}", timeout=120) as client:
        pipeline = getattr(client, ATTRIBUTES[asked.name])
        for file, (data, wanted) in asked.files.items():
            result = pipeline(data, **parameters)
            assert part_of(result.raw, wanted) == wanted, file


def _index(name: str, server: Served, gallery: "list[JSON]") -> JSON:
    """Build one of the gallery as direct.py does: one image comes later, one goes."""
    if not any(each["id"] == "buildIndex" for each in SCHEMA["pipelines"][name]["operations"]):
        return {}
    said = _said(server, name, "buildIndex", {"imageLabelPairs": gallery[:2]})
    index = {"indexKey": said["indexKey"]}
    _said(server, name, "addImagesToIndex", {"imageLabelPairs": gallery[2:], **index})
    _said(server, name, "removeImagesFromIndex", {"ids": [direct.REMOVED], **index})
    return index


def _said(server: Served, name: str, operation: str, document: JSON) -> Any:
    (envelope,) = server.infer(_model(name, operation), [json.dumps(document)])
    assert envelope["errorCode"] == 0, envelope
    return envelope["result"]


def _operation(name: str, identity: str) -> JSON:
    operations = SCHEMA["pipelines"][name]["operations"]
    found: JSON = next(each for each in operations if each["id"] == identity)
    return found


def _model(name: str, identity: str) -> str:
    import tomllib

    path = inside_image.ROOT / "sdk" / "pipelines" / name / "pipeline.toml"
    operations = tomllib.loads(path.read_text())["operations"]
    return str(next(each["model"] for each in operations if each["id"] == identity))


def _file_field(request: JSON) -> str:
    return next(name for name in ("file", "image", "csv", "video") if name in request)
