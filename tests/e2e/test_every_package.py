"""Every package is served by real Triton, and each of its operations answers through the full path.

Only PaddleX's pipelines are replaced, at their one seam, by ones without networks. Packages are
served several at a time, each with its own package.json and configuration; those whose models have
the same names cannot be together.
"""

import base64
import importlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no type hints
import pytest

from tests.e2e import inside_image
from tests.e2e.ask_all_operations import kept
from tests.e2e.requests_from_schema import fullest, smallest, wrong
from tests.e2e.serving import JSON, Served, assemble, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

SDK = inside_image.ROOT / "sdk"
PIPELINES = json.loads((SDK / "schema" / "paddlex-3.7.2.json").read_text())["pipelines"]
CATALOGUE = {
    name: tomllib.loads((SDK / "pipelines" / name / "pipeline.toml").read_text())
    for name in PIPELINES
}
OPERATIONS = [
    (name, operation["id"])
    for name, described in PIPELINES.items()
    for operation in described["operations"]
]
WITH_FILES = [
    (name, operation["id"])
    for name, described in CATALOGUE.items()
    for operation in described["operations"]
    if operation.get("files")
]
# Triton's Python backend runs each model in a process of its own, which imports its model.py.
_OWN = """\
import os

os.environ["HPS_PACKAGE"] = "/packages/{name}/package.json"
"""
_ENVIRONMENT = {
    "HPS_SERVER_GRACE": "0",  # eight models take long to end in order; others test that
    "HPS_SERVER_PIPELINE": "tests.e2e.fake_pipelines:create_pipeline",
    "PYTHONPATH": f"/opt/hps:{inside_image.REPOSITORY}",
}
_NO_FILE = base64.b64encode(b"\0no file").decode()


def groups() -> "list[dict[str, set[str]]]":
    """The fewest groups of pipelines, with their models, in which no two have the same model."""
    found: list[dict[str, set[str]]] = []
    for name, described in CATALOGUE.items():
        models = {operation["model"] for operation in described["operations"]}
        free = [group for group in found if not models & set().union(*group.values())]
        if not free:
            free = [{}]
            found += free
        min(free, key=len)[name] = models
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> "dict[tuple[str, str, str], JSON]":
    """What was answered, by pipeline, operation and request."""
    inside_image.prepare()
    folder = tmp_path_factory.mktemp("every")
    packages = assemble(folder / "output")
    assert packages.keys() == PIPELINES.keys()
    with inside_image.work_folder() as work:
        inside_image.run("tests/e2e/write_files.py", work, str(inside_image.WORK))
        files = json.loads((work / "files.json").read_text())
    found: dict[tuple[str, str, str], JSON] = {}
    for number, group in enumerate(groups()):
        models = folder / f"models{number}"
        options = ["--models", str(models)]
        for name in group:
            _put(packages[name], name, models)
            options += ["--mount", f"{packages[name]}:/packages/{name}"]
        for each in _ENVIRONMENT.items():
            options += ["--env", "=".join(each)]
        options += ["--mount", f"{inside_image.ROOT}:{inside_image.REPOSITORY}"]
        with serving(options, log=folder / f"log{number}") as server:
            for name in group:
                found.update(_asked(server, name, files))
    return found


@pytest.mark.parametrize("kind", ["smallest", "fullest"])
@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_it_answers_as_the_schema_and_the_client_have_it(
    name: str, operation: str, kind: str, answers: "dict[tuple[str, str, str], JSON]"
) -> None:
    from hps_client.catalogue import MODULES

    envelope = answers[name, operation, kind]
    assert (envelope["errorCode"], envelope["errorMsg"]) == (0, "Success"), envelope
    described = _described(name, operation)
    jsonschema.validate(envelope["result"], described["result"]["schema"])
    number = [each["id"] for each in PIPELINES[name]["operations"]].index(operation)
    module = importlib.import_module(f"hps_client.pipelines.{MODULES[name]}")
    _, result = module.OPERATIONS[number]
    assert result.from_wire(envelope["result"]).raw == envelope["result"]


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_a_field_of_another_type_is_refused(
    name: str, operation: str, answers: "dict[tuple[str, str, str], JSON]"
) -> None:
    envelope = answers[name, operation, "wrong"]
    assert envelope["errorCode"] == 422
    assert _described(name, operation)["request"]["schema"]["required"][0] in envelope["errorMsg"]


@pytest.mark.parametrize(("name", "operation"), WITH_FILES)
def test_a_file_that_is_none_is_refused(
    name: str, operation: str, answers: "dict[tuple[str, str, str], JSON]"
) -> None:
    envelope = answers[name, operation, "no file"]
    assert (envelope["errorCode"], "result" in envelope) == (422, False), envelope


def _put(package: Path, name: str, models: Path) -> None:
    """Add the models of a package to a repository, as the launcher does with one package."""
    from hps_server.staging import Placement, stage

    stage(package / "model_repo", models, Placement())
    for model in (package / "model_repo").iterdir():
        code = models / model.name / "1" / "model.py"
        code.write_text(_OWN.format(name=name) + code.read_text())


def _asked(
    server: Served, name: str, files: "Mapping[str, str]"
) -> "Iterator[tuple[tuple[str, str, str], JSON]]":
    """Ask one pipeline, its operations in PaddleX's order: an index is built before it is used."""
    known: JSON = {}
    catalogued = {each["id"]: each for each in CATALOGUE[name]["operations"]}
    for operation in PIPELINES[name]["operations"]:
        identity, schema = operation["id"], operation["request"]["schema"]
        model, media = catalogued[identity]["model"], catalogued[identity].get("media")
        values = _files(files[media]) | known if media else known
        request = smallest(schema, "", values)
        (envelope,) = server.infer(model, [json.dumps(request)])
        yield (name, identity, "smallest"), envelope
        known |= kept(envelope.get("result", {}))
        batch = {
            "fullest": fullest(schema, "", values),
            "wrong": wrong(schema, request),
            # The fullest: pictures of pages are read only when a document is to be written.
            "no file": fullest(schema, "", known | _files(_NO_FILE) | _pages(known, _NO_FILE)),
        }
        said = server.infer(model, [json.dumps(each) for each in batch.values()])
        for kind, envelope in zip(batch, said, strict=True):
            yield (name, identity, kind), envelope


def _files(data: str) -> JSON:
    """What fields hold that hold a file."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    names = ("audio", "csv", "file", "image", "tar", "video")
    return {**dict.fromkeys(names, data), "content": content}


def _pages(known: "Mapping[str, Any]", data: str) -> JSON:
    """The pages that are known, with another file for their pictures."""
    pages = [page | {"markdownImages": {"a.png": data}} for page in known.get("pages", ())]
    return {"pages": pages} if pages else {}


def _described(name: str, operation: str) -> Any:
    operations = PIPELINES[name]["operations"]
    return next(each for each in operations if each["id"] == operation)
