"""As much of JSON Schema (draft 2020-12) as the schema of the policy uses.

The schema that is published is the one that is enforced, and the schemas of hps.toml take longer
to import than a whole policy takes to check.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES = {
    "object": (dict, "a table"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "integer": (int, "a whole number"),
}


def faults(value: object, schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """What is wrong with a value, a line for each fault.

    Args:
        value: as `tomllib` or `json` read it.
        schema: of keywords `type`, `properties`, `required`, `additionalProperties`,
            `propertyNames`, `items`, `const`, `enum`, and the bounds of text and numbers.
        where: the value's place, for messages.
    """
    place = where or "document"
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if allowed is not None and not any(
        type(value) is type(one) and value == one for one in allowed
    ):
        yield f"{place}: expected {' or '.join(map(repr, allowed))}, got {_shown(value)}"
        return
    if "type" not in schema:
        return
    kind, name = _TYPES[schema["type"]]
    if type(value) is not kind:  # a truth value is no number here
        yield f"{place}: expected {name}, got {_shown(value)}"
    elif isinstance(value, dict):
        yield from _object_faults(value, schema, where)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from faults(item, schema["items"], f"{place}.{number}")
    else:
        yield from _bound_faults(value, schema, place)


def _object_faults(
    value: Mapping[str, object], schema: Mapping[str, Any], where: str
) -> Iterator[str]:
    inner = f"{where}." if where else ""
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{inner}{key}: it is missing"
    for key, item in value.items():
        yield from faults(key, schema.get("propertyNames", {}), f"the name {inner}{key[:100]}")
        if key not in known and rest is False:
            yield f"{inner}{key[:100]}: there is no such field"
        else:
            yield from faults(item, known.get(key, rest), f"{inner}{key[:100]}")


def _bound_faults(value: object, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, str):
        least, most, unit = schema.get("minLength", 0), schema.get("maxLength"), " characters"
        size = len(value)
    elif isinstance(value, int):
        least, most, unit = schema.get("minimum"), schema.get("maximum"), ""
        size = value
    else:
        return
    if (least is not None and size < least) or (most is not None and size > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        yield f"{place}: expected {bounds}{unit}, got {_shown(size)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"  # noqa: PLR2004 - a line of people
