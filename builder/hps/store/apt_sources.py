"""Find Debian mirrors in the machine's apt configuration; parsing and choosing, no reading.

Follows sources.list(5): the one-line format and the deb822 format. Nothing is guessed: an entry
of a third party never serves as a mirror of Debian.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Archive = Literal["debian", "debian-security"]

_SCHEMES = ("https://", "http://", "file:")
# Codenames and classes of Debian; an Ubuntu or vendor suite is none of them.
_RELEASES = (
    "wheezy|jessie|stretch|buster|bullseye|bookworm|trixie|forky|duke|sid|"
    "oldoldstable|oldstable|stable|testing|unstable|experimental"
)
_MAIN = re.compile(rf"({_RELEASES})(-updates|-backports(-sloppy)?|-proposed-updates)?")
_SECURITY = re.compile(rf"({_RELEASES})(-security|/updates)")


@dataclass(frozen=True, slots=True)
class AptEntry:
    """One address and one suite of an enabled `deb` entry.

    `signed_by` is the field as written, empty when apt's trusted keyrings decide.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def parse_list(text: str) -> list[AptEntry]:
    """Read the one-line format; lines that are not understood are left out."""
    found = []
    for each in text.splitlines():
        line = each.partition("#")[0].strip()
        match = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)", line)
        if match is None:
            continue
        options = dict(_option(word) for word in _words(match[1] or ""))
        found.append(
            AptEntry(match[2], match[3], tuple(match[4].split()), options.get("signed-by", ""))
        )
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an open quote: apt would refuse the line
        return text.split()


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.rstrip("+-").lower(), value


def parse_deb822(text: str) -> list[AptEntry]:
    """Read the deb822 format (`*.sources`)."""
    found = []
    for fields in _stanzas(text):
        enabled = fields.get("enabled", "yes").strip().lower() not in {"no", "false", "0", "off"}
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        found += [
            AptEntry(
                uri,
                suite,
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", "").strip(),
            )
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def _stanzas(text: str) -> Iterator[Mapping[str, str]]:
    """Stanzas as field → value, keys in lower case (deb822(5)); comments may stand anywhere."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    fields: dict[str, str] = {}
    last = ""
    for line in (*lines, ""):
        if not line.strip():
            if fields:
                yield fields
            fields, last = {}, ""
        elif line[0] in " \t":
            if last:
                fields[last] += "\n" + line.strip()
        else:
            name, colon, value = line.partition(":")
            last = name.strip().lower() if colon else ""
            if last:
                fields[last] = value.strip()


def choose_mirrors(entries: Sequence[AptEntry], archive: Archive, suite: str) -> tuple[str, ...]:
    """The addresses that serve an archive of Debian, those that name the suite first.

    Any suite will do after that: all suites of an archive share one pool.
    """
    usable = [each for each in entries if _is_debian(each, archive)]
    usable.sort(key=lambda each: (each.suite != suite, "debian-archive" not in each.signed_by))
    return tuple(dict.fromkeys(each.uri.rstrip("/") for each in usable))


def _is_debian(entry: AptEntry, archive: Archive) -> bool:
    pattern = _SECURITY if archive == "debian-security" else _MAIN
    # Vendors use Debian's suite names too, but sign with keys of their own.
    signed = not entry.signed_by or "debian-archive" in entry.signed_by
    address = entry.uri.startswith(_SCHEMES) and "$(" not in entry.uri
    return (
        signed
        and address
        and "main" in entry.components
        and pattern.fullmatch(entry.suite) is not None
    )
