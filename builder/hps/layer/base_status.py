"""dpkg's database of a base image with packages added: what changes, as entries of a layer."""

from collections.abc import Collection, Mapping, Sequence

from hps.layer.base_dpkg import ADMIN, INFO, STATUS, BaseDpkg, paragraphs
from hps.layer.dpkg_database import (
    FOLDERS,
    OWNER,
    Installed,
    excludes,
    info_entries,
    lines_of,
    paragraph,
    text_entry,
    triggers,
)
from hps.layer.entry import Entry


def database_over(
    base: BaseDpkg,
    packages: Sequence[Installed],
    lost: Mapping[str, Collection[str]],
    left_out: Sequence[str],
    obsolete: Mapping[str, Mapping[str, str]],
) -> list[Entry]:
    """The database of the base with these packages in it.

    Paragraphs of the base stay as they stand there and where they stand; a newer version takes
    the place of the older one, and what is new follows, sorted.

    Args:
        base: its database.
        packages: what is laid over it.
        lost: paths that packages of the base have lost to others, by package.
        left_out: folders without leading slash that were left out.
        obsolete: MD5 by path of configuration files that only an older version had, by package.
    """
    ordered = sorted(packages, key=lambda package: package.identity)
    texts = {one.identity: paragraph(one, obsolete.get(one.control.name)) for one in ordered}
    found = [text_entry(STATUS, _status(base, ordered, texts))]
    if not base.root.exists(f"{INFO}/format"):
        found.append(text_entry(f"{INFO}/format", "1\n"))
    found += [
        Entry(f"{ADMIN}/{name}", "directory", OWNER)
        for name in FOLDERS
        if not base.root.exists(f"{ADMIN}/{name}")
    ]
    for name, text in _triggers(base, ordered).items():
        found.append(text_entry(f"{ADMIN}/{name}", text))
    for package in ordered:
        found += info_entries(package)
    for name, paths in sorted(lost.items()):
        found += _shortened(base, name, paths)
    if left_out:
        found.append(text_entry("etc/dpkg/dpkg.cfg.d/hps", excludes(left_out)))
    return found


def _status(base: BaseDpkg, packages: Sequence[Installed], texts: Mapping[str, str]) -> str:
    text = (base.root.read(STATUS) or b"").decode("utf-8", "surrogateescape")
    left = {one.control.name: one for one in packages}
    blocks = []
    for one in paragraphs(text, STATUS):
        new = left.get(one.name)
        native = new is not None and (
            one.fields.get("Architecture", "all") in {"all", new.control.fields["Architecture"]}
            or new.control.fields["Architecture"] == "all"
        )
        if new is not None and native:
            blocks.append(texts[new.identity])
            del left[one.name]
        else:
            blocks.append(f"{one.text}\n")
    blocks += [texts[one.identity] for one in packages if one.control.name in left]
    return "".join(blocks)


def _triggers(base: BaseDpkg, packages: Sequence[Installed]) -> dict[str, str]:
    """Who waits for what: the base's, without those that are replaced, and the new ones."""
    coming = {one.identity for one in packages} | {one.control.name for one in packages}
    found: dict[str, list[str]] = {}
    for path in base.root.files(f"{ADMIN}/triggers"):
        name = path.removeprefix(f"{ADMIN}/")
        if name in {"triggers/Lock", "triggers/Unincorp"}:  # of a dpkg at work
            continue
        text = (base.root.read(path) or b"").decode("utf-8", "surrogateescape")
        found[name] = [
            line for line in text.splitlines() if line.split(" ")[-1].split("/")[0] not in coming
        ]
    for name, text in triggers(packages).items():
        found.setdefault(name, []).extend(text.splitlines())
    return {name: lines_of(lines) for name, lines in sorted(found.items())}


def _shortened(base: BaseDpkg, name: str, paths: Collection[str]) -> list[Entry]:
    """The list and the sums of a package that has lost some of its files."""
    stem = f"{INFO}/{base.installed[name].identity}"
    found = []
    for suffix, start in ((".list", 1), (".md5sums", 34)):
        data = base.root.read(f"{stem}{suffix}")
        if data is not None:
            lines = data.decode("utf-8", "surrogateescape").splitlines()
            kept = [line for line in lines if base.place(line[start:], name) not in paths]
            found.append(text_entry(f"{stem}{suffix}", lines_of(kept)))
    return found
