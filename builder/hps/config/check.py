"""Faults of hps.toml that no single value has: names that point nowhere, keys that exclude others.

The rules read the plain document and step over whatever has the wrong shape: the schema reports
that, and one reading still reports every fault.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hps.config.aliases import variable_faults
from hps.config.fault import Fault, choice, quoted, shown
from hps.config.positions import KeyPath
from hps.config.values import BUILT_IN_LAYERS

Document = Mapping[str, Any]


def faults(document: Document) -> tuple[Fault, ...]:
    """Every fault between values of a document as `tomllib` or `model_dump` gives it."""
    sources = _table(document, "sources")
    indexes = list(_table(sources, "python")) if "python" in sources else ["default"]
    archives = list(_table(sources, "debian"))
    found = list(_snapshots(_table(sources, "debian")))
    for name in _table(document, "targets"):
        target = _table(_table(document, "targets"), name)
        path = ("targets", name)
        found += _platforms(path, target)
        found += _foundation(path, target)
        found += _aliases(path, target, indexes, archives)
        found += _origins(path, target)
        found += _repeated((*path, "python", "requirements"), target)
        found += _keeps(path, target)
        found += _names((*path, "pipelines"), target.get("pipelines"), document, "pipelines")
    found += _default_targets(document)
    found += _weights(document)
    found += _pipelines(document)
    found += _caches(document)
    found += variable_faults(document)
    return tuple(found)


def _caches(document: Document) -> Iterator[Fault]:
    for name, cache in _table(document, "cache").items():
        if isinstance(cache, Mapping) and cache.get("keys") and cache.get("policy") is not None:
            yield Fault(
                ("cache", name),
                "says twice whose traces count",
                expected="`keys` or `policy`",
                hint="a policy file lists its keys itself",
            )


def _default_targets(document: Document) -> Iterator[Fault]:
    names = _table(document, "project").get("default-targets")
    yield from _names(("project", "default-targets"), names, document, "targets")


def _weights(document: Document) -> Iterator[Fault]:
    """Weights are an archive that can be found, or a folder."""
    for name in _table(document, "weights"):
        where, weights = ("weights", name), _table(_table(document, "weights"), name)
        if weights.get("directory") is None:
            known = {**weights, "url": weights.get("url") or weights.get("fallbacks") or None}
            yield from _findable(where, known, "an archive", "directory, ")
            continue
        for key in ("file", "sha256", "path", "url", "fallbacks"):
            if weights.get(key):
                yield _out_of_place(where, key, "an archive")


def _pipelines(document: Document) -> Iterator[Fault]:
    for name in _table(document, "pipelines"):
        where, pipeline = ("pipelines", name), _table(_table(document, "pipelines"), name)
        yield from _names((*where, "weights"), pipeline.get("weights"), document, "weights")
        modules = _table(pipeline, "modules")
        for module in modules:
            yield from _names((*where, "modules", module), [modules[module]], document, "weights")
        if not pipeline.get("weights") and not modules:
            yield Fault(
                where,
                "has no weights",
                expected="`weights` or `modules`",
                hint="a pipeline without weights of its own needs no table",
            )


def _names(path: KeyPath, names: Any, document: Document, table: str) -> Iterator[Fault]:
    """Every name of a list is that of a table, and stands there once."""
    known, seen = list(_table(document, table)), dict[str, int]()
    for number, name in enumerate(names if isinstance(names, (list, tuple)) else ()):
        if isinstance(name, str) and name not in known:
            yield Fault(
                path,
                f"there is no [{table}.{name}]",
                expected=f"names of [{table}.NAME]",
                got=quoted(name),
                hint=choice(name, known) or f"declare [{table}.{name}]",
            )
        yield from _once(seen, name, path, number, "name")


def _platforms(path: KeyPath, target: Document) -> Iterator[Fault]:
    """What the image is for is said once; an index has one image for each platform."""
    several = target.get("platforms")
    if several is not None and target.get("platform") is not None:
        yield Fault(
            (*path, "platform"),
            "stands beside `platforms`",
            expected="one of the two",
            hint="name all of them in `platforms`",
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(several if isinstance(several, (list, tuple)) else ()):
        yield from _once(seen, name, (*path, "platforms", number), number, "platform")


def _foundation(path: KeyPath, target: Document) -> Iterator[Fault]:
    if target.get("base") is None and target.get("debian") is None:
        yield Fault(
            path,
            "nothing says what is below the Python packages",
            expected="`debian`, `base`, or both",
            hint="Debian packages make the whole system; a base image brings one; with both, the "
            "packages are laid over the base",
        )
    if target.get("debian") is None and _table(target, "build").get("packages"):
        yield Fault(
            (*path, "build", "packages"),
            "there is no archive to take them from",
            expected="[targets.NAME.debian] with a `source`",
            hint="its `packages` may be empty",
        )


def _aliases(
    path: KeyPath, target: Document, indexes: list[str], archives: list[str]
) -> Iterator[Fault]:
    """Every alias that is used is declared; an index is used only where something asks it."""
    source = _table(target, "debian").get("source")
    if isinstance(source, str) and source not in archives:
        yield _undeclared((*path, "debian", "source"), source, "sources.debian", archives)
    python = _table(target, "python")
    if "index" in python or python.get("requirements"):
        index = python.get("index", "default")
        if isinstance(index, str) and index not in indexes:
            yield _undeclared((*path, "python", "index"), index, "sources.python", indexes)
    for number, archive in _tables(target, "archives"):
        index = archive.get("index", "default")
        if archive.get("wheel") is not None and isinstance(index, str) and index not in indexes:
            where = (*path, "archives", number, "index")
            yield _undeclared(where, index, "sources.python", indexes)


def _undeclared(path: KeyPath, alias: str, table: str, known: list[str]) -> Fault:
    return Fault(
        path,
        "no source has this alias",
        expected=f"an alias of [{table}.ALIAS]",
        got=quoted(alias),
        hint=choice(alias, known) or f"declare [{table}.{alias}]",
    )


def _origins(path: KeyPath, target: Document) -> Iterator[Fault]:
    """An archive is a wheel or a file, and a file can be found somehow; names are given once."""
    names: dict[str, int] = {}
    for number, archive in _tables(target, "archives"):
        where = (*path, "archives", number)
        wheel, file = (archive.get(key) is not None for key in ("wheel", "file"))
        if wheel == file:
            yield Fault(
                where,
                "has both `wheel` and `file`" if wheel else "has neither `wheel` nor `file`",
                expected="exactly one of them",
                hint="a wheel comes from an index, a file from the store, a path or a url",
            )
        elif file:
            yield from _findable(where, archive)
            if archive.get("index", "default") != "default":
                yield _out_of_place(where, "index", "`wheel`")
        else:
            for key in ("sha256", "path", "url", "obtain"):
                if archive.get(key) is not None:
                    yield _out_of_place(where, key, "`file`")
        yield from _once(names, archive.get("name"), (*where, "name"), number, "archive name")
        if archive.get("name") in BUILT_IN_LAYERS:
            yield Fault(
                (*where, "name"),
                "is the name of a layer that hps makes",
                expected=f"anything but {', '.join(BUILT_IN_LAYERS)}",
                got=shown(archive["name"]),
                hint="name it after what it brings",
            )
    places: dict[str, int] = {}
    for number, record in _tables(target, "files"):
        where = (*path, "files", number)
        yield from _findable(where, record)
        yield from _once(places, record.get("to"), (*where, "to"), number, "place in the image")


def _findable(
    path: KeyPath, record: Document, what: str = "`file`", also: str = ""
) -> Iterator[Fault]:
    if all(record.get(key) is None for key in ("sha256", "path", "url")):
        yield Fault(
            path,
            f"nothing says where {what} comes from",
            expected=f"at least one of {also}sha256, path, url",
            hint="put it in the store with `hps store add FILE` and write its sha256",
        )


def _out_of_place(path: KeyPath, key: str, owner: str) -> Fault:
    return Fault((*path, key), f"belongs to {owner} only", hint="leave it out")


def _once(
    seen: dict[str, int], value: Any, path: KeyPath, number: int, what: str
) -> Iterator[Fault]:
    if isinstance(value, str) and seen.setdefault(value, number) != number:
        yield Fault(
            path,
            f"{what} used twice",
            got=quoted(value),
            hint=f"item [{seen[value]}] has it already",
        )


def _repeated(path: KeyPath, target: Document) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    files = _table(target, "python").get("requirements")
    for number, file in enumerate(files if isinstance(files, (list, tuple)) else ()):
        yield from _once(seen, file, (*path, number), number, "requirement file")


def _keeps(path: KeyPath, target: Document) -> Iterator[Fault]:
    """One rule a path, and none for the whole image: that would hide every conflict to come."""
    seen: dict[str, int] = {}
    for number, rule in _tables(target, "keep"):
        where = (*path, "keep", number, "path")
        folder = rule.get("path")
        if folder == "/":
            yield Fault(
                where,
                "would decide every conflict of the image",
                expected="a file or a folder below /",
                got=shown(folder),
                hint="name the paths that `hps lock` reports",
            )
        if isinstance(folder, str):
            yield from _once(seen, folder.rstrip("/") or "/", where, number, "path to keep")


def _snapshots(sources: Document) -> Iterator[Fault]:
    for alias in sources:
        source = _table(sources, alias)
        if source.get("snapshot") is not None and not source.get("fallbacks"):
            yield Fault(
                ("sources", "debian", alias, "snapshot"),
                "no archive is named that keeps old versions",
                expected="`fallbacks` beside it",
                hint="write fallbacks with {archive} and {time} in its addresses",
            )


def _table(document: Document, key: str) -> Document:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _tables(document: Document, key: str) -> Iterable[tuple[int, Document]]:
    value = document.get(key)
    items = value if isinstance(value, (list, tuple)) else ()
    return [(number, item) for number, item in enumerate(items) if isinstance(item, Mapping)]
