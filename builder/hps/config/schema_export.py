"""The schema of hps.toml for editors and for readers: JSON Schema and the reference page."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hps.config.monitor import MonitorFile
from hps.config.schema import Config

BEGIN = "<!-- begin: made from the schema by python -m hps.config.schema_export -->"
END = "<!-- end -->"
_SCHEMA_FILE = "hps.schema.json"
_PAGES: Mapping[str, type[BaseModel]] = {"hps-toml.md": Config, "monitor.md": MonitorFile}
_ORDER = (
    *("Project", "Sources", "PythonSource", "DebianSource", "LockSettings", "Target"),
    *("Monitor", "WatchedModel", "GeneralSource", "FtpSource", "HdfsSource", "AfsSource"),
    *("OciSource", "FsspecSource", "TritonServer", "PaddleServing", "ExecServer", "Accept"),
)


def json_schema(model: type[BaseModel] = Config) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of hps.toml, or of another model.

    TOML has no null and pydantic's titles repeat the keys, so both are left out.
    """
    schema = _plain(model.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:hps:schema:hps.toml:1",
        **schema,
        "title": "hps.toml",
    }


def schema_text() -> str:
    """The published file: hps.toml with `[monitor]`."""
    schema, monitor = json_schema(), json_schema(MonitorFile)
    for key in ("$defs", "properties"):
        schema[key] = {**schema[key], **monitor[key]}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {
        key: {name: _plain(item) for name, item in value.items()}
        if key in ("properties", "$defs", "patternProperties")
        else _plain(value)
        for key, value in node.items()
        if key not in ("title", "default") or (key == "default" and _says_something(value))
    }
    options = [one for one in plain.get("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        plain = {**options[0], **{key: plain[key] for key in plain if key != "anyOf"}}
    if "patternProperties" in plain:
        plain["additionalProperties"] = False
    return plain


def _says_something(default: Any) -> bool:
    """A default that is empty, absent or a whole table is seen without being told."""
    return not isinstance(default, dict) and default not in (None, [], "")


def reference(page: str, model: type[BaseModel] = Config) -> str:
    """The reference page of a model with the part between its markers made anew.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has lost its markers")
    made = "\n".join(_page(model))
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def _page(model: type[BaseModel]) -> Iterator[str]:
    definitions = json_schema(model)["$defs"]
    names = [
        *(name for name in _ORDER if name in definitions),
        *(name for name in definitions if name not in _ORDER),
    ]
    for name in names:
        yield from _section(definitions[name])


def _section(table: Mapping[str, Any]) -> Iterator[str]:
    header, _, text = " ".join(table["description"].split()).partition(": ")
    yield f"## {header}\n"
    yield f"{text[:1].upper()}{text[1:]}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    required = table.get("required", [])
    for key, node in table["properties"].items():
        if "const" in node:  # the heading says it
            continue
        default = f"`{_toml(node['default'])}`" if "default" in node else ""
        cells = (
            f"`{key}`",
            _kind(node),
            "**required**" if key in required else default,
            node["description"],
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _kind(node: Mapping[str, Any]) -> str:
    """The type of a key for people."""
    if "$ref" in node or "oneOf" in node:
        return "table"
    if "enum" in node:
        return "one of " + ", ".join(f"`{_toml(value)}`" for value in node["enum"])
    if "additionalProperties" in node:
        return "table of names"
    if node["type"] == "array":
        return f"array of {_kind(node['items']).partition(',')[0]}s"
    if node["type"] in ("integer", "number"):
        low = node.get("minimum", node.get("exclusiveMinimum"))
        top = node.get("maximum", node.get("exclusiveMaximum", 0) - 1)
        above = "" if "minimum" in node else "more than "
        return f"{node['type']}, {above}{low:.10g}" + (f" to {top:.10g}" if top > 0 else " or more")
    return "date-time with zone" if node.get("format") == "date-time" else str(node["type"])


def _toml(value: Any) -> str:
    """A default as TOML writes it (JSON and TOML agree on strings, numbers, arrays of them)."""
    return json.dumps(value, ensure_ascii=False)


def publish(folder: Path) -> None:
    """Write both files of a reference folder."""
    (folder / _SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    for name, model in _PAGES.items():
        page = folder / name
        made = reference(page.read_text(encoding="utf-8"), model)
        page.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    publish(Path("docs/reference"))
