"""The pages of docs/reference that are made from the code are what the code says."""

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from hps.lock.records import (
    Artifact,
    Deb,
    Layer,
    Lock,
    LockedArchive,
    LockedFile,
    LockedPipeline,
    LockedTarget,
    LockedWeights,
    Record,
    Resolver,
    Sdist,
    WeightsFile,
    Wheel,
)
from hps.trust.policy_schema import SCHEMA
from tests.docs import errors_page as made
from tests.docs.errors_page import errors_page, reasons_page
from tests.docs.pages import cli_page, verdict_page
from tests.docs.pipelines_page import pipelines_page

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cli.md", cli_page),
        ("errors.md", errors_page),
        ("pipelines.md", pipelines_page),
        ("reasons.md", reasons_page),
        ("verdict.md", verdict_page),
    ],
    ids=["cli", "errors", "pipelines", "reasons", "verdict"],
)
def test_made_pages_are_current(name: str, make: Callable[[], str]) -> None:
    page = REFERENCE / name
    if os.environ.get("HPS_WRITE_DOCS"):
        page.write_text(make(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == make(), "HPS_WRITE_DOCS=1 pytest tests/docs"


def test_every_verb_and_every_error_is_on_its_page() -> None:
    for verb in "init lock build run load why diff graph export key sign assemble store".split():
        assert f"\n## hps {verb}\n" in cli_page()
    page = errors_page()
    references = [one.reference for one in made.errors()]
    assert len(set(references)) == len(references) > 35
    assert all(f"| `{reference}` | " in page for reference in references)


def test_every_error_class_of_the_tree_is_found() -> None:
    """Also those of rooms that nobody imports before the page is made."""
    pattern = re.compile(
        r"^    reference(?:: ClassVar\[str\])? = (?:\"[a-z-]+\"|_[A-Z]+)$", re.MULTILINE
    )
    named = [
        line
        for path in (ROOT / "builder" / "hps").rglob("*.py")
        for line in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(named) == len(made.errors())


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("The file", SCHEMA),
        ("`[keys.NAME]`", SCHEMA["properties"]["keys"]["additionalProperties"]),
        ("`[[require]]`", SCHEMA["properties"]["require"]["items"]),
    ],
)
def test_the_page_of_the_policy_names_every_field(heading: str, table: dict[str, Any]) -> None:
    section = _section((REFERENCE / "policy.md").read_text(encoding="utf-8"), heading)
    named = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(named) == sorted(table["properties"])


def test_the_page_of_attacks_names_tests_that_are_there() -> None:
    page = (ROOT / "docs" / "explanation" / "attacks.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w*)`", page)
    assert len(named) > 50
    for path, name in named:
        assert f"\ndef {name}" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_every_numbered_attack_is_on_its_page() -> None:
    page = (ROOT / "docs" / "explanation" / "attacks.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line[:1] == "|"}
    numbers = [int(each) for each in rows if each.isdecimal()]
    assert sorted(numbers) == list(range(1, 39))
    for path in (ROOT / "tests" / "attacks").glob("test_*.py"):
        for number in set(re.findall(r"\ndef test_(\d+)_", path.read_text(encoding="utf-8"))):
            assert f"{path.name}::test_{number}`" in rows[number]


@pytest.mark.parametrize(
    ("heading", "record"),
    [
        ("The file", Lock),
        ("`[resolver]`", Resolver),
        ("`[[targets]]`", LockedTarget),
        ("Every artifact", Artifact),
        ("`wheels`", Wheel),
        ("`sdists`", Sdist),
        ("`debs` and `build-debs`", Deb),
        ("`archives`", LockedArchive),
        ("`files`", LockedFile),
        ("`weights`", LockedWeights),
        ("`weights-files`", WeightsFile),
        ("`pipelines`", LockedPipeline),
        ("`layers`", Layer),
    ],
)
def test_the_page_of_the_lock_names_every_field(heading: str, record: type[Record]) -> None:
    section = _section((REFERENCE / "hps-lock.md").read_text(encoding="utf-8"), heading)
    named = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    inherited = Artifact.model_fields if record is not Artifact else {}
    own = [
        name.replace("_", "-")
        for name in record.model_fields
        if not (issubclass(record, Artifact) and name in inherited)
    ]
    assert sorted(named) == sorted(own)


def test_the_page_of_dependencies_lists_exactly_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (REFERENCE / "dependencies.md").read_text(encoding="utf-8")
    groups = {"hps": project["dependencies"], **project["optional-dependencies"]}
    for group, wanted in groups.items():
        section = _section(text, f"`{group}`" if group == "hps" else f"`hps[{group}]`")
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        named = {line.split("`")[1] for line in rows}
        assert named == {Requirement(one).name for one in wanted} - {"hps"}, group
        assert all(cell.strip() for row in rows for cell in row.strip("|").split("|"))


def _section(text: str, heading: str) -> str:
    _, mark, rest = text.partition(f"\n## {heading}\n")
    assert mark, f"no section {heading}"
    return rest.split("\n## ")[0]
