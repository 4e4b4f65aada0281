"""Every operation of every pipeline answers, inside the built image and offline.

PaddleX's serving apps are asked in process, with pipelines that have no networks.
"""

import json
from typing import Any

import pytest

from tests.e2e import inside_image
from tests.e2e.ask_all_operations import SCHEMA

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

OPERATIONS = [
    (name, operation["id"])
    for name, described in json.loads(SCHEMA.read_text())["pipelines"].items()
    for operation in described["operations"]
]


@pytest.fixture(scope="module")
def problems() -> dict[tuple[str, ...], Any]:
    """What went wrong, by pipeline, operation and request."""
    inside_image.prepare()
    with inside_image.work_folder() as work:
        out = str(inside_image.WORK / "answers.json")
        inside_image.run("tests/e2e/ask_all_operations.py", work, out)
        found = json.loads((work / "answers.json").read_text())
    return {
        (each["pipeline"], each["operation"], each["request"]): each["problem"] for each in found
    }


@pytest.mark.parametrize("request_kind", ["smallest", "fullest"])
@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_it_is_answered(
    name: str, operation: str, request_kind: str, problems: dict[tuple[str, ...], Any]
) -> None:
    """The answer is one of PaddleX's result class."""
    assert problems[name, operation, request_kind] is None


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_a_field_of_another_type_is_refused(
    name: str, operation: str, problems: dict[tuple[str, ...], Any]
) -> None:
    assert problems[name, operation, "wrong"].startswith("ValidationError")
