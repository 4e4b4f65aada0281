"""The first hps.toml: without faults, and every comment in it true."""

import re
import tomllib

import pytest

from hps.config.load import parse
from hps.config.requirements import parse_requirements
from hps.config.scaffold import REQUIREMENTS, name_for, scaffold
from hps.config.schema import Config
from hps.config.target import Target
from hps.errors import UsageError


def test_the_scaffold_has_no_faults() -> None:
    config = parse(scaffold("demo"), "hps.toml")
    assert config.project.name == "demo"
    assert list(config.targets) == ["cpu"]
    assert config.targets["cpu"].python.requirements == ("requirements.in",)


def test_what_is_commented_out_would_be_accepted_too() -> None:
    example = re.compile(r"^# ?(?=\[|[a-z0-9-]+ = )", re.MULTILINE)
    text = example.sub("", scaffold("demo"))
    assert text != scaffold("demo")
    config = parse(text, "hps.toml")
    target = config.targets["cpu"]
    assert target.trees
    assert target.files
    assert target.keep
    assert target.build.packages
    assert config.lock.as_of
    assert config.sources.python["default"].url
    assert config.sources.debian["bookworm"].fallbacks


def test_every_section_is_shown() -> None:
    text = scaffold("demo")
    for table in (*Config.model_fields, *Target.model_fields):
        assert re.search(rf"^(# )?\[?\[?.*\b{table.replace('_', '-')}\b", text, re.MULTILINE), table


def test_the_first_requirements_are_accepted() -> None:
    good, bad = parse_requirements(REQUIREMENTS, "requirements.in")
    assert bad == []
    assert good


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a/b", 'a"', "a" * 65, "ä", "a\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="needs a name"):
        scaffold(name)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("My Models", "my-models"),
        ("hps", "hps"),
        ("", "project"),
        ("...", "project"),
        ("Ä_ß", "project"),
        ("x" * 80, "x" * 64),
        ("a" * 63 + "-b", "a" * 63),
        ("v1.2_rc", "v1.2_rc"),
    ],
)
def test_a_folder_gives_a_name(folder: str, name: str) -> None:
    assert name_for(folder) == name
    assert tomllib.loads(scaffold(name))["project"]["name"] == name
