"""The plan of a layer: which entries it holds, in order, with the conflicts settled. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hps.archive.paths import safe
from hps.digest import Digest
from hps.errors import ConflictError, UnsafeArchiveError
from hps.layer.entry import Entry

_NOBODY = "hps"  # owner of folders that only hold others


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry to write, and the files of other owners that must be the same bytes."""

    entry: Entry
    same: tuple[Entry, ...] = ()

    def compare(self, other: Entry, theirs: Digest, ours: Digest) -> None:
        """Raises ConflictError when another owner's file has other bytes."""
        if theirs != ours:
            raise _conflict(self.entry, other, str(ours), str(theirs))


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a layer below: its mode, and who owns it."""

    mode: int
    uid: int
    gid: int


def plan(
    entries: Iterable[Entry], folders: Mapping[str, Folder] | None = None
) -> Iterator[Planned]:
    """Sort by the bytes of the path, add parents, merge what is the same, settle hard links.

    Of several hard links to one file the first in order becomes the file, because a reader must
    meet the content before the links. A hard link whose target is in another layer becomes a
    file of its own.

    Args:
        entries: in any order.
        folders: those of layers below that are not as hps makes folders; a layer that only lays
            something into one of them leaves it as it is.

    Raises:
        ConflictError: two owners give one path different kinds, modes, sizes, links or owners,
            or one owner's file is another's folder.
        UnsafeArchiveError: a path that is not normalised, a hard link to nothing.
    """
    paths = _by_path(entries)
    _add_parents(paths)
    merged = {path: _merge(same) for path, same in paths.items()}
    for path, folder in (folders or {}).items():
        planned = merged.get(path)
        if planned is not None and planned.entry.kind == "directory":
            same = replace(planned.entry, mode=folder.mode, uid=folder.uid, gid=folder.gid)
            merged[path] = Planned(same)
    _settle_links(merged)
    # Code points sort as their UTF-8 bytes do; names that have none were refused by `safe`.
    return (merged[path] for path in sorted(merged))


def _by_path(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    paths: dict[str, list[Entry]] = {}
    for entry in entries:
        if safe(entry.path) != entry.path:
            raise UnsafeArchiveError(
                f"{entry.owner} brings a path that is not in its plain form",
                expected=safe(entry.path),
                got=entry.path,
            )
        if entry.kind in {"symlink", "hardlink"}:
            _check_link(entry)
        if entry.kind == "file" and entry.size and entry.open is None:
            raise ValueError(f"{entry.path} of {entry.owner} has a size but no content")
        paths.setdefault(entry.path, []).append(entry)
    return paths


def _check_link(entry: Entry) -> None:
    fault = not entry.link or "\0" in entry.link or not _encodable(entry.link)
    if fault or len(entry.link.encode()) >= 4096:  # noqa: PLR2004 - PATH_MAX of Linux
        raise UnsafeArchiveError(
            f"{entry.path} of {entry.owner} is a link to no possible path", got=repr(entry.link)
        )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_parents(paths: dict[str, list[Entry]]) -> None:
    for path in list(paths):
        parent, slash, _ = path.rpartition("/")
        while slash:
            known = paths.get(parent)
            if known is None:
                paths[parent] = [Entry(parent, "directory", _NOBODY)]
            elif known[0].kind != "directory":
                raise _conflict(known[0], paths[path][0], known[0].kind, f"folder of {path}")
            else:
                break  # its own parents are there, or will be when its turn comes
            parent, slash, _ = parent.rpartition("/")


def _merge(same: list[Entry]) -> Planned:
    if len(same) == 1:
        return Planned(same[0])
    first, *others = sorted(same, key=lambda entry: entry.owner)
    ours = _facts(first)
    for other in others:
        theirs = _facts(other)
        if theirs != ours:
            raise _conflict(first, other, ours, theirs)
    if first.kind == "directory":
        return Planned(replace(first, owner=_NOBODY))
    return Planned(first, tuple(others) if first.kind == "file" else ())


def _facts(entry: Entry) -> str:
    size = f"{entry.size} bytes, " if entry.kind == "file" else ""
    link = f"to {entry.link}, " if entry.link else ""
    return f"{entry.kind}, {size}{link}mode {entry.permissions:04o}, {entry.uid}:{entry.gid}"


def _conflict(one: Entry, other: Entry, ours: str, theirs: str) -> ConflictError:
    return ConflictError(
        f"{one.owner} and {other.owner} both bring {one.path}",
        details=(f"{one.owner}: {ours}", f"{other.owner}: {theirs}"),
        hint='say whose file stays: [[targets.NAME.keep]] path = "/…", from = "PACKAGE"',
    )


def _settle_links(merged: dict[str, Planned]) -> None:
    groups: dict[str, list[str]] = {}
    for path, planned in merged.items():
        if planned.entry.kind == "hardlink":
            target = _target(merged, path)
            if target is None:
                merged[path] = Planned(_own_file(planned.entry))
            else:
                groups.setdefault(target, [target]).append(path)
    for target, members in groups.items():
        first, *rest = sorted(members)
        content = merged[target]
        moved = replace(content.entry, path=first)
        merged[first] = Planned(moved, content.same)
        for path in rest:
            owner = merged[path].entry.owner
            merged[path] = Planned(
                replace(moved, path=path, kind="hardlink", owner=owner, link=first)
            )


def _target(merged: dict[str, Planned], path: str) -> str | None:
    """The file that a hard link leads to, through others; None when it is not in this layer."""
    seen = set()
    while (planned := merged.get(path)) is not None:
        if planned.entry.kind == "file":
            return path
        if planned.entry.kind != "hardlink" or path in seen:
            raise UnsafeArchiveError(
                f"{planned.entry.path} of {planned.entry.owner} is no target for a hard link",
                got=planned.entry.kind,
            )
        seen.add(path)
        path = planned.entry.link
    return None


def _own_file(entry: Entry) -> Entry:
    if entry.open is None:
        raise UnsafeArchiveError(
            f"{entry.path} of {entry.owner} is a hard link to nothing", got=entry.link
        )
    return replace(entry, kind="file", link="")
