"""No pattern and no kind of error of the schema is left without words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from hps.config.explain import PATTERNS, keys
from hps.config.monitor import MonitorFile
from hps.config.schema import Config


def patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        yield from node.get("patternProperties", {})
        for value in node.values():
            yield from patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns(value)


def test_every_pattern_has_words_and_no_words_are_left_over() -> None:
    schemas = (Config.model_json_schema(), MonitorFile.model_json_schema())
    assert set(patterns(list(schemas))) == set(PATTERNS)


@pytest.mark.parametrize("kind", [Config, MonitorFile])
def test_every_key_has_a_description(kind: type[BaseModel]) -> None:
    for name, model in kind.model_json_schema()["$defs"].items():
        assert model["description"], name
        for key, node in model["properties"].items():
            assert node.get("description") or "const" in node, f"{name}.{key}"
    assert "example.org" not in json.dumps(Config.model_json_schema())


def test_keys_of_a_table_of_one_of_several_kinds_are_its_own() -> None:
    place = ("monitor", "models", "ocr", "source", "general")
    assert "host" in keys(place, MonitorFile)
    assert "bin" in keys((*place[:4], "hdfs"), MonitorFile)
    assert keys(place[:4], MonitorFile) == ()


def test_keys_of_a_table_are_found_through_names_and_items() -> None:
    top = ("project", "sources", "lock", "targets", "weights", "pipelines", "signing", "cache")
    assert keys(()) == top
    assert "delivery" in keys(("pipelines", "OCR"))
    assert "strip-components" in keys(("targets", "cpu", "archives", 0))
    assert keys(("targets", "cpu", "archives", 0, "copy", 3))[:2] == ("from", "to")
    assert "suites" in keys(("sources", "debian", "any"))
    assert keys(("targets", "cpu", "image", "environment")) == ()
    assert keys(("nothing", "here")) == ()
