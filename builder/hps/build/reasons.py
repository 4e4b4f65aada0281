"""Why an artifact is in an image: the chain from its lock entry to what hps.toml says. Pure."""

from collections.abc import Sequence

from hps.config.schema import Target
from hps.lock.records import Deb, LockedTarget, Package

_DEPTH = 12


def reasons(locked: LockedTarget | None, config: Target, owner: str) -> tuple[str, ...]:
    """Lines for people: the lock entry of an owner, then who asked for it, up to hps.toml."""
    if locked is None:
        return ()
    groups: tuple[tuple[tuple[Deb | Package, ...], str], ...] = (
        (locked.debs, "Debian package"),
        ((*locked.wheels, *locked.sdists), "Python package"),
    )
    for group, word in groups:
        found = next((one for one in group if one.name == owner), None)
        if found is not None:
            return (_entry(word, found), *_chain(group, found))
    for archive in locked.archives:
        if archive.name == owner:
            return (f"archive {archive.file}, sha256:{archive.sha256}", "asked for by hps.toml")
    for file in locked.files:
        if file.file == owner:
            return (f"file {file.file}, sha256:{file.sha256}", "asked for by hps.toml")
    for tree in config.trees:
        if tree.from_ == owner:
            return (f"tree {tree.from_} of this project", "asked for by hps.toml")
    return (f"made by hps for {owner}",)


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
