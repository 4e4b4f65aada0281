"""Every pipeline and operation: requests as PaddleX's schemas want them, results read back."""

import asyncio
import base64
import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hps_client import AsyncClient, Client, InvalidAnswer, InvalidInput, OutputFile
from hps_client.catalogue import ATTRIBUTES, MODULES
from hps_client.operation import Operation
from hps_client.records import Record

from tests.sdk_client import wire
from tests.sdk_client.conftest import ROOT, SDK
from tests.servers import HostileServer

jsonschema = importlib.import_module("jsonschema")  # it has no types
SCHEMA = json.loads((ROOT / "sdk" / "schema" / "paddlex-3.7.2.json").read_text())["pipelines"]
CASES = [
    (name, operation) for name, described in SCHEMA.items() for operation in described["operations"]
]
NAMES = [f"{name}.{operation['id']}" for name, operation in CASES]


def sample(schema: dict[str, Any], defs: dict[str, Any], *, full: bool) -> Any:
    """A value that fits a schema; with every optional field when `full`."""
    if "$ref" in schema:
        return sample(defs[schema["$ref"].rsplit("/", 1)[1]], defs, full=full)
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], defs, full=full)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("type") == "object":
        required = schema.get("required", [])
        made = {
            name: sample(field, defs, full=full)
            for name, field in schema.get("properties", {}).items()
            if name in required or full or "const" in field
        }
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and extra:
            made["key"] = sample(extra, defs, full=full)
        return made
    if "prefixItems" in schema:
        return [sample(one, defs, full=full) for one in schema["prefixItems"]]
    if schema.get("type") == "array":
        return [sample(schema["items"], defs, full=full)]
    return {"string": "eA==", "integer": 3, "number": 0.5, "boolean": True}.get(
        schema.get("type", ""), {}
    )


def described(pipeline: str, identity: str) -> tuple[Operation, type[Record]]:
    module = importlib.import_module(f"hps_client.pipelines.{MODULES[pipeline]}")
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", identity).lower()
    found: tuple[Operation, type[Record]] = next(
        pair for pair in module.OPERATIONS if pair[0].name == name
    )
    return found


def arguments(operation: Operation, request: dict[str, Any]) -> dict[str, Any]:
    """What a caller would give for a request on the wire."""
    given = {field.name: request[field.wire] for field in operation.fields if field.wire in request}
    for field in operation.fields:
        if field.kind == "file" and field.name in given:
            given[field.name] = base64.b64decode(given[field.name])
    for listed, key in operation.nested_files:
        for field in operation.fields:
            if field.wire == listed and field.name in given:
                given[field.name] = [
                    {**item, key: base64.b64decode(item[key])} for item in given[field.name]
                ]
    return given


@pytest.mark.parametrize(("pipeline", "operation"), CASES, ids=NAMES)
@pytest.mark.parametrize("full", [False, True], ids=["required", "all"])
def test_each_operation(pipeline: str, operation: dict[str, Any], full: bool) -> None:
    request_schema, result_schema = (operation[side]["schema"] for side in ("request", "result"))
    request = sample(request_schema, request_schema.get("$defs", {}), full=full)
    result = sample(result_schema, result_schema.get("$defs", {}), full=full)
    mine, _ = described(pipeline, operation["id"])
    with HostileServer() as server:
        path = f"/v2/models/{mine.model}/infer"
        server.script(path, wire.answering(result))
        given = arguments(mine, request)
        with Client(server.url, timeout=20) as client:
            endpoint = getattr(client, ATTRIBUTES[pipeline])
            answer = getattr(endpoint, mine.name)(**given)
            again = endpoint(**given) if mine.name == "infer" else answer

        async def ask() -> Any:
            async with AsyncClient(server.url, timeout=20) as client:
                endpoint = getattr(client, ATTRIBUTES[pipeline])
                return await getattr(endpoint, mine.name)(**given)

        assert asyncio.run(ask()) == answer == again
        sent = wire.sent(
            server.seen[0].body, server.seen[0].headers["inference-header-content-length"]
        )
    jsonschema.validate(sent, {**request_schema, "additionalProperties": False})
    if any(field.wire == "fileType" for field in mine.fields) and not full:
        assert sent.pop("fileType") == 1  # found out
    assert sent == request
    assert answer.raw == result
    if "ChatCompletion" not in type(answer).__name__:
        assert answer.to_wire() == result


def test_the_models_are_those_of_the_catalogue() -> None:
    for name in MODULES:
        entry = tomllib.loads((ROOT / "sdk" / "pipelines" / name / "pipeline.toml").read_text())
        for operation in entry["operations"]:
            mine, _ = described(name, operation["id"])
            assert mine.model == operation["model"]
            assert mine.media == operation.get("media", "")
            repeatable = not operation.get("remote") and "Index" not in operation["id"]
            assert mine.repeatable == repeatable, operation


def test_the_generated_files_are_current() -> None:
    checked = subprocess.run(
        [sys.executable, SDK / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, ""), "run sdk/hps_client/generate.py"


def test_both_clients_take_the_same() -> None:
    for name, module in MODULES.items():
        loaded = importlib.import_module(f"hps_client.pipelines.{module}")
        waiting = type(getattr(Client("localhost"), ATTRIBUTES[name]))
        coroutines = getattr(loaded, f"Async{waiting.__name__}")
        for operation, _ in loaded.OPERATIONS:
            one, other = (
                inspect.signature(getattr(kind, operation.name)) for kind in (waiting, coroutines)
            )
            assert one == other


def test_what_the_schema_does_not_know_stays_in_raw() -> None:
    from hps_client.pipelines.shared import ImageInfo

    read = ImageInfo.from_wire({"width": 1, "height": 2, "type": "image", "colour": "red"})
    assert read.raw["colour"] == "red"
    assert read == ImageInfo(width=1, height=2)


@pytest.mark.parametrize(
    ("pipeline", "result", "where"),
    [
        ("ts_classification", {"label": "a", "score": "1"}, "result.score should be a number"),
        ("ts_classification", {"label": "a", "score": True}, "result.score should be a number"),
        ("ts_classification", {"score": 1}, "result.label should be there"),
        ("semantic_segmentation", {"labelMap": [1, "2"], "size": [1, 2]}, r"labelMap\[1\]"),
        ("semantic_segmentation", {"labelMap": [1], "size": [1]}, "should have 2 values, it has 1"),
        ("semantic_segmentation", {"labelMap": {}, "size": [1, 2]}, "should be a list"),
        ("OCR", {"ocrResults": [3], "dataInfo": {}}, r"ocrResults\[0\] should be an object"),
        ("OCR", {"ocrResults": [], "dataInfo": {"type": "x"}}, "image or pdf or tiff"),
        ("ts_forecast", {"csv": 5}, "base64 or a URL"),
    ],
)
def test_results_that_are_unlike_their_schema(
    pipeline: str, result: dict[str, Any], where: str
) -> None:
    _, kind = described(pipeline, "infer")
    with pytest.raises(InvalidAnswer, match=where):
        kind.from_wire(result)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"file": b"x", "text_det_thresh": float("nan")}, "no form in JSON"),
        ({"file": b"x", "text_det_thresh": object()}, "object, which JSON does not know"),
        ({"file": b"x", "text_det_limit_type": b"x"}, "no form in JSON"),
        ({"file": None}, "needs file"),
        ({"file": 7}, "int is no file"),
        ({"file": b""}, "empty"),
        ({"file": "no such file"}, "cannot read"),
        ({"file": "s3://bucket/key"}, "cannot read"),
        ({"file": "x" * 100_000}, "cannot read"),
        ({"file": "nul\0byte"}, "cannot read"),
        ({"file": "/"}, "Is a directory"),
        ({"file": "data:image/png;base64,%"}, "data URI"),
        ({"file": "data:nothing"}, "data URI"),
    ],
)
def test_requests_that_cannot_be_sent(given: dict[str, Any], match: str) -> None:
    with Client("127.0.0.1:1", retries=0) as client, pytest.raises(InvalidInput, match=match):
        client.ocr(**given)


def test_all_kinds_of_files(tmp_path: Path) -> None:
    operation, _ = described("OCR", "infer")
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.4")
    encoded = base64.b64encode(b"%PDF-1.4").decode()
    with (tmp_path / "page.pdf").open("rb") as opened:
        kinds: list[Any] = [
            tmp_path / "page.pdf",
            str(tmp_path / "page.pdf"),
            b"%PDF-1.4",
            bytearray(b"%PDF-1.4"),
            memoryview(b"%PDF-1.4"),
            opened,
            f"data:application/pdf;base64,{encoded}",
            OutputFile(encoded),
        ]
        for kind in kinds:
            assert operation.request({"file": kind}) == {"file": encoded, "fileType": 0}
    url = "https://example.org/a.pdf"
    assert operation.request({"file": url}) == {"file": url}
    assert operation.request({"file": b"x", "file_type": 0})["fileType"] == 0
    with (
        (tmp_path / "page.pdf").open(encoding="utf-8") as text,
        pytest.raises(InvalidInput, match="rb"),
    ):
        operation.request({"file": text})
