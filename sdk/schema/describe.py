"""Prints the serving schemas of the PaddleX that runs this file, as JSON.

Run it under the Python that holds PaddleX: the image's, or any other with the same wheels. It
imports PaddleX and the standard library alone. What it prints is one source for the catalogue's
test, for the client's types and for the docs.

The operations are read from the applications that PaddleX serves itself, not from its tables:
what an application does not route, nobody can call. The fields are JSON Schema (draft 2020-12)
as pydantic writes it, without titles and descriptions. `properties` keep the order of the class,
all other keys are sorted. `required` of a result names the fields that every answer holds: fields
that are null are left out of answers.
"""

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import paddlex
from paddlex.inference.serving import name_mappings, schemas
from paddlex.inference.serving.basic_serving import create_pipeline_app

# Indexes in memory: no folder is made.
SERVING = {"extra": {"index_storage": {"type": "memory"}}}
SAID_BY_CLASSES = ("description", "title")


class NoPipeline:
    """Stands where an application expects its pipeline: only the routes are read.

    Some applications prepare their pipeline while they are made; here that does nothing.
    """

    def __getattr__(self, name: str) -> Any:
        """Any method, doing nothing."""
        return lambda *_args, **_kwargs: None


def plain(schema: Any) -> Any:
    """A JSON Schema without prose, its keys sorted.

    The keys of `properties` and `$defs` are names and no keywords.
    """
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key in sorted(schema):
        if key == "properties":
            kept[key] = {name: plain(field) for name, field in schema[key].items()}
        elif key == "$defs":
            kept[key] = {name: plain(schema[key][name]) for name in sorted(schema[key])}
        elif key in ("default", "const", "enum", "examples"):
            kept[key] = schema[key]
        elif key not in SAID_BY_CLASSES:
            kept[key] = plain(schema[key])
    return kept


def model(class_: Any) -> dict[str, Any]:
    """One pydantic class: its name and its schema."""
    return {"name": class_.__name__, "schema": plain(class_.model_json_schema())}


def result_class(answer: Any) -> tuple[Any, bool]:
    """The class of a result, and whether PaddleX wraps it in its envelope."""
    fields = answer.model_fields
    if {"logId", "errorCode", "errorMsg", "result"} <= set(fields):
        return fields["result"].annotation, True
    return answer, False


def operations(name: str, app: Any, table: dict[str, Any]) -> list[dict[str, Any]]:
    """The operations of an application, in the order of PaddleX's table.

    A function with two routes is one operation: the table has its endpoint, the others are
    aliases.

    Raises:
        SystemExit: The application and the table contradict each other.
    """
    primary = {endpoint for endpoint, _, _ in table.values()}
    functions: dict[Any, list[Any]] = {}
    for route in app.routes:
        if "POST" in getattr(route, "methods", ()):
            functions.setdefault(route.endpoint, []).append(route)
    found: dict[str, dict[str, Any]] = {}
    for function, routes in functions.items():
        named = [route for route in routes if route.path in primary]
        if len(named) != 1:
            sys.exit(f"{name}: {sorted(route.path for route in routes)}: not in {primary}")
        request = function.__annotations__["request"]
        result, enveloped = result_class(named[0].response_model)
        found[named[0].path] = {
            "aliases": sorted(route.path for route in routes if route is not named[0]),
            "endpoint": named[0].path,
            "enveloped": enveloped,
            "id": named[0].operation_id,
            "request": model(request),
            "result": model(result),
        }
    if primary - set(found):
        sys.exit(f"{name}: no route for {sorted(primary - set(found))}")
    return [found[endpoint] for endpoint, _, _ in table.values()]


def pipeline_names() -> list[str]:
    """Every pipeline that has a configuration and an application.

    Raises:
        SystemExit: A schema module belongs to no pipeline.
    """
    module_files = Path(schemas.__file__).parent.glob("*.py")
    modules = {path.stem for path in module_files} - {"__init__"}
    names = []
    for path in sorted((Path(paddlex.__file__).parent / "configs" / "pipelines").glob("*.yaml")):
        stated = re.search(
            r"^pipeline_name: *(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        name = stated[1] if stated else path.stem
        if name_mappings.pipeline_name_to_mod_name(name) in modules:
            names.append(name)
    unknown = modules - {name_mappings.pipeline_name_to_mod_name(name) for name in names}
    if unknown:
        sys.exit(f"schemas without a pipeline: {sorted(unknown)}")
    return sorted(names)


def describe(name: str) -> dict[str, Any]:
    """One pipeline: its schema module, whose application serves it, and its operations."""
    module = name_mappings.pipeline_name_to_mod_name(name)
    table = importlib.import_module(f"{schemas.__name__}.{module}").PRIMARY_OPERATIONS
    app = create_pipeline_app(NoPipeline(), {"pipeline_name": name, "Serving": dict(SERVING)})
    return {
        "app": name_mappings.PIPELINE_APP_ROUTER.get(name, name),
        "module": module,
        "operations": operations(name, app, table),
    }


def main() -> None:
    """Writes the description of all pipelines to standard output."""
    pipelines = {name: describe(name) for name in pipeline_names()}
    document = {"paddlex": paddlex.__version__, "pipelines": pipelines}
    sys.stdout.write(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
