"""Debian's alternatives, from the literal calls in maintainer scripts (update-alternatives(1))."""

import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hps.archive.paths import safe
from hps.errors import UnsafeArchiveError
from hps.layer.dpkg_database import text_entry
from hps.layer.entry import Entry
from hps.layer.image_root import ImageRoot
from hps.layer.merged_usr import merged

_CALL = re.compile(r"(?:^|[\s;&|({/])update-alternatives\s(.*)")
_NAME = re.compile(r"[^\s/]+")
_FOLDER = "etc/alternatives"
_RECORDS = "var/lib/dpkg/alternatives"
_OWNER = "update-alternatives"


@dataclass(frozen=True, slots=True)
class Slave:
    """A link that follows the choice of its master."""

    link: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """One `--install LINK NAME PATH PRIORITY`, with its slaves."""

    link: str
    name: str
    path: str
    priority: int
    slaves: tuple[Slave, ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """All that is offered under one name."""

    link: str
    choices: list[Alternative] = field(default_factory=list)

    @property
    def best(self) -> Alternative:
        """The highest priority; among equals the first path, as update-alternatives sorts them."""
        return min(self.choices, key=lambda choice: (-choice.priority, choice.path))

    @property
    def slaves(self) -> Mapping[str, str]:
        """Links by name of all choices, by name."""
        links = {slave.name: slave.link for choice in self.choices for slave in choice.slaves}
        return dict(sorted(links.items()))


def parse(script: str) -> list[Alternative]:
    """The alternatives that a script installs.

    A call that is not literal (a variable, a command in it) is left out: nothing here runs shell.
    """
    lines = script.replace("\\\n", " ").splitlines()
    code = [line for line in lines if not line.lstrip().startswith("#")]
    calls = [match[1] for line in code if (match := _CALL.search(line))]
    found = [_alternative(_words(call)) for call in calls]
    return [alternative for alternative in found if alternative is not None]


def alternative_entries(
    scripts: Iterable[str], exists: Callable[[str], bool], holds: Callable[[str], bool]
) -> list[Entry]:
    """Links, and the records in /var/lib/dpkg/alternatives, of what the scripts install.

    Args:
        scripts: postinst texts; their order does not matter.
        exists: whether an absolute path of the image leads to something.
        holds: whether a path has a file or link of its own, which is never replaced.
    """
    groups: dict[str, _Group] = {}
    offered = [alternative for script in scripts for alternative in parse(script)]
    for choice in sorted(offered, key=lambda choice: (choice.name, choice.path)):
        if exists(choice.path):
            groups.setdefault(choice.name, _Group(choice.link)).choices.append(choice)
    entries: dict[str, Entry] = {}
    for name, group in groups.items():
        best = group.best
        links = [(group.link, name, best.path)]
        links += [(one.link, one.name, one.path) for one in best.slaves if exists(one.path)]
        for link, link_name, path in links:
            place = merged(safe(link.lstrip("/")))
            if not holds(place):
                entries[place] = _link(place, f"/{_FOLDER}/{link_name}")
                entries[f"{_FOLDER}/{link_name}"] = _link(f"{_FOLDER}/{link_name}", path)
        record = f"{_RECORDS}/{name}"
        entries[record] = text_entry(record, _record(group), _OWNER)
    return list(entries.values())


def alternatives_over(scripts: Iterable[str], image: ImageRoot) -> list[Entry]:
    """What scripts install into an image that has alternatives already.

    A choice that somebody made by hand stays (update-alternatives(1), "manual mode"), and so does
    a link that is something else than an alternative.

    Args:
        scripts: postinst texts of what is added; their order does not matter.
        image: with what is added.
    """
    offered = [alternative for script in scripts for alternative in parse(script)]
    entries: dict[str, Entry] = {}
    for name in sorted({choice.name for choice in offered}):
        group, manual = _known(image, name)
        new = [one for one in offered if one.name == name and image.exists(one.path)]
        for choice in sorted(new, key=lambda choice: choice.path):
            group = group or _Group(choice.link)
            group.choices[:] = [one for one in group.choices if one.path != choice.path]
            group.choices.append(choice)
        if group is None or not new:
            continue
        group.choices.sort(key=lambda choice: choice.path)
        if not manual:
            entries |= _links_over(group, name, image)
        record = f"{_RECORDS}/{name}"
        text = _record(group, "manual" if manual else "auto")
        entries[record] = text_entry(record, text, _OWNER)
    return list(entries.values())


def _links_over(group: _Group, name: str, image: ImageRoot) -> dict[str, Entry]:
    best, entries = group.best, dict[str, Entry]()
    links = [(group.link, name, best.path)]
    links += [(one.link, one.name, one.path) for one in best.slaves if image.exists(one.path)]
    for link, link_name, path in links:
        place, middle = safe(link.lstrip("/")), f"{_FOLDER}/{link_name}"
        folder = image.resolve(posixpath.dirname(place))
        place = posixpath.join(folder, posixpath.basename(place)) if folder is not None else place
        if not image.holds(place):
            entries[place] = _link(place, f"/{middle}")
        elif image.link(place) != f"/{middle}":
            continue
        if image.link(middle) != path:
            entries[middle] = _link(middle, path)
    return entries


def _known(image: ImageRoot, name: str) -> tuple[_Group | None, bool]:
    """What an image's record says of an alternative, and whether somebody chose by hand."""
    text = (image.read(f"{_RECORDS}/{name}") or b"").decode("utf-8", "surrogateescape")
    mode, link, *rest = [*text.split("\n"), "", ""]
    if mode not in {"auto", "manual"} or not link.startswith("/"):
        return None, False
    slaves: list[tuple[str, str]] = []
    while len(rest) > 1 and rest[0]:
        slaves.append((rest[0], rest[1]))
        rest = rest[2:]
    rest = rest[1:]
    group = _Group(link)
    while len(rest) > 1 + len(slaves) and rest[0]:
        paths = rest[2 : 2 + len(slaves)]
        found = [
            Slave(one[1], one[0], path) for one, path in zip(slaves, paths, strict=True) if path
        ]
        if re.fullmatch(r"[+-]?\d{1,9}", rest[1]) and image.exists(rest[0]):
            group.choices.append(Alternative(link, name, rest[0], int(rest[1]), tuple(found)))
        rest = rest[2 + len(slaves) :]
    return group, mode == "manual"


def _link(path: str, target: str) -> Entry:
    return Entry(path, "symlink", _OWNER, link=target)


def _words(call: str) -> list[str]:
    """The words of a simple command up to where the next one starts; none when not literal."""
    lexer = shlex.shlex(call, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    try:
        for word in lexer:
            if set(word) <= set("();<>|&"):
                break
            words.append(word)
    except ValueError:
        return []
    return [] if any(set(word) & set("$`*?") for word in words) else words


def _alternative(words: Sequence[str]) -> Alternative | None:
    if "--install" not in words:
        return None
    rest = list(words[words.index("--install") + 1 :])
    link, name, path, priority, *rest = [*rest, "", "", "", ""]
    slaves = []
    while rest[:1] == ["--slave"]:
        _, slave_link, slave_name, slave_path, *rest = [*rest, "", "", ""]
        slaves.append(Slave(slave_link, slave_name, slave_path))
    if not re.fullmatch(r"[+-]?\d{1,9}", priority):
        return None
    for one_link, one_name, one_path in [
        (link, name, path),
        *((slave.link, slave.name, slave.path) for slave in slaves),
    ]:
        _check(one_link, one_name, one_path)
    return Alternative(link, name, path, int(priority), tuple(slaves))


def _check(link: str, name: str, path: str) -> None:
    normal = all(
        value.startswith("/") and posixpath.normpath(value) == value for value in (link, path)
    )
    if not normal or not _NAME.fullmatch(name) or name in {".", ".."}:
        raise UnsafeArchiveError(
            "a maintainer script installs an unsafe alternative", got=f"{link} {name} {path}"
        )


def _record(group: _Group, mode: str = "auto") -> str:
    """The administrative file, as update-alternatives writes it."""
    lines = [mode, group.link]
    for name, link in group.slaves.items():
        lines += [name, link]
    lines.append("")
    for choice in group.choices:
        paths = {slave.name: slave.path for slave in choice.slaves}
        lines += [choice.path, str(choice.priority)]
        lines += [paths.get(name, "") for name in group.slaves]
    return "\n".join([*lines, "", ""])
