"""The rules by which the facade's OpenAPI document is judged find what breaks them."""

import copy
from collections.abc import Callable

import pytest

from tests.e2e.openapi_rules import JSON, faults

GOOD: JSON = {
    "openapi": "3.1.0",
    "info": {"title": "PaddleX OCR", "version": "0.3.0"},
    "paths": {
        "/ocr": {
            "post": {
                "operationId": "infer",
                "parameters": [
                    {"name": "X-Request-Id", "in": "header", "schema": {"type": "string"}}
                ],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}
                },
                "responses": {"200": {"description": "OK"}},
            }
        }
    },
    "components": {"schemas": {"A": {"type": "object"}}},
}


def operation(document: JSON) -> JSON:
    found: JSON = document["paths"]["/ocr"]["post"]
    return found


def another_of_the_name(document: JSON) -> None:
    document["paths"]["/ocr2"] = {"post": copy.deepcopy(operation(document))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.update(openapi="2.0"), "openapi: '2.0'"),
        (lambda it: it["info"].pop("version"), "info.version"),
        (lambda it: it["paths"].update({"ocr": it["paths"].pop("/ocr")}), "paths: 'ocr'"),
        (lambda it: operation(it).pop("responses"), "no responses"),
        (lambda it: operation(it)["responses"].update({"999": {}}), "response 999"),
        (lambda it: operation(it)["responses"]["200"].pop("description"), "response 200"),
        (lambda it: operation(it)["parameters"][0].pop("in"), "parameter"),
        (lambda it: operation(it)["requestBody"].pop("content"), "a body without content"),
        (lambda it: it["components"]["schemas"].pop("A"), "no #/components/schemas/A"),
        (lambda it: it["components"]["schemas"]["A"].update(type="text"), "schemas.A: 'text'"),
        (lambda it: it["components"]["schemas"].update({"A b": {}}), "schemas: 'A b'"),
        (another_of_the_name, "another operation is called infer too"),
    ],
)
def test_each_rule(change: Callable[[JSON], object], said: str) -> None:
    assert faults(GOOD) == []
    document = copy.deepcopy(GOOD)
    change(document)
    assert any(said in fault for fault in faults(document)), faults(document)
