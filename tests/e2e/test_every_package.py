"""Every package answers at each of its operations; by real Triton, the full path.

Only PaddleX's pipelines are replaced, at their one seam, by ones without networks. Triton serves
several packages at a time, each with its own package.json and configuration; those whose models
have the same names cannot be together. It serves those that have most models of all; the others
are asked inside the image without it, unless HPS_EVERY_PACKAGE=1 has Triton serve them too.
"""

import importlib
import json
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no type hints
import pytest

from tests.e2e import inside_image
from tests.e2e.ask_every_package import CATALOGUE, JSON, PIPELINES, SEAM, asked
from tests.e2e.serving import assemble, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

EVERY = os.environ.get("HPS_EVERY_PACKAGE") == "1"
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
    "HPS_SERVER_PIPELINE": SEAM,
    "PYTHONPATH": f"/opt/hps:{inside_image.REPOSITORY}",
}


def groups() -> "list[dict[str, set[str]]]":
    """The fewest groups of pipelines, with their models, in which no two have the same model."""
    found: list[dict[str, set[str]]] = []
    for name, described in CATALOGUE.items():
        models = {operation["model"] for operation in described["operations"]}
        free = [group for group in found if not models & models_of(group)]
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
    by_triton = groups() if EVERY else [max(groups(), key=lambda each: len(models_of(each)))]
    others = PIPELINES.keys() - set().union(*by_triton)
    with inside_image.work_folder() as work:
        packages = assemble(work / "output")
        assert packages.keys() == PIPELINES.keys()
        inside_image.run("tests/e2e/write_files.py", work, str(inside_image.WORK))
        files = json.loads((work / "files.json").read_text())
        found = _without_triton(work, others)
        for number, group in enumerate(by_triton):
            chosen = {name: packages[name] for name in group}
            found |= _by_triton(folder / f"models{number}", chosen, files)
    return found


def models_of(group: "dict[str, set[str]]") -> set[str]:
    return set().union(*group.values())


def _without_triton(work: Path, names: "AbstractSet[str]") -> "dict[tuple[str, str, str], JSON]":
    if not names:
        return {}
    script = "tests/e2e/ask_every_package.py"
    inside_image.run(script, work, str(inside_image.WORK), *sorted(names))
    answers = json.loads((work / "answers.json").read_text())
    return {(name, operation, kind): envelope for name, operation, kind, envelope in answers}


def _by_triton(
    models: Path, packages: "Mapping[str, Path]", files: "Mapping[str, str]"
) -> "dict[tuple[str, str, str], JSON]":
    options = ["--models", str(models)]
    for name, package in packages.items():
        _put(package, name, models)
        options += ["--mount", f"{package}:/packages/{name}"]
    for each in _ENVIRONMENT.items():
        options += ["--env", "=".join(each)]
    options += ["--mount", f"{inside_image.ROOT}:{inside_image.REPOSITORY}"]
    with serving(options, log=models.with_suffix(".log")) as server:
        return {
            key: envelope for name in packages for key, envelope in asked(server.infer, name, files)
        }


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


def _described(name: str, operation: str) -> Any:
    operations = PIPELINES[name]["operations"]
    return next(each for each in operations if each["id"] == operation)
