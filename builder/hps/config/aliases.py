"""Names of environment variables that an alias of hps.toml stands for, each for one thing. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hps.config.fault import Fault
from hps.config.positions import KeyPath

# Tables of hps.toml with an alias or name below, and what the variables of each begin with.
_PREFIXES: Mapping[tuple[str, ...], str] = {
    ("sources", "python"): "HPS_INDEX_",
    ("sources", "debian"): "HPS_DEBIAN_",
    ("sources", "registries"): "HPS_REGISTRY_",
    ("cache",): "HPS_CACHE_",
}
SECURITY = "_SECURITY"  # behind the variable of a Debian archive: that of its security archive
# Variables that mean something else already (docs/reference/cli.md, `hps push`).
_TAKEN = {
    "HPS_REGISTRY_CA": "a file of certificates",
    "HPS_REGISTRY_PLAIN_HTTP": "a switch",
}


def environment_name(alias: str) -> str:
    """An alias as a part of the name of an environment variable: `my-index` is MY_INDEX."""
    return re.sub(r"[^A-Z0-9]", "_", alias.upper())


def variable_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Aliases whose variable belongs to something else, or to an earlier alias of their kind.

    One that is set for the one thing would be read for the other, and nobody would see why.

    Args:
        document: as `tomllib` or `model_dump` gives it; other shapes are stepped over.
    """
    for table, prefix in _PREFIXES.items():
        owners: dict[str, str] = {}
        for alias, where in _aliases(document, table):
            for name in _variables(prefix, alias):
                if name in _TAKEN:
                    yield _fault(where, name, f"hps reads {_TAKEN[name]} there")
                elif (owner := owners.setdefault(name, alias)) != alias:
                    yield _fault(where, name, f"the alias {owner} has it already")


def _aliases(document: Mapping[str, Any], table: tuple[str, ...]) -> Iterator[tuple[str, KeyPath]]:
    """The aliases of a table; registries of base images need not be declared."""
    declared = _below(document, *table)
    for alias in declared:
        yield alias, (*table, alias)
    if table == ("sources", "registries"):
        for target in _below(document, "targets"):
            image = _below(document, "targets", target, "base").get("image")
            alias = image.partition("/")[0] if isinstance(image, str) else ""
            if alias and alias not in declared:
                yield alias, ("targets", target, "base", "image")


def _below(document: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """A table; empty when there is none of that shape."""
    found: Any = document
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _variables(prefix: str, alias: str) -> tuple[str, ...]:
    own = prefix + environment_name(alias)
    return (own, own + SECURITY) if prefix == "HPS_DEBIAN_" else (own,)


def _fault(path: KeyPath, variable: str, why: str) -> Fault:
    return Fault(
        path,
        f"its environment variable {variable} is taken",
        expected="an alias whose variable nothing else reads",
        got=why,
        hint="call it something else, here and where it is used",
    )
