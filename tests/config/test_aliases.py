"""An alias is a part of a variable's name: one variable means one thing."""

from typing import Any

import pytest

from hps.config.aliases import environment_name, variable_faults
from hps.config.fault import spelled
from hps.errors import ConfigError
from tests.config.documents import config


def found(document: Any) -> list[tuple[str, str]]:
    return [(spelled(one.path), one.problem) for one in variable_faults(document)]


def test_an_alias_as_part_of_a_variable_name() -> None:
    assert environment_name("my-index.2") == "MY_INDEX_2"


@pytest.mark.parametrize(
    ("alias", "variable"),
    [
        ("ca", "HPS_REGISTRY_CA"),
        ("plain-http", "HPS_REGISTRY_PLAIN_HTTP"),
        ("plain.http", "HPS_REGISTRY_PLAIN_HTTP"),
        ("plain_http", "HPS_REGISTRY_PLAIN_HTTP"),
    ],
)
def test_variables_of_hps_are_no_aliases(alias: str, variable: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(f'[sources.registries."{alias}"]\naddress = "registry.example.org"\n')
    (line,) = caught.value.details
    assert f"its environment variable {variable} is taken" in line
    assert line.startswith("hps.toml:")
    assert "call it something else" in line
    assert found({"sources": {"python": {alias: {}}}, "cache": {alias: {}}}) == []


def test_a_registry_that_only_a_base_image_names() -> None:
    """It need not be declared: its variable may be all that says where it is."""
    targets = {"cpu": {"base": {"image": "ca/team/os:1"}}, "gpu": {"base": {"image": 1}}}
    problem = "its environment variable HPS_REGISTRY_CA is taken"
    assert found({"targets": targets}) == [("targets.cpu.base.image", problem)]
    declared = {"sources": {"registries": {"ca": {}}}, "targets": targets}
    assert found(declared) == [("sources.registries.ca", problem)]
    targets = {"cpu": {"base": {"image": "my-hub/os:1"}}, "gpu": {"base": {"image": "my-hub/a:1"}}}
    assert found({"targets": targets}) == []


@pytest.mark.parametrize("alias", ["cab", "ca1", "plain", "http", "plain-https", "hub"])
def test_others_are(alias: str) -> None:
    assert found({"sources": {"registries": {alias: {}}}}) == []


@pytest.mark.parametrize(
    ("table", "variable"),
    [
        ("sources.python", "HPS_INDEX_MY_OWN"),
        ("sources.registries", "HPS_REGISTRY_MY_OWN"),
        ("cache", "HPS_CACHE_MY_OWN"),
    ],
)
def test_two_aliases_are_two_variables(table: str, variable: str) -> None:
    document: Any = {"my-own": {}, "mine": {}, "my.own": {}}
    for key in reversed(table.split(".")):
        document = {key: document}
    assert found(document) == [
        (f'{table}."my.own"', f"its environment variable {variable} is taken")
    ]


def test_a_debian_archive_has_two_variables() -> None:
    both: Any = {"sources": {"debian": {"os": {}, "os-security": {}}}}
    problem = "its environment variable HPS_DEBIAN_OS_SECURITY is taken"
    assert found(both) == [("sources.debian.os-security", problem)]
    assert found({"sources": {"debian": {"os-security": {}}}}) == []


@pytest.mark.parametrize("shape", [{}, {"sources": 1}, {"sources": {"registries": ["ca"]}}])
def test_other_shapes_are_reported_by_the_schema(shape: Any) -> None:
    assert found(shape) == []
