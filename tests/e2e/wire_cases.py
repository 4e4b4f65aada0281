"""What old clients send, and what they get, written by hand in wire/ (JSON, one file a pipeline).

The source is the documented wire format of PaddleX's High Stability Serving, not sdk/schema: the
two are independent. Each case is one Triton model:

    request    every field that the documents name, as a client sends it
    required   the fields that cannot be left out
    needed     those that the schema lets go, but not this pipeline: missing, they are refused
    not_null   optional fields with a default of their own, which take no null
    also       other values for fields, asked one after the other
    refused    values that the schema takes and no pipeline can answer; the last one is blamed
    told       the same, where "errorMsg" is another than the schema's words for "values"
    result     what comes back inside the envelope

In requests `{png}` is a file in base64, `{visualInfo}` a value of an earlier answer. In results
`<float>` is a type, `<BoundingBox>` a shape of wire/shapes.json, and a list goes on with "more" of
its first entry, or has one for "each page". A key `image?visualize` is there unless the request
says false, `exports!outputFormats` only if the request asks for it; all others always.
"""

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = dict[str, Any]

FOLDER = Path(__file__).with_name("wire")
CATALOGUE = Path(__file__).resolve().parents[2] / "sdk" / "pipelines"
SHAPES: "Mapping[str, Any]" = json.loads((FOLDER / "shapes.json").read_text())
FILES = ("avi", "csv", "png", "tar", "wav")
INVALID = 422
_WRONG = "1 validation error for "  # pydantic's words, then the name of the request's model
_PAGES = {"png": 1, "tiff": 2, "pdf": 3}
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Exchange:
    """One request and what must come back.

    Args:
        request: with files and earlier answers still to be filled in.
        result: what a good answer holds; None when the request is refused.
        refusal: how errorMsg begins, then what else it holds.
        file: the kind of the document that is sent.
        text: what is sent in place of a JSON object.
    """

    request: JSON
    result: Any = None
    refusal: "tuple[str, ...]" = ()
    file: str = "png"
    text: str = ""

    def differences(self, envelope: JSON) -> "Iterator[str]":
        """Where an answer is another than it must be."""
        log_id = self.request.get("logId")
        if envelope.get("logId") != log_id and (
            log_id or not _UUID4.fullmatch(str(envelope.get("logId")))
        ):
            yield f"logId: {envelope.get('logId')!r}"
        if self.refusal:
            expected: JSON = {"logId": "<str>", "errorCode": INVALID, "errorMsg": "<str>"}
            begin, *more = self.refusal
            message = str(envelope.get("errorMsg"))
            if not message.startswith(begin) or any(each not in message for each in more):
                yield f"errorMsg: {message!r}"
        else:
            expected = {"logId": "<str>", "errorCode": 0, "errorMsg": "Success"}
            expected["result"] = self.result
        yield from _differences(expected, envelope, self, "answer")


def catalogue() -> "dict[str, JSON]":
    """Every pipeline, as sdk/pipelines has it."""
    found = (tomllib.loads(path.read_text()) for path in CATALOGUE.glob("*/pipeline.toml"))
    return {each["name"]: each for each in sorted(found, key=lambda each: str(each["name"]))}


def cases(described: JSON) -> "dict[str, JSON]":
    """The cases of one pipeline by Triton model; mapped pipelines have those of their source."""
    path = FOLDER / f"{described.get('app', described['name'])}.json"
    return {each["model"]: each for each in json.loads(path.read_text())}


def exchanges(case: JSON) -> "Iterator[tuple[str, Exchange]]":
    """What is asked of one model, by a name for it: the fullest request first, wrong ones last."""
    full, result = case["request"], case["result"]
    kept = {*case["required"], *case.get("needed", ()), "fileType"}
    least = {name: value for name, value in full.items() if name in kept}
    takes_null = full.keys() - kept - {*case.get("not_null", ())}
    yield "every field", Exchange(full, result)
    yield "null for what is optional", Exchange({**least, **dict.fromkeys(takes_null)}, result)
    yield "an unknown field", Exchange({**least, "anotherField": 1}, result)
    if "visualize" in full:
        yield "no images", Exchange({**least, "visualize": False}, result)
    for number, other in enumerate(case.get("also", ())):
        yield f"other values {number}", Exchange({**least, **other}, result)
    yield from _documents(least, result)
    yield from _refused(case, least)


def _documents(least: JSON, result: Any) -> "Iterator[tuple[str, Exchange]]":
    if "fileType" in least:
        yield "tiff", Exchange({**least, "file": "{tiff}"}, result, file="tiff")
        yield "pdf", Exchange({**least, "file": "{pdf}", "fileType": 0}, result, file="pdf")


def _refused(case: JSON, least: JSON) -> "Iterator[tuple[str, Exchange]]":
    for name in [*case["required"], *case.get("needed", ())]:
        rest = {key: value for key, value in least.items() if key != name}
        missing = (_WRONG, f"\n{name}\n  Field required [type=missing")
        yield f"{name} missing", Exchange(rest, refusal=missing)
    text = json.dumps(least)
    for kind in FILES:
        text = text.replace(f"{{{kind}}}", "{nothing}")
    if "{nothing}" in text:
        yield "no such file", Exchange(json.loads(text), refusal=("Input file is invalid",))
    for number, other in enumerate(case.get("refused", ())):
        *_, name = other
        words = (_WRONG, f"\n{name}\n")
        yield f"refused values {number}", Exchange({**least, **other}, refusal=words)
    for number, other in enumerate(case.get("told", ())):
        told = Exchange({**least, **other["values"]}, refusal=(other["errorMsg"],))
        yield f"told values {number}", told
    yield "no JSON", Exchange({}, refusal=(_WRONG, "\n  Invalid JSON: "), text='{"file":')
    yield "no object", Exchange({}, refusal=(_WRONG, "\n  Input should be an object"), text="[]")
    if "fileType" in least:
        unknown = ("File type cannot be determined",)
        rest = {key: value for key, value in least.items() if key != "fileType"}
        word = {**rest, "file": "http://example.org/report.docx"}
        yield "no fileType", Exchange(rest, refusal=unknown)
        yield "fileType null", Exchange({**rest, "fileType": None}, refusal=unknown)
        yield "another type", Exchange(word, refusal=("Unsupported file type",))
        wrong = (_WRONG, "\nfileType\n  ")
        yield "fileType 2", Exchange({**rest, "fileType": 2}, refusal=wrong)


def filled(template: Any, values: "Mapping[str, Any]") -> Any:
    """A request with its files and the values of earlier answers put in.

    Args:
        template: from a case.
        values: files in base64 and results, by name.
    """
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if whole := re.fullmatch(r"\{([A-Za-z0-9. ]+)\}", template):
        found: Any = values
        for step in whole[1].split("."):
            found = found[int(step) if step.isdigit() else step]
        return found
    return template.replace("{png}", values["png"])


def _differences(expected: Any, found: Any, asked: Exchange, at: str) -> "Iterator[str]":
    if isinstance(expected, str) and (named := re.fullmatch("<(.+)>", expected)):
        name = named[1] if named[1] != "dataInfo" else f"dataInfo of {asked.file}"
        if name in SHAPES:
            yield from _differences(SHAPES[name], found, asked, at)
        elif not TYPES[name](found):
            yield f"{at}: {expected}, got {str(found)[:99]!r}"
    elif isinstance(expected, dict) and isinstance(found, dict):
        yield from _in_object(expected, found, asked, at)
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _in_list(expected, found, asked, at)
    elif type(expected) is not type(found) or expected != found:
        yield f"{at}: {str(expected)[:99]!r}, got {str(found)[:99]!r}"


def _in_object(expected: JSON, found: JSON, asked: Exchange, at: str) -> "Iterator[str]":
    if "*" in expected:
        expected = dict.fromkeys(found or ["any"], expected["*"])
    wanted = {}
    for key, value in expected.items():
        name, sign, field = re.fullmatch(r"([^?!]+)([?!]?)(.*)", key, re.DOTALL).groups()  # type: ignore[union-attr]
        given = asked.request.get(field)
        if not sign or (given is not False if sign == "?" else bool(given)):
            wanted[name] = value
    if wanted.keys() != found.keys():
        yield f"{at}: keys {sorted(wanted)}, got {sorted(found)}"
    for name in wanted.keys() & found.keys():
        yield from _differences(wanted[name], found[name], asked, f"{at}.{name}")


def _in_list(
    expected: "list[Any]", found: "list[Any]", asked: Exchange, at: str
) -> "Iterator[str]":
    counts = {"more": max(len(found), 1), "more or none": len(found)}
    counts["each page"] = _PAGES[asked.file]
    if isinstance(expected[-1], str) and expected[-1] in counts:
        expected = [expected[0]] * counts[expected[-1]]
    if len(expected) != len(found):
        yield f"{at}: {len(expected)} entries, got {len(found)}"
    for number, (one, other) in enumerate(zip(expected, found, strict=False)):
        yield from _differences(one, other, asked, f"{at}[{number}]")


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        return b"\n"


def _is_pruned(value: Any) -> bool:
    """Whether a result of PaddleX is free of what it knows only inside the server."""
    if isinstance(value, list):
        return all(map(_is_pruned, value))
    if not isinstance(value, dict):
        return True
    return not {"input_path", "page_index"} & value.keys() and all(map(_is_pruned, value.values()))


TYPES: "Mapping[str, Callable[[Any], bool]]" = {
    "bool": lambda value: isinstance(value, bool),
    "csv": lambda value: b"," in _decoded(value).splitlines()[0],
    "docx": lambda value: _decoded(value).startswith(b"PK\x03\x04"),
    "float": lambda value: isinstance(value, float),
    "int": lambda value: type(value) is int,
    "jpeg": lambda value: _decoded(value).startswith(b"\xff\xd8\xff"),
    "object": lambda value: isinstance(value, dict) and bool(value),
    "pruned": lambda value: isinstance(value, dict) and bool(value) and _is_pruned(value),
    "png": lambda value: _decoded(value).startswith(b"\x89PNG"),
    "str": lambda value: isinstance(value, str),
}
