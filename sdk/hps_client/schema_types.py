"""What a JSON Schema means in Python: annotations and readers, as source text."""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass
from typing import Any

# Strings that are files: the schema does not tell them from other strings.
FILE_NAME = re.compile(r"(^image|Image|^csv)$")
FILE_MAPS = ("outputImages", "images", "markdownImages")
FILE_PARTS = {("ExportContent", "content")}
# What OpenAI's answers may hold and PaddleX's never do: read as plain JSON.
OPAQUE = {
    "Annotation",
    "ChatCompletionAudio",
    "ChatCompletionMessageCustomToolCall",
    "ChatCompletionMessageFunctionToolCall",
    "ChoiceLogprobs",
    "CompletionTokensDetails",
    "FunctionCall",
    "Moderation",
    "PromptTokensDetails",
}
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
READERS = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}


def snake(name: str) -> str:
    """The Python name of a wire name."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    cleaned = re.sub(r"[^a-z0-9]+", "_", words)
    return f"{cleaned}_" if keyword.iskeyword(cleaned) else cleaned


def camel(name: str) -> str:
    """The class name of a pipeline's name."""
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name) if word)


@dataclass(frozen=True)
class Typed:
    """One value: its annotation and its reader; `optional` when it may be missing or null."""

    annotation: str
    reader: str
    optional: bool = False


def reference(schema: dict[str, Any]) -> str | None:
    """The class that a schema refers to."""
    ref = schema.get("$ref")
    return ref.rsplit("/", 1)[1] if ref else None


def references(schema: Any) -> list[str]:
    """All classes that a schema refers to, in order."""
    if isinstance(schema, list):
        return [name for one in schema for name in references(one)]
    if not isinstance(schema, dict):
        return []
    here = reference(schema)
    return ([here] if here and here not in OPAQUE else []) + references(list(schema.values()))


def typed(  # noqa: PLR0911 - one return per kind of schema
    name: str, schema: dict[str, Any], defs: dict[str, Any], *, owner: str = "", request: bool
) -> Typed:
    """What a field holds.

    Raises:
        ValueError: the schema says something that this does not understand.
    """
    if "anyOf" in schema:
        return _union(name, schema["anyOf"], defs, owner=owner, request=request)
    ref = reference(schema)
    if ref in OPAQUE:
        return Typed("Dict[str, Any]", "records.mapping")
    if ref is not None:
        annotation = f"Union[{ref}, Mapping[str, Any]]" if request else ref
        return Typed(annotation, f"{ref}.from_wire")
    if "enum" in schema:
        values = ", ".join(json.dumps(value) for value in schema["enum"])
        return Typed(f"Literal[{values}]" if request else _base(schema), _reader(schema))
    kind = schema.get("type")
    if kind == "array":
        return _array(name, schema, defs, request=request)
    if kind == "object":
        return _object(name, schema, defs, request=request)
    if kind == "string" and is_file(owner, name) and not request:
        return Typed("OutputFile", "records.output_file")
    if kind in SCALARS:
        return Typed(SCALARS[kind], f"records.{READERS[kind]}")
    if not set(schema) - {"default"}:
        return Typed("Any", "records.anything")
    raise ValueError(f"{owner}.{name}: no Python type for {schema}")


def is_file(owner: str, name: str) -> bool:
    """Whether a string of a result is a file."""
    return bool(FILE_NAME.search(name)) or (owner, name) in FILE_PARTS


def _base(schema: dict[str, Any]) -> str:
    return SCALARS[schema["type"]]


def _reader(schema: dict[str, Any]) -> str:
    return f"records.{READERS[schema['type']]}"


def _union(
    name: str, members: list[dict[str, Any]], defs: dict[str, Any], *, owner: str, request: bool
) -> Typed:
    some = [member for member in members if member.get("type") != "null"]
    optional = len(some) < len(members)
    read = [typed(name, one, defs, owner=owner, request=request) for one in some]
    if len(read) == 1:
        return Typed(read[0].annotation, read[0].reader, optional)
    flat = []
    for one in read:
        inner = one.annotation
        parts = [inner[6:-1]] if inner.startswith("Union[") else [inner]
        flat += [part for part in parts if part not in flat]
    annotation = flat[0] if len(flat) == 1 else f"Union[{', '.join(flat)}]"
    names = [ref for ref in map(reference, some) if ref and ref not in OPAQUE]
    if len(names) == len(some):
        kinds = {defs[ref]["properties"]["type"]["const"]: ref for ref in names}
        choices = ", ".join(f"{kind}={ref}" for kind, ref in kinds.items())
        return Typed(annotation, f"records.one_of({choices})", optional)
    return Typed(annotation, "records.anything", optional)


def _array(name: str, schema: dict[str, Any], defs: dict[str, Any], *, request: bool) -> Typed:
    if "prefixItems" in schema:
        inner = [typed(name, one, defs, request=True) for one in schema["prefixItems"]]
        listed = ", ".join(one.annotation for one in inner)
        return Typed(f"Tuple[{listed}]", f"records.fixed({inner[0].reader}, {len(inner)})")
    one = typed(name, schema["items"], defs, request=request)
    outer = "Sequence" if request else "List"
    return Typed(f"{outer}[{one.annotation}]", f"records.items({one.reader})")


def _object(name: str, schema: dict[str, Any], defs: dict[str, Any], *, request: bool) -> Typed:
    inner = schema.get("additionalProperties")
    if inner is None and "patternProperties" in schema:
        inner = next(iter(schema["patternProperties"].values()))
    outer = "Mapping" if request else "Dict"
    if not isinstance(inner, dict) or not inner:
        return Typed(f"{outer}[str, Any]", "records.mapping")
    if name in FILE_MAPS:
        return Typed(f"{outer}[str, OutputFile]", "records.values(records.output_file)")
    one = typed("", inner, defs, request=request)
    key = "Any" if request else "str"  # numbers are fine as keys, they become strings
    return Typed(f"{outer}[{key}, {one.annotation}]", f"records.values({one.reader})")
