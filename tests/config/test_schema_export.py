"""The published schema and reference page say what the code does."""

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from hps.config.monitor import MonitorFile
from hps.config.scaffold import scaffold
from hps.config.schema import Config
from hps.config.schema_export import json_schema, publish, reference, schema_text

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
HOW = "run: python -m hps.config.schema_export"


def test_the_published_schema_is_current() -> None:
    assert (REFERENCE / "hps.schema.json").read_text(encoding="utf-8") == schema_text(), HOW


@pytest.mark.parametrize(("name", "model"), [("hps-toml.md", Config), ("monitor.md", MonitorFile)])
def test_the_reference_pages_are_current(name: str, model: type[BaseModel]) -> None:
    page = (REFERENCE / name).read_text(encoding="utf-8")
    assert reference(page, model) == page, HOW


def test_publishing_again_changes_nothing(tmp_path: Path) -> None:
    for name in ("hps.schema.json", "hps-toml.md", "monitor.md"):
        (tmp_path / name).write_bytes((REFERENCE / name).read_bytes())
    publish(tmp_path)
    for name in ("hps.schema.json", "hps-toml.md", "monitor.md"):
        assert (tmp_path / name).read_bytes() == (REFERENCE / name).read_bytes()


def test_a_page_without_markers_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="markers"):
        reference("# hps.toml\n")


def test_the_schema_has_what_editors_look_for() -> None:
    schema = json.loads(schema_text())
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"].startswith("urn:")
    assert schema["title"] == "hps.toml"
    assert '"null"' not in schema_text()


def test_every_key_stands_in_the_page_with_its_table() -> None:
    page = (REFERENCE / "hps-toml.md").read_text(encoding="utf-8")
    for table in json_schema()["$defs"].values():
        header = " ".join(table["description"].split()).partition(": ")[0]
        _, _, section = page.partition(f"## {header}\n")
        section = section.partition("\n## ")[0]
        for key in table["properties"]:
            assert f"| `{key}` | " in section, f"{header} {key}"


def test_the_schema_accepts_a_real_file_and_refuses_an_unknown_key() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(json_schema())
    document = json.loads(json.dumps(tomllib.loads(scaffold("demo")), default=str))
    assert list(validator.iter_errors(document)) == []
    document["targets"]["cpu"]["pyhton"] = {}
    document["targets"]["C U"] = document["targets"]["cpu"]
    assert len(list(validator.iter_errors(document))) >= 2
