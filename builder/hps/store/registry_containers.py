"""Mirrors in containers-registries.conf(5), which Podman, skopeo and umoci read; parsing only.

Version 2 of the format. A name is HOST[:PORT]/NAME; the table with the longest prefix of it wins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hps.store.registry_address import is_host
from hps.store.settings_toml import parse_toml


@dataclass(frozen=True, slots=True)
class Location:
    """Where a name leads: HOST[:PORT]/NAME, and what may be asked there."""

    name: str
    insecure: bool = False
    tags: bool = True
    digests: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[registry]]`.

    Args:
        prefix: of the names it is for; `*.DOMAIN` is for all hosts below a domain.
        location: what stands in place of the prefix; empty to leave names as they are.
        blocked: names may not be fetched.
        insecure: the location may do without TLS.
        mirrors: what stands in place of the prefix before that.
    """

    prefix: str
    location: str = ""
    blocked: bool = False
    insecure: bool = False
    mirrors: tuple[Location, ...] = ()

    def part(self, name: str) -> str | None:
        """The part of a name that the prefix is for, or None."""
        if self.prefix.startswith("*."):
            host = name.partition("/")[0]
            bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
            fits = bare.endswith(self.prefix[1:]) or host.endswith(self.prefix[1:])
            return host if fits else None
        rest = name.removeprefix(self.prefix)
        return self.prefix if name.startswith(self.prefix) and rest[:1] in ("", "/") else None


@dataclass(frozen=True, slots=True)
class ContainersSettings:
    """All files together.

    Args:
        rules: one for each prefix.
        aliases: short name to HOST/NAME.
        search: hosts that are asked for names without one, in order.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ()

    def rule(self, name: str) -> Rule | None:
        """The rule for a name."""
        fitting = [each for each in self.rules.values() if each.part(name) is not None]
        return max(fitting, key=lambda each: len(each.prefix), default=None)


def places(rule: Rule, name: str) -> tuple[tuple[Location, ...], Location]:
    """Where a name may be had by its rule: mirrors, best first; then the place itself."""
    part = rule.part(name) or ""
    rest = name[len(part) :]
    mirrors = tuple(
        Location(each.name + rest, each.insecure, each.tags, each.digests) for each in rule.mirrors
    )
    return mirrors, Location((rule.location or part) + rest, rule.insecure)


def merged(files: Iterable[ContainersSettings]) -> ContainersSettings:
    """Later files win, a whole table at a time (containers-registries.conf.d(5))."""
    rules: dict[str, Rule] = {}
    aliases: dict[str, str] = {}
    search: tuple[str, ...] = ()
    for each in files:
        rules |= each.rules
        aliases |= each.aliases
        search = each.search or search
    # An empty value takes an alias of an earlier file away.
    return ContainersSettings(rules, {k: v for k, v in aliases.items() if v}, search)


def parse(text: str) -> ContainersSettings:
    """Read one file.

    Raises:
        ValueError: it is not TOML of this format.
    """
    data = parse_toml(text)
    if "registries" in data:
        raise ValueError("it is of version 1 of the format; only version 2 is understood")
    rules: dict[str, Rule] = {}
    for table in _tables(data, "registry"):
        rule = _rule(table)
        if rules.setdefault(rule.prefix, rule) != rule:
            raise ValueError(f"two different tables for the prefix {rule.prefix[:100]!r}")
    aliases = data.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(each, str) for each in aliases.values()):
        raise ValueError("aliases is not a table of strings")
    search = data.get("unqualified-search-registries", [])
    if not isinstance(search, list) or not all(isinstance(each, str) for each in search):
        raise ValueError("unqualified-search-registries is not a list of strings")
    checked = {name: value and _name(value, "an alias") for name, value in aliases.items()}
    hosts = tuple(_name(each, "unqualified-search-registries") for each in search)
    return ContainersSettings(rules, checked, hosts)


def _rule(table: Mapping[str, Any]) -> Rule:
    location = _text(table, "location")
    prefix = _text(table, "prefix") or location
    wild = prefix.startswith("*.")
    if not prefix or (not location and not wild):
        raise ValueError("a [[registry]] needs a location")
    if wild and ("/" in prefix or not is_host(prefix[2:])):
        raise ValueError(f"the prefix {prefix[:100]!r} is not of the form *.DOMAIN")
    digest_only = _flag(table, "mirror-by-digest-only")
    return Rule(
        prefix if wild else _name(prefix, "a prefix"),
        location and _name(location, "a location"),
        _flag(table, "blocked"),
        _flag(table, "insecure"),
        tuple(_mirror(each, digest_only=digest_only) for each in _tables(table, "mirror")),
    )


def _mirror(table: Mapping[str, Any], *, digest_only: bool) -> Location:
    wanted = _text(table, "pull-from-mirror")
    if wanted not in {"", "all", "digest-only", "tag-only"}:
        raise ValueError(f"unknown pull-from-mirror {wanted[:50]!r}")
    return Location(
        _name(_text(table, "location"), "a mirror's location"),
        _flag(table, "insecure"),
        tags=wanted != "digest-only" and not digest_only,
        digests=wanted != "tag-only",
    )


def _name(text: str, what: str) -> str:
    """HOST[:PORT][/NAME] without a slash at its end."""
    bare = text.rstrip("/")
    host, slash, path = bare.partition("/")
    parts = path.split("/") if slash else []
    plain = all(part and part.strip(".") and part.isascii() for part in parts)
    if not is_host(host) or not plain or not bare.isprintable() or set(path) & set(" ?#%@\\"):
        raise ValueError(f"{what} is not HOST[:PORT][/NAME]: {text[:100]!r}")
    return bare


def _tables(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{key} is not an array of tables")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a string")  # noqa: TRY004 - as tomllib does
    return value


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")  # noqa: TRY004 - as tomllib does
    return value
