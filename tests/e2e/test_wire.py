"""Old clients keep working: what they send is answered as they have always been answered.

Requests and answers are written by hand in wire/, and compared key by key with what the service
answers inside the built image, offline, on pipelines that have no networks.
"""

import json

import pytest

from tests.e2e import inside_image
from tests.e2e.wire_cases import JSON, Exchange, cases, catalogue, exchanges

EXCHANGES: "dict[tuple[str, str, str], Exchange]" = {
    (pipeline, model, asked): exchange
    for pipeline, described in catalogue().items()
    for model, case in cases(described).items()
    for asked, exchange in exchanges(case)
}
MODELS = sorted({(pipeline, model) for pipeline, model, _ in EXCHANGES})


@pytest.fixture(scope="module")
def answers() -> "dict[tuple[str, str, str], JSON]":
    """What was answered, by pipeline, model and what was asked."""
    inside_image.prepare()
    with inside_image.work_folder() as work:
        out = str(inside_image.WORK / "answers.json")
        inside_image.run("tests/e2e/ask_wire.py", work, out)
        found = json.loads((work / "answers.json").read_text())
    return {(each["pipeline"], each["model"], each["asked"]): each["answer"] for each in found}


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(("pipeline", "model"), MODELS)
def test_old_clients_get_what_they_have_always_got(
    pipeline: str, model: str, answers: "dict[tuple[str, str, str], JSON]"
) -> None:
    found = {
        asked: list(exchange.differences(answers[name, of, asked]))
        for (name, of, asked), exchange in EXCHANGES.items()
        if (name, of) == (pipeline, model)
    }
    assert {asked: differences for asked, differences in found.items() if differences} == {}


def test_every_operation_has_a_case() -> None:
    operations = {
        (name, operation["model"])
        for name, described in catalogue().items()
        for operation in described["operations"]
    }
    assert operations == set(MODELS)


def test_every_request_names_its_fields() -> None:
    for described in catalogue().values():
        for case in cases(described).values():
            named = {*case["required"], *case.get("needed", ()), *case.get("not_null", ())}
            assert named <= case["request"].keys(), case["model"]


ASKED = Exchange(
    {"file": "{png}", "visualize": False},
    {"pages": [{"score": "<float>", "image?visualize": "<jpeg>"}, "each page"]},
)
GOOD: JSON = {
    "logId": "c0ffee00-5a1d-4f7e-8c39-3f1d2b9a6e57",
    "result": {"pages": [{"score": 0.5}]},
    "errorCode": 0,
    "errorMsg": "Success",
}


def test_an_answer_as_written_is_taken() -> None:
    assert list(ASKED.differences(GOOD)) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"result": {"pages": [{"score": 1}]}}, "answer.result.pages[0].score"),
        ({"result": {"pages": []}}, "answer.result.pages"),
        ({"result": {"pages": [{"score": 0.5}] * 2}}, "answer.result.pages"),
        ({"result": {"pages": [{"score": 0.5, "image": "/9j/"}]}}, "answer.result.pages[0]"),
        ({"result": {"pages": [{"score": 0.5, "image": None}]}}, "answer.result.pages[0]"),
        ({"result": {"pages": [{}]}}, "answer.result.pages[0]"),
        ({"result": None}, "answer.result"),
        ({"errorCode": "0"}, "answer.errorCode"),
        ({"errorMsg": "success"}, "answer.errorMsg"),
        ({"logId": "one"}, "logId"),
        ({"more": 1}, "answer"),
    ],
)
def test_any_other_answer_is_a_difference(change: JSON, where: str) -> None:
    differences = list(ASKED.differences({**GOOD, **change}))
    assert where in {each.partition(":")[0] for each in differences}, differences


def test_a_refusal_holds_no_result_and_says_why() -> None:
    asked = Exchange({}, refusal=("1 validation error for ", "\nfile\n"))
    said: JSON = {key: GOOD[key] for key in ("logId", "errorCode", "errorMsg")}
    said |= {"errorCode": 422, "errorMsg": "1 validation error for InferRequest\nfile\n  Field"}
    assert list(asked.differences(said)) == []
    changes: list[JSON] = [{"result": {}}, {"errorCode": 500}, {"errorMsg": "Invalid"}]
    for change in changes:
        assert list(asked.differences({**said, **change}))
