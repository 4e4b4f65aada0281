"""What pydantic says about a document, as faults in the words of hps.toml."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from hps.config.fault import Fault, choice, shown
from hps.config.positions import KeyPath
from hps.config.schema import Config
from hps.config.values import BASE_REFERENCE

_KINDS = {
    "bool_type": "true or false",
    "datetime_type": "a date-time such as 2025-01-31T00:00:00Z",
    "dict_type": "a table",
    "finite_number": "a number",
    "float_type": "a number",
    "int_type": "an integer",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_type": "a string",
    "tuple_type": "an array",
}
_TYPES = {"array": "an array", "object": "a table", "string": "a string"}
_BOUNDS = {
    "greater_than": ("too small", "more than {gt}"),
    "greater_than_equal": ("too small", "{ge} or more"),
    "less_than": ("too large", "less than {lt}"),
    "less_than_equal": ("too large", "{le} or less"),
    "literal_error": ("not one of the choices", "{expected}"),
    "string_too_long": ("too long", "at most {max_length} characters"),
    "string_too_short": ("empty", "text"),
    "string_pattern_mismatch": ("not allowed here", "{pattern}"),
    "too_short": ("empty", "at least {min_length} item"),
}
_NAME = "lower-case letters and digits, with . _ - between them"
PATTERNS = {
    r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$": _NAME,
    r"^[0-9a-f]{64}$": "64 lower-case hexadecimal digits",
    r"^[^/\\\x00-\x1f]{1,255}$": "a file name without a folder",
    r"^[^/\x00]": "a path that does not begin with /",
    r"^/[^\x00]*$": "a path that begins with /",
    r"^[a-z0-9][a-z0-9.+-]+$": "a Debian package name: lower-case letters, digits, + - .",
    r"^[A-Za-z0-9][A-Za-z0-9./+_-]*$": "a name as in sources.list: letters, digits, . / + _ -",
    r"^(https?|file)://[^\x00-\x20]+$": "an address that begins with https://, http:// or file://",
    r"^(https?://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9._~-]+)*/?$": "HOST[:PORT][/PATH], with https:// or http:// before it if need be",
    r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(==[A-Za-z0-9.!+_-]+)?$": "NAME or NAME==VERSION",
    r"^[A-Za-z_][A-Za-z0-9_.-]*$": "a variable name: letters, digits, _ . -",
    r"^[!-~]+$": "printable ASCII without spaces",
    r"^[^\x00]*$": "text without NUL characters",
    r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$": "letters and digits, with . _ - between them",
    r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?$": (
        "REGISTRY/NAME or REGISTRY/NAME:TAG, the name in lower case"
    ),
    r"^(https?|file|s3|oci)://[^\x00-\x20]+$": "an address that begins with https://, http://, "
    "oci://, s3:// or file://",
    r"^[1-9][0-9]{2,3}(\.[0-9]{1,3}){1,2}$": "a version of a driver, for instance 525.60.13",
    BASE_REFERENCE: "ALIAS/NAME:TAG, ALIAS/NAME@sha256:… or ALIAS/NAME:TAG@sha256:…",
    r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$": "a key path: names with . between them",
    r"^[a-z_][a-z0-9_-]{0,31}$": "at most 32 of lower-case letters, digits, _ -",
    r"^[^\x00-\x1f]*$": "text without control characters",
    r"^[^\x00]+$": "a path without NUL characters",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a variable name: letters, digits, _",
}


def faults(error: ValidationError, model: type[BaseModel] = Config) -> tuple[Fault, ...]:
    """One fault for each error of a validation of `Config`, or of another model."""
    found = (_fault(item, model) for item in error.errors(include_url=False))
    return tuple(fault for fault in found if fault is not None)


def _fault(error: Mapping[str, Any], model: type[BaseModel]) -> Fault | None:
    location: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    path, node = _described(location, model)
    kind, got, context = error["type"], shown(error["input"]), error.get("ctx", {})
    if kind == "extra_forbidden":
        known = keys(location[:-1], model)
        return Fault(path, "unknown key", hint=choice(str(path[-1]), known) or "leave it out")
    if kind in ("missing", "union_tag_not_found", "union_tag_invalid"):
        return _missing(path, node, kind, context)
    if kind == "value_error":
        return Fault(path, str(context["error"]), got=got)
    if kind == "too_short" and error["input"]:
        return None  # its items are at fault, and each is reported
    if kind in _KINDS:
        return Fault(path, "wrong type", expected=_KINDS[kind], got=got)
    problem, expected = _BOUNDS.get(kind, (str(error["msg"]), ""))
    expected = expected.format(**context).replace("'", '"')
    return Fault(path, problem, PATTERNS.get(expected, expected), got)


def _missing(
    path: KeyPath, node: Mapping[str, Any], kind: str, context: Mapping[str, Any]
) -> Fault:
    """A key is missing; or the one that says of which kind a table is, or that is wrong."""
    if kind == "missing":
        expected = _TYPES.get(node.get("type", ""), "")
        return Fault(path, "is missing", expected, hint=node.get("description", ""))
    where = (*path, node["discriminator"]["propertyName"])
    known = "one of " + ", ".join(f'"{tag}"' for tag in node["discriminator"]["mapping"])
    if "tag" not in context:
        return Fault(where, "is missing", known)
    return Fault(where, "not one of the choices", known, shown(context["tag"]))


def keys(path: KeyPath, model: type[BaseModel] = Config) -> tuple[str, ...]:
    """The keys that the table at a key path may hold."""
    return tuple(_described(path, model)[1].get("properties", {}))


@cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


def _described(location: KeyPath, model: type[BaseModel]) -> tuple[KeyPath, Mapping[str, Any]]:
    """The key path of a place that pydantic names, and what the JSON Schema says of it.

    pydantic puts the kind of a table behind its key where there are several; it is no key.
    """
    schema = _schema(model)
    node: Mapping[str, Any] = schema
    path: KeyPath = ()
    for part in location:
        node = _resolved(node, schema)
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = {"$ref": kinds[part]}
            continue
        step = node.get("items") if isinstance(part, int) else node.get("properties", {}).get(part)
        named = next(iter(node.get("patternProperties", {}).values()), None)
        node = step or named or node.get("additionalProperties") or {}
        path = (*path, part)
    return path, {
        **_resolved(node, schema),
        **{k: v for k, v in node.items() if k == "description"},
    }


def _resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    options: Iterator[Mapping[str, Any]] = iter(node.get("anyOf", [node]))
    node = next((option for option in options if option.get("type") != "null"), {})
    name = node.get("$ref", "").removeprefix("#/$defs/")
    return schema["$defs"][name] if name else node
