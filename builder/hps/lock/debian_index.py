"""The Packages index of a Debian archive: read once, looked up by name and version.

Follows deb-src-control(5), "Debian Repository Format" (Packages indices) and Debian Policy 7.1
(relations between packages). Pure: bytes in, records out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hps.errors import IntegrityError, LockError

_RELATION = re.compile(r"\s*([a-z0-9][a-z0-9.+-]*)")
_RELEASE_ENTRY = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$")
_NEEDED = ("Version", "Architecture", "Filename", "Size", "SHA256")


@dataclass(frozen=True, slots=True)
class Package:
    """One stanza of a Packages index, and the suite whose index it stands in.

    `depends` are the groups of alternatives of Pre-Depends and Depends, names only; `provides`
    are the virtual packages.
    """

    name: str
    version: str
    architecture: str
    pool: str
    size: int
    sha256: str
    suite: str
    depends: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


def stanzas(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Split a Packages index, read in pieces of any size, into its stanzas."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        yield from filter(None, whole)
    if rest.strip():
        yield rest


def stanza_name(stanza: bytes) -> str:
    """The package that a stanza is about: its first field, in every archive of Debian."""
    field, _, value = stanza.lstrip(b"\n").split(b"\n", 1)[0].partition(b":")
    return value.strip().decode(errors="replace") if field == b"Package" else ""


def fields(stanza: bytes) -> dict[str, str]:
    """The fields of a stanza (deb822(5)); folded lines are joined."""
    found: dict[str, str] = {}
    last = ""
    for line in stanza.decode(errors="replace").splitlines():
        if line[:1] in (" ", "\t"):
            found[last] = f"{found.get(last, '')} {line.strip()}"
        else:
            last, _, value = line.partition(":")
            found[last] = value.strip()
    return found


def read_package(stanza: bytes, suite: str) -> Package:
    """A stanza as a record; raises LockError when a field is missing or wrong."""
    found = fields(stanza)
    name = found.get("Package", "?")
    missing = [key for key in _NEEDED if not found.get(key)]
    if missing or not found["Size"].isdecimal():
        raise LockError(
            f"the index of {suite} says too little about {name}",
            expected=", ".join(_NEEDED),
            got=f"no usable {', '.join(missing) or 'Size'}",
            hint="the archive must publish SHA256 sums; use another mirror",
        )
    relations = [found.get("Pre-Depends", ""), found.get("Depends", "")]
    return Package(
        name=name,
        version=found["Version"],
        architecture=found["Architecture"],
        pool=found["Filename"].removeprefix("./"),
        size=int(found["Size"]),
        sha256=found["SHA256"].lower(),
        suite=suite,
        depends=tuple(group for text in relations for group in relation_groups(text)),
        provides=tuple(
            name for group in relation_groups(found.get("Provides", "")) for name in group
        ),
    )


def relation_groups(text: str) -> list[tuple[str, ...]]:
    """The names in a relation field, a tuple of alternatives each: `a (>= 1) | b, c`."""
    groups = []
    for group in text.split(","):
        names = [match[1] for part in group.split("|") if (match := _RELATION.match(part))]
        if names:
            groups.append(tuple(names))
    return groups


def release_digests(release: str) -> dict[str, str]:
    """The sha256 of each index that an InRelease or Release file lists, by path.

    Raises:
        IntegrityError: it lists none.
    """
    _, found, body = release.partition("\nSHA256:")
    digests: dict[str, str] = {}
    for line in body.split("\n")[1:] if found else ():
        entry = _RELEASE_ENTRY.match(line)
        if entry is None:
            break
        digests[entry[3]] = entry[1]
    if not digests:
        raise IntegrityError(
            "a Release file lists no SHA256 sums", hint="use another mirror of the archive"
        )
    return digests


def requesters(
    packages: Sequence[Package], asked: Iterable[str], asked_by: str
) -> Mapping[str, tuple[str, ...]]:
    """Who asks for each package of a closure: `asked_by`, or the packages that depend on it.

    Of alternatives only the first that the closure holds counts, by name or as a provider.
    """
    providers: dict[str, list[str]] = {package.name: [package.name] for package in packages}
    real = frozenset(providers)
    for package in packages:
        for virtual in package.provides:
            if virtual not in real:
                providers.setdefault(virtual, []).append(package.name)
    via: dict[str, set[str]] = {name: set() for name in real}
    for name in asked:
        if name in via:  # not those that are installed already
            via[name].add(asked_by)
    for package in packages:
        for group in package.depends:
            held = next((name for name in group if name in providers), None)
            for name in providers[held] if held else ():
                if name != package.name:
                    via[name].add(package.name)
    return {name: tuple(sorted(askers)) for name, askers in via.items()}
