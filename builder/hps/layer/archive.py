"""Parts of a tarball, zip or wheel at places of the image."""

import difflib
import posixpath
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from hps.archive.decompress import codec_of, damage, decompressed, window
from hps.archive.paths import Limits, safe
from hps.errors import BuildError, UnsafeArchiveError
from hps.layer import tar_reader, zip_reader
from hps.layer.entry import Entry, Kind
from hps.layer.merged_usr import merged
from hps.layer.patterns import left_out
from hps.layer.spool import Content, Spool
from hps.layer.tar_reader import Member

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # APPNOTE.TXT 4.3.7, and 4.3.16 for an empty one
_NAMES_COMPARED = 5000  # difflib takes 10 µs and more for each


class Rule(Protocol):
    """What goes where: `hps.config.target.CopyRule`."""

    @property
    def from_(self) -> str:
        """File or folder inside the archive; `.` is all of it."""

    @property
    def to(self) -> str:
        """Absolute path in the image; a file goes below it when it ends with a slash."""

    @property
    def executable(self) -> bool | None:
        """Force or clear the run bit; None keeps the archive's."""

    @property
    def exclude(self) -> Sequence[str]:
        """Patterns below `from_` that are left out."""


@dataclass(frozen=True, slots=True)
class _Archive:
    """An archive, as `archive_entries` was told of it."""

    path: Path
    file: str
    limits: Limits
    strip_components: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A member that some rule wants; `path` is without the stripped components."""

    path: str
    kind: Kind
    executable: bool
    link: str
    content: Content | None


@dataclass(slots=True)
class _Listing:
    """What one pass over an archive gave."""

    names: list[str] = field(default_factory=list)
    kinds: dict[str, Kind] = field(default_factory=dict)  # by path as in the archive
    found: dict[str, _Found] = field(default_factory=dict)  # likewise


def archive_entries(  # noqa: PLR0917 - each says something of its own
    path: Path,
    file: str,
    owner: str,
    rules: Sequence[Rule],
    strip_components: int,
    spool: Path,
    *,
    limits: Limits | None = None,
) -> list[Entry]:
    """What the rules take out of an archive; what it is, is told by its bytes, not its name.

    Contents are unpacked once into a file of `spool`, a folder that the caller removes when the
    layer is written. Links stay links when they lead to something inside the folder that their
    rule copies; hard links become files.

    Args:
        path: where the archive lies.
        file: its name, for errors.
        owner: the artifact's name.
        rules: what to copy where.
        strip_components: parts that every name loses first, as in tar(1).
        spool: a folder for unpacked contents.
        limits: how much the archive may hold.

    Returns:
        Entries sorted by path.

    Raises:
        BuildError: a rule matches nothing, or two rules give one path.
        UnsafeArchiveError: the archive is damaged, none at all, or holds what none may hold.
        StoreError: the spool's disk is full.
    """

    def wanted(name: str) -> bool:
        stripped = _stripped(name, strip_components)
        return bool(stripped) and any(_relative(stripped, rule) is not None for rule in rules)

    archive = _Archive(path, file, limits or Limits(), strip_components)
    with Spool(spool / f"{owner}.contents") as contents:
        listing = _read(archive, contents, wanted)
        missing = _missing_targets(listing)
        if missing:
            more = _read(archive, contents, missing.__contains__)
            listing.found = {**more.found, **listing.found}
    _check_shape(file, listing)
    found = _without_hard_links(file, listing)
    chosen = [one for name, one in found.items() if wanted(name)]
    inside = _by_path(file, chosen)
    entries: dict[str, Entry] = {}
    for rule in rules:
        for entry in _rule_entries(file, owner, rule, inside, listing.names):
            other = entries.setdefault(entry.path, entry)
            if other is not entry and not other.kind == entry.kind == "directory":
                raise BuildError(f"{file}: two copy rules give /{entry.path}", got=rule.from_)
    return sorted(entries.values(), key=lambda entry: entry.path.encode())


def _read(archive: _Archive, spool: Spool, wanted: Callable[[str], bool]) -> _Listing:
    listing = _Listing()
    with damage(archive.file), _members(archive) as members:
        for member in members:
            if not member.path:
                continue
            _note(archive.file, listing, member)
            stripped = _stripped(member.path, archive.strip_components)
            if stripped:
                listing.names.append(stripped)
            if wanted(member.path):
                listing.found[member.path] = _found(archive, spool, member, stripped)
    return listing


def _found(archive: _Archive, spool: Spool, member: Member, stripped: str) -> _Found:
    content = None
    if member.reader is not None:
        content = spool.add(member.reader, member.size, f"{archive.file}: {member.path}")
    return _Found(stripped, member.kind, bool(member.mode & 0o100), member.link, content)


@contextmanager
def _members(archive: _Archive) -> Iterator[Generator[Member, None, None]]:
    path, file, limits = archive.path, archive.file, archive.limits
    size = path.stat().st_size
    with window(path, 0, 6) as opened:
        head = opened.read()
    if head.startswith(_ZIP):
        with closing(zip_reader.members(path, file, limits)) as members:
            yield members
        return
    codec = codec_of(head)
    if codec == "none":
        tar_reader.check_header(path, file)
    with (
        window(path, 0, size) as packed,
        closing(decompressed(packed, codec)) as stream,
        closing(tar_reader.members(stream, file, packed=size, limits=limits)) as members,
    ):
        yield members


def _note(file: str, listing: _Listing, member: Member) -> None:
    other = listing.kinds.get(member.path)
    if other is not None and not other == member.kind == "directory":
        raise UnsafeArchiveError(f"{file} names {member.path} more than once")
    listing.kinds[member.path] = member.kind


def _stripped(path: str, count: int) -> str:
    return "/".join(path.split("/")[count:])


def _relative(path: str, rule: Rule) -> str | None:
    """The path below the rule's `from_`, "" for itself, None when the rule does not want it."""
    top = posixpath.normpath(rule.from_)
    if top == ".":
        relative = path
    elif path == top:
        return ""
    elif path.startswith(f"{top}/"):
        relative = path.removeprefix(f"{top}/")
    else:
        return None
    return None if left_out(relative, rule.exclude) else relative


def _missing_targets(listing: _Listing) -> set[str]:
    links = [one for one in listing.found.values() if one.kind == "hardlink"]
    return {one.link for one in links if one.link not in listing.found}


def _check_shape(file: str, listing: _Listing) -> None:
    """Nothing lies below a file or link: it would be written somewhere else."""
    good = {""}
    for path in listing.kinds:
        parent = posixpath.dirname(path)
        while parent not in good:
            kind = listing.kinds.get(parent, "directory")
            if kind != "directory":
                raise UnsafeArchiveError(f"{file} holds {path} below {parent}, which is a {kind}")
            good.add(parent)
            parent = posixpath.dirname(parent)


def _without_hard_links(file: str, listing: _Listing) -> dict[str, _Found]:
    found = dict(listing.found)
    for name, one in listing.found.items():
        if one.kind == "hardlink":
            target = found.get(one.link)  # an earlier member, so it is resolved already
            if target is None or target.kind != "file":
                raise UnsafeArchiveError(
                    f"{file}: {name} is a hard link to what is no earlier file", got=one.link
                )
            found[name] = replace(target, path=one.path)
    return found


def _by_path(file: str, chosen: Sequence[_Found]) -> dict[str, _Found]:
    inside: dict[str, _Found] = {}
    for one in chosen:
        other = inside.setdefault(one.path, one)
        if other is not one and not other.kind == one.kind == "directory":
            raise BuildError(
                f"{file} holds {one.path} in two folders that strip_components takes away",
                hint="use a smaller strip_components",
            )
    return inside


def _rule_entries(
    file: str, owner: str, rule: Rule, found: Mapping[str, _Found], names: Sequence[str]
) -> Iterator[Entry]:
    matches = {path: _relative(path, rule) for path in found}
    inside = {path: relative for path, relative in matches.items() if relative is not None}
    if not inside:
        raise BuildError(
            f"{file}: nothing in it matches the copy rule from {rule.from_!r}",
            details=tuple(f"it holds {name}" for name in _near(rule.from_, names)),
            hint="correct `from`, or strip_components, in hps.toml",
        )
    for path, relative in inside.items():
        one = found[path]
        link = ""
        if one.kind == "symlink":
            link = _inner_link(file, one, rule, found)
        place = _place(rule, path, relative, one.kind)
        if not place:
            continue
        run = one.executable if rule.executable is None else rule.executable
        if one.content is None:
            yield Entry(place, one.kind, owner, link=link)
        else:
            yield Entry(place, "file", owner, run, one.content.size, open=one.content.open)


def _place(rule: Rule, path: str, relative: str, kind: Kind) -> str:
    if not relative and kind == "file" and rule.to.endswith("/"):
        relative = posixpath.basename(path)
    place = posixpath.join(rule.to.strip("/"), relative).strip("/")
    return merged(safe(place)) if place else ""


def _inner_link(file: str, link: _Found, rule: Rule, found: Mapping[str, _Found]) -> str:
    """The link's target as written, when following it never leaves what the rule copies."""
    top = posixpath.normpath(rule.from_)
    here, followed = link.path, 0
    left: list[str] = []
    one: _Found | None = link
    while True:
        if one is not None and one.kind == "symlink":
            followed += 1
            here = posixpath.dirname(here)
            left += one.link.split("/")[::-1]
            if one.link.startswith("/") or followed > Limits().links:
                raise _leads_out(file, link, rule)
        if not left:
            return link.link
        part = left.pop()
        if part == "..":
            if here in {"", top}:
                raise _leads_out(file, link, rule)
            here = posixpath.dirname(here)
        else:
            here = posixpath.join(here, part) if part not in {"", "."} else here
        if top != "." and not f"{here}/".startswith(f"{top}/"):
            raise _leads_out(file, link, rule)
        one = None if part in {"", ".", ".."} else found.get(here)


def _leads_out(file: str, link: _Found, rule: Rule) -> UnsafeArchiveError:
    return UnsafeArchiveError(
        f"{file}: the link {link.path} leads out of what is copied from {rule.from_!r}",
        got=link.link,
        hint="copy the folder that holds both, or what the link leads to",
    )


def _near(wanted: str, names: Sequence[str]) -> list[str]:
    folders = {name.rpartition("/")[0] for name in names} - {""}
    known = sorted({*names, *folders})
    base = posixpath.basename(wanted)
    same = [name for name in known if posixpath.basename(name) == base]
    close = difflib.get_close_matches(wanted, known[:_NAMES_COMPARED], n=5, cutoff=0.5)
    return list(dict.fromkeys([*same[:5], *close])) or known[:5]
