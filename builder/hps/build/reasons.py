"""Why an artifact is in an image: the chain from its lock entry to what hps.toml says. Pure."""

from collections.abc import Iterator, Sequence

from hps.config.target import Target
from hps.lock.base_image import BASE_LAYER
from hps.lock.records import Deb, LockedBase, LockedTarget, LockedWeights, Package

_DEPTH = 12


def reasons(
    locked: LockedTarget | None, config: Target, owner: str, layer: str = ""
) -> tuple[str, ...]:
    """Lines for people: the lock entry of an owner, then who asked for it, up to hps.toml.

    Args:
        locked: what hps.lock says of the target.
        config: what hps.toml says of it.
        owner: an artifact's name, or `hps`.
        layer: where the path is; tells a Debian package from a Python one of the same name.
    """
    if locked is None:
        return ()
    if locked.base is not None and layer == BASE_LAYER:
        return _of_base(locked.base, owner)
    kinds: dict[str, str] = {one.name: one.kind for one in locked.layers}
    kinds["trees"] = "trees"  # made at each build, so hps.lock does not know it
    known = list(_entries(locked, config, owner))
    fitting = [lines for kind, lines in known if kind == kinds.get(layer)]
    others = [lines for _, lines in known]
    return next(iter((*fitting, *others)), _made(owner))


def _of_base(base: LockedBase, owner: str) -> tuple[str, ...]:
    """A path of the base image: whose it is there, and which image that is."""
    whole = (f"base image {base.reference}", "asked for by hps.toml")
    for deb in base.debs:
        if deb.name == owner:
            return (f"Debian package {deb.name} {deb.version} of the base image", *whole)
    return whole


def _made(owner: str) -> tuple[str, ...]:
    return ("made by hps",) if owner == "hps" else (f"made by hps for {owner}",)


def _entries(
    locked: LockedTarget, config: Target, owner: str
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Everything of that name, with the kind of layer that it is laid down in."""
    groups: tuple[tuple[str, str, tuple[Deb | Package, ...]], ...] = (
        ("debian", "Debian package", locked.debs),
        ("wheels", "Python package", (*locked.wheels, *locked.sdists)),
    )
    for kind, word, group in groups:
        for one in group:
            if one.name == owner:
                yield kind, (_entry(word, one), *_chain(group, one))
    asked = "asked for by hps.toml"
    for archive in locked.archives:
        if archive.name == owner:
            yield "archive", (f"archive {archive.file}, sha256:{archive.sha256}", asked)
    for file in locked.files:
        if file.file == owner:
            yield "files", (f"file {file.file}, sha256:{file.sha256}", asked)
    yield from (("weights", _weights(locked, one)) for one in locked.weights if one.name == owner)
    for tree in config.trees:
        if tree.from_ == owner:
            yield "trees", (f"tree {tree.from_} of this project", asked)


def _weights(locked: LockedTarget, weights: LockedWeights) -> tuple[str, ...]:
    """The entry of a set of weights, then every module that loads it."""
    archive = weights.archive
    where = f"{archive.file}, sha256:{archive.sha256}" if archive else "a folder of this project"
    users = [
        f"for {pipeline.name}, module {module}"
        for pipeline in locked.pipelines
        for module, name in pipeline.modules
        if name == weights.name
    ]
    return (
        f"weights {weights.name} (model {weights.model}): {where}",
        *users,
        "asked for by hps.toml",
    )


def _entry(word: str, one: Deb | Package) -> str:
    return f"{word} {one.name} {one.version}: {one.file}, sha256:{one.sha256}"


def _chain(group: Sequence[Deb | Package], start: Deb | Package) -> tuple[str, ...]:
    """The shortest way from an artifact to something that was asked for by name."""
    by_name = {one.name: one for one in group}
    ways: list[tuple[str, ...]] = [(start.name,)]
    seen = {start.name}
    for _ in range(_DEPTH):
        longer: list[tuple[str, ...]] = []
        for way in ways:
            for asker in by_name[way[-1]].via:
                if asker not in by_name:
                    return tuple(f"asked for by {name}" for name in (*way[1:], asker))
                if asker not in seen:
                    seen.add(asker)
                    longer.append((*way, asker))
        ways = longer
    return ()
