"""What a REST request may hold, and what an operation gets of it."""

import base64
import json

import pytest

from hps_server.package import Operation
from hps_server.rest_bodies import (
    BodyError,
    check_type,
    checked_json,
    from_file,
    from_form,
    usable_identity,
)

OCR = Operation("infer", "ocr", "/ocr", files=("file",), media="document")
IMAGE = Operation("infer", "detect", "/detect", files=("image",), media="image")
PAIRS = Operation("buildIndex", "index", "/index", files=("pairs[].image",), media="image")
CHAT = Operation("chat", "chat", "/chat")


def test_json_passes_as_it_is() -> None:
    text = b'{"file": "x", "visualize" : null }'
    assert checked_json(text) == text


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'{"a":', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(BodyError) as error:
        checked_json(body)
    assert error.value.status == 400


def test_types() -> None:
    assert check_type(CHAT, "application/json") == "application/json"
    assert check_type(OCR, "multipart/form-data") == "multipart/form-data"
    assert check_type(OCR, "application/pdf") == "file"
    refused = [(CHAT, "image/png"), (PAIRS, "image/png"), (OCR, "")]
    for operation, kind in [*refused, (OCR, "application/x-www-form-urlencoded")]:
        with pytest.raises(BodyError) as error:
            check_type(operation, kind)
        assert error.value.status == 415


@pytest.mark.parametrize(
    ("operation", "kind", "fields"),
    [
        (OCR, "application/pdf", {"fileType": 0}),
        (OCR, "image/tiff", {"fileType": 1}),
        (OCR, "application/octet-stream", {}),
        (IMAGE, "image/png", {}),
    ],
)
def test_a_file_as_the_whole_body(
    operation: Operation, kind: str, fields: dict[str, object]
) -> None:
    query = [("visualize", "false"), ("textDetThresh", "0.5"), ("prompt", '"1"'), ("word", "hi")]
    made = json.loads(from_file(operation, kind, b"\0\xff", query))
    name = operation.files[0]
    assert base64.b64decode(made.pop(name)) == b"\0\xff"
    assert made == {"visualize": False, "textDetThresh": 0.5, "prompt": "1", "word": "hi"} | fields


def test_the_query_does_not_replace_the_file_but_says_its_type() -> None:
    made = json.loads(from_file(OCR, "image/png", b"a", [("file", "b"), ("fileType", "0")]))
    assert made == {"file": "YQ==", "fileType": 0}


def test_forms() -> None:
    png = {"upload": ("image/png", b"a")}
    made = json.loads(from_form(OCR, png, [("visualize", "true")]))
    assert made == {"file": "YQ==", "visualize": True, "fileType": 1}
    assert json.loads(from_form(CHAT, {}, [("keyList", '["a"]')])) == {"keyList": ["a"]}
    for operation, files, status in ((CHAT, png, 415), (OCR, png | {"b": ("", b"")}, 400)):
        with pytest.raises(BodyError) as error:
            from_form(operation, files, [])
        assert error.value.status == status


def test_request_ids() -> None:
    good = ["a", "A-1._b", "x" * 128]
    assert [usable_identity(each) for each in good] == good
    bad = [None, "", "a b", "../x", ".hidden", "x" * 129, "a\n", "é", "a/b"]
    assert [usable_identity(each) for each in bad] == [None] * len(bad)
