"""Writes hps_client/pipelines/ and hps_client/catalogue.py from PaddleX's schemas.

python sdk/hps_client/generate.py           # writes
python sdk/hps_client/generate.py --check   # says what is out of date, exit code 1

Sources: sdk/schema/paddlex-*.json (operations, fields, results), sdk/pipelines/*/pipeline.toml
(Triton's model names, which fields are files, what asks other services) and field_docs.toml.
What it writes is already in the form of `ruff format`. Python 3.11 or later, nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import tomllib

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import module_source  # noqa: E402 - found by path
from module_source import OperationSource, PipelineSource, RecordSource  # noqa: E402
from schema_types import OPAQUE, camel, references, snake  # noqa: E402

SCHEMAS = HERE.parent / "schema"
CATALOGUE = HERE.parent / "pipelines"
PACKAGE = HERE / "hps_client"
# What changes the server's state; what costs money is `remote` in the catalogue.
SIDES = ("request", "result")
CHANGING = {"buildIndex", "addImagesToIndex", "removeImagesFromIndex"}


def sources() -> dict[str, str]:
    """Every generated file by its path below the package."""
    schema = json.loads(latest_schema().read_text(encoding="utf-8"))
    docs = tomllib.loads((HERE / "field_docs.toml").read_text(encoding="utf-8"))
    pipelines = {name: one for name, one in schema["pipelines"].items() if one["app"] == name}
    shared = shared_types(pipelines)
    version = schema["paddlex"]
    files = {
        "pipelines/__init__.py": f'"""The pipelines of PaddleX {version}, one module each."""\n',
        "pipelines/shared.py": module_source.module(
            PipelineSource("", "shared", "", version, [], list(shared.values()))
        ),
    }
    for name, described in pipelines.items():
        pipeline = read_pipeline(name, described, docs, shared, version)
        files[f"pipelines/{pipeline.module}.py"] = module_source.module(pipeline)
    listed = {
        name: (
            schema["pipelines"][one["app"]]["module"],
            one["module"] if one["app"] == name else snake(name),
            camel(class_stem(one["app"])),
        )
        for name, one in schema["pipelines"].items()
    }
    files["catalogue.py"] = module_source.catalogue(listed, version)
    return files


def latest_schema() -> Path:
    """The schema file of the newest PaddleX."""
    return max(
        SCHEMAS.glob("paddlex-*.json"),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)],
    )


def class_stem(name: str) -> str:
    """The pipeline's name where a class can begin with it."""
    return f"m_{name}" if name[0].isdigit() else name


def shared_types(pipelines: dict[str, Any]) -> dict[str, RecordSource]:
    """Types that more than one pipeline has, and that are the same everywhere."""
    seen: dict[str, dict[str, set[str]]] = {}
    for name, described in pipelines.items():
        for type_name, schema in nested_types(described).items():
            forms = seen.setdefault(type_name, {})
            forms.setdefault(json.dumps(schema, sort_keys=True), set()).add(name)
    alike = {
        name: json.loads(next(iter(forms)))
        for name, forms in seen.items()
        if len(forms) == 1 and len(next(iter(forms.values()))) > 1
    }
    kept = {
        name: schema
        for name, schema in alike.items()
        if all(inner in alike for inner in references(schema))
    }
    files = {"ImageLabelPair": "image"}
    return {
        name: RecordSource(name, kept[name], kept, files.get(name, ""))
        for name in in_order(kept, sorted(kept))
    }


def nested_types(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The types inside requests and results of one pipeline.

    Raises:
        ValueError: one name stands for two types.
    """
    found: dict[str, dict[str, Any]] = {}
    for operation in described["operations"]:
        for side in SIDES:
            for name, schema in operation[side]["schema"].get("$defs", {}).items():
                if found.setdefault(name, schema) != schema:
                    raise ValueError(f"{name} has two forms in {described['app']}")
    return found


def in_order(types: dict[str, Any], roots: list[str]) -> list[str]:
    """Names of the types that the roots need, each after those that it needs itself."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name not in types or name in OPAQUE:
            return
        for inner in references(types[name]):
            visit(inner)
        ordered.append(name)

    for name in roots:
        visit(name)
    return ordered


def read_pipeline(
    name: str,
    described: dict[str, Any],
    docs: dict[str, Any],
    shared: dict[str, RecordSource],
    version: str,
) -> PipelineSource:
    """One pipeline, from its schema and its entry in the catalogue."""
    entry = tomllib.loads((CATALOGUE / name / "pipeline.toml").read_text(encoding="utf-8"))
    listed = {operation["id"]: operation for operation in entry["operations"]}
    defs = nested_types(described)
    operations = []
    roots = sorted(references([one[side] for one in described["operations"] for side in SIDES]))
    needed = in_order(defs, [root for root in roots if root not in shared])
    records = [RecordSource(one, defs[one], defs) for one in needed if one not in shared]
    for operation in described["operations"]:
        result = operation["result"]
        operations.append(
            OperationSource(name, operation, listed[operation["id"]], docs, CHANGING, defs)
        )
        records.append(RecordSource(result["name"], result["schema"], defs))
    return PipelineSource(
        name, described["module"], camel(class_stem(name)), version, operations, records
    )


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    wanted = sources()
    (PACKAGE / "pipelines").mkdir(exist_ok=True)
    there = {f"pipelines/{path.name}" for path in (PACKAGE / "pipelines").glob("*.py")}
    stale = [
        name
        for name, text in wanted.items()
        if not (PACKAGE / name).exists() or (PACKAGE / name).read_text(encoding="utf-8") != text
    ]
    surplus = sorted(there - set(wanted))
    for name in [*stale, *surplus]:
        sys.stdout.write(f"{name}\n")
    if check:
        return 1 if stale or surplus else 0
    for name in stale:
        (PACKAGE / name).write_text(wanted[name], encoding="utf-8")
    for name in surplus:
        (PACKAGE / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
