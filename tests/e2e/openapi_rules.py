"""What OpenAPI 3.1 demands of a document (spec.openapis.org/oas/v3.1.0, sections 4.7 and 4.8)."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no type hints
from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]

JSON = dict[str, Any]
_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
_NAME = re.compile(r"[a-zA-Z0-9._-]+")
_STATUS = re.compile(r"[1-5](\d\d|XX)|default")


def faults(document: JSON) -> "list[str]":
    """What is wrong with a document, each with its place."""
    found = []
    if not re.fullmatch(r"3\.1\.\d+", str(document.get("openapi"))):
        found.append(f"openapi: {document.get('openapi')!r}")
    info = document.get("info", {})
    found += [f"info.{name}" for name in ("title", "version") if not _text(info.get(name))]
    for kind, parts in document.get("components", {}).items():
        found += [f"components.{kind}: {name!r}" for name in parts if not _NAME.fullmatch(name)]
    for name, scheme in document.get("components", {}).get("securitySchemes", {}).items():
        if scheme.get("type") == "http" and not scheme.get("scheme"):
            found.append(f"securitySchemes.{name}")
    for place, schema in _schemas(document):
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            found.append(f"{place}: {error.message}")
    found += [f"{place}: no {target}" for place, target in _dangling(document)]
    return [*found, *_of_operations(document)]


def _of_operations(document: JSON) -> "Iterator[str]":
    identities = set()
    for path, item in document.get("paths", {}).items():
        if not path.startswith("/"):
            yield f"paths: {path!r}"
        for method in _METHODS & item.keys():
            place = f"{method} {path}"
            operation = item[method]
            identity = operation.get("operationId")
            if identity in identities:
                yield f"{place}: another operation is called {identity} too"
            identities.add(identity)
            if not operation.get("responses"):
                yield f"{place}: no responses"
            for status, response in operation.get("responses", {}).items():
                if not _STATUS.fullmatch(status) or not _text(response.get("description")):
                    yield f"{place}: response {status}"
            for parameter in operation.get("parameters", ()):
                known = parameter.get("in") in ("query", "header", "path", "cookie")
                if not known or not _text(parameter.get("name")) or "schema" not in parameter:
                    yield f"{place}: parameter {parameter}"
            if "requestBody" in operation and not operation["requestBody"].get("content"):
                yield f"{place}: a body without content"


def _schemas(document: JSON) -> "Iterator[tuple[str, Any]]":
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        yield f"components.schemas.{name}", schema
    for place, node in _nodes(document.get("paths", {}), "paths"):
        if "schema" in node:
            yield f"{place}.schema", node["schema"]


def _dangling(document: JSON) -> "Iterator[tuple[str, str]]":
    for place, node in _nodes(document, ""):
        target = node.get("$ref")
        if isinstance(target, str):
            found: Any = document
            for step in target.removeprefix("#/").split("/"):
                found = found.get(step) if isinstance(found, dict) else None
            if found is None:
                yield place, target


def _nodes(value: Any, place: str) -> "Iterator[tuple[str, JSON]]":
    if isinstance(value, dict):
        yield place, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(inner, dict | list):
            yield from _nodes(inner, f"{place}.{key}")


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
