"""PaddleX's pipelines run inside the built image, offline, on models that the suite makes."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import inside_image
from tests.e2e.models import housing
from tests.e2e.models.catalogue import MODELS

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

_SCRIPTS = "tests/e2e/models"


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    """A folder with the models of all pipelines."""
    inside_image.prepare()
    with inside_image.work_folder() as folder:
        inside_image.run(f"{_SCRIPTS}/make.py", folder, str(inside_image.WORK))
        yield folder


@pytest.fixture(scope="module")
def answers(work: Path) -> list[dict[str, Any]]:
    """What two processes have answered."""
    return [_said("direct.py", work, "first.json"), _said("direct.py", work, "second.json")]


@pytest.fixture(scope="module")
def served(work: Path) -> dict[str, Any]:
    """What PaddleX's serving apps have answered, asked about all inputs at once."""
    return _said("served.py", work, "served.json")


def _said(script: str, work: Path, out: str) -> dict[str, Any]:
    arguments = [str(inside_image.WORK), str(inside_image.WORK / out), *sorted(MODELS)]
    inside_image.run(f"{_SCRIPTS}/{script}", work, *arguments)
    found: dict[str, Any] = json.loads((work / out).read_text())
    return found


@pytest.mark.parametrize("name", sorted(MODELS))
def test_answers_are_the_same_in_each_run(name: str, answers: list[dict[str, Any]]) -> None:
    first, second = answers
    assert first[name] == second[name]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_answers_depend_on_what_is_asked(name: str, answers: list[dict[str, Any]]) -> None:
    said = [json.dumps(answer) for answer in answers[0][name].values()]
    assert len(said) == len(set(said)) > 1


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_serving_app_answers_the_same(
    name: str, answers: list[dict[str, Any]], served: dict[str, Any]
) -> None:
    """To the last bit, although its inputs were joined in batches; it adds images."""
    assert _part_of(served[name], answers[0][name]) == answers[0][name]


def _part_of(whole: Any, wanted: Any) -> Any:
    """The whole without the keys that the other has not."""
    if isinstance(whole, dict) and isinstance(wanted, dict):
        return {key: _part_of(whole[key], inner) for key, inner in wanted.items()}
    if isinstance(whole, list) and isinstance(wanted, list) and len(whole) == len(wanted):
        return [_part_of(one, other) for one, other in zip(whole, wanted, strict=True)]
    return whole


def test_text_is_found_on_every_page(answers: list[dict[str, Any]]) -> None:
    found = answers[0]["OCR"]
    lines = [
        [len(page["prunedResult"]["rec_texts"]) for page in found[file]["ocrResults"]]
        for file in ("page.png", "pages.pdf")
    ]
    assert lines[0][0] >= 3
    assert lines[1] == [2, 1, 1]
    assert any(found["page.png"]["ocrResults"][0]["prunedResult"]["rec_texts"])


def test_leaps_of_a_series_are_its_anomalies(answers: list[dict[str, Any]]) -> None:
    table = base64.b64decode(answers[0]["ts_anomaly_detection"]["1.csv"]["csv"]).decode()
    steps = [line.partition(",")[0] for line in table.splitlines() if line.endswith(",1")]
    assert steps == ["40", "70"]


@pytest.mark.parametrize(
    ("name", "field"), [("PP-ShiTuV2", "detectedObjects"), ("face_recognition", "faces")]
)
def test_what_was_removed_from_an_index_is_not_found(
    name: str, field: str, answers: list[dict[str, Any]]
) -> None:
    known = {
        result["label"]
        for answer in answers[0][name].values()
        for box in answer[field]
        for result in box["recResults"]
    }
    assert known == {"scene1", "scene3"}


def test_a_configuration_is_written_for_each_pipeline(work: Path) -> None:
    made = {path.parent.name for path in work.glob("*/pipeline_config.yaml")}
    assert made == {*MODELS}
    assert (work / housing.NAME / "1" / "inference.pdiparams").is_file()
