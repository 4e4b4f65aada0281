"""Comparing Debian version numbers (deb-version(7), "Sorting algorithm")."""

import re
from itertools import zip_longest

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_RELATION = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]*)(:[a-z0-9-]+)?"
    r"\s*(\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^)\s]+)\s*\))?"
)


def compare(left: str, right: str) -> int:
    """Negative, zero or positive as `left` is older than, equal to or newer than `right`."""
    epochs = [_epoch(version) for version in (left, right)]
    if epochs[0][0] != epochs[1][0]:
        return epochs[0][0] - epochs[1][0]
    upstream, revision = zip(*(_revision(rest) for _, rest in epochs), strict=True)
    return _compare_part(*upstream) or _compare_part(*revision)


def matches(relations: str, name: str, version: str) -> bool:
    """Whether a relationship field such as Replaces names this package in this version.

    Follows deb-control(5): `a (<< 1.2), b`. Virtual packages do not count, as in dpkg.
    """
    for relation in relations.split(","):
        match = _RELATION.fullmatch(relation.strip())
        if match is None or match["name"] != name:
            continue
        if match["operator"] is None or _holds(match["operator"], version, match["version"]):
            return True
    return False


def _holds(operator: str, version: str, wanted: str) -> bool:
    order = compare(version, wanted)
    # A lone < or > means "or equal": an old form that dpkg still reads.
    return {
        "<<": order < 0,
        "<=": order <= 0,
        "<": order <= 0,
        "=": order == 0,
        ">=": order >= 0,
        ">": order >= 0,
        ">>": order > 0,
    }[operator]


def _epoch(version: str) -> tuple[int, str]:
    epoch, colon, rest = version.partition(":")
    return (int(epoch), rest) if colon and epoch.isdecimal() else (0, version)


def _revision(version: str) -> tuple[str, str]:
    upstream, hyphen, revision = version.rpartition("-")
    return (upstream, revision) if hyphen else (version, "")


def _compare_part(left: str, right: str) -> int:
    pairs = zip_longest(_PARTS.findall(left), _PARTS.findall(right), fillvalue=("", ""))
    for (left_text, left_number), (right_text, right_number) in pairs:
        order = _compare_text(left_text, right_text) or int(left_number or 0) - int(
            right_number or 0
        )
        if order:
            return order
    return 0


def _compare_text(left: str, right: str) -> int:
    for a, b in zip_longest(left, right, fillvalue=""):
        if _weight(a) != _weight(b):
            return _weight(a) - _weight(b)
    return 0


def _weight(character: str) -> int:
    """A tilde sorts before the end, the end before letters, letters before all else."""
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
