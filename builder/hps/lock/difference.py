"""What changed between two locks: packages, digests, and the bytes that have to move."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from hps.lock.base_image import provided
from hps.lock.records import Artifact, BaseLayer, Layer, Lock, LockedBase, LockedTarget, Resolver

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One artifact of a target that differs; versions are empty where there is none."""

    target: str
    kind: str
    name: str
    change: Change
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One layer that the new lock has and the old one has not, in bytes of its tar."""

    target: str
    name: str
    old: str
    new: str
    size: int


@dataclass(frozen=True, slots=True)
class Difference:
    """All differences of two locks; `moved` and `total` are bytes of layers."""

    packages: tuple[PackageChange, ...]
    layers: tuple[LayerChange, ...]
    moved: int
    total: int


def difference(old: Lock, new: Lock) -> Difference:
    """Compare target by target; a layer that any old target has does not move."""
    packages: list[PackageChange] = []
    layers: list[LayerChange] = []
    there = {layer.diff_id for target in old.targets for layer in target.layers}
    there |= {layer.sha256 for target in old.targets for layer in _base_layers(target)}
    moved: dict[str, int] = {}
    total: dict[str, int] = {}
    for name in sorted({t.name for t in old.targets} | {t.name for t in new.targets}):
        before, after = old.target(name), new.target(name)
        if before and after:
            packages += _resolver(name, old.resolver_of(before), new.resolver_of(after))
        packages += _packages(name, before, after)
        if after is None:
            continue
        total |= {layer.diff_id: layer.size for layer in after.layers}
        below = {layer.sha256: layer.size for layer in _base_layers(after)}
        total |= below
        moved |= {sha256: size for sha256, size in below.items() if sha256 not in there}
        moved |= {one.diff_id: one.size for one in after.layers if one.diff_id not in there}
        layers += _layers(name, before.layers if before else (), after.layers)
    return Difference(tuple(packages), tuple(layers), sum(moved.values()), sum(total.values()))


def _base_layers(target: LockedTarget) -> tuple[BaseLayer, ...]:
    return target.base.layers if target.base else ()


def _resolver(target: str, old: Resolver, new: Resolver) -> Iterator[PackageChange]:
    """Who chose, where it was another; what differs then need not have been published since."""
    if old.name != new.name:
        was, is_ = (f"{one.name} {one.version}" for one in (old, new))
        yield PackageChange(target, "resolver", "python", "changed", was, is_)


def _packages(
    target: str, old: LockedTarget | None, new: LockedTarget | None
) -> Iterator[PackageChange]:
    yield from _bases(target, old.base if old else None, new.base if new else None)
    before, after = _artifacts(old), _artifacts(new)
    for kind, name in sorted(before.keys() | after.keys()):
        was, is_ = before.get((kind, name)), after.get((kind, name))
        if was is not None and is_ is not None and was.sha256 == is_.sha256:
            continue
        change: Change = "added" if was is None else "removed" if is_ is None else "changed"
        yield PackageChange(target, kind, name, change, _version(was), _version(is_))


def _bases(target: str, old: LockedBase | None, new: LockedBase | None) -> Iterator[PackageChange]:
    """The base image, and what it provides: a tag that moved brings other packages."""
    yield from _changed(target, "base", _base_image(old), _base_image(new))
    debs = [{one.name: one.version for one in base.debs} if base else {} for base in (old, new)]
    yield from _changed(target, "base-deb", *debs)
    python = [provided(base) for base in (old, new)]
    versions = [{name: one.version for name, one in found.items()} for found in python]
    yield from _changed(target, "base-python", *versions)


def _base_image(base: LockedBase | None) -> dict[str, str]:
    if base is None:
        return {}
    tag = f"{base.tag}@" if base.tag else ""
    return {f"{base.registry}/{base.repository}": f"{tag}{base.manifest[:12]}"}


def _changed(
    target: str, kind: str, old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[PackageChange]:
    for name in sorted(old.keys() | new.keys()):
        was, is_ = old.get(name, ""), new.get(name, "")
        if was != is_:
            change: Change = "changed" if was and is_ else "removed" if was else "added"
            yield PackageChange(target, kind, name, change, was, is_)


def _artifacts(target: LockedTarget | None) -> dict[tuple[str, str], Artifact]:
    if target is None:
        return {}
    found: dict[tuple[str, str], Artifact] = {}
    groups: tuple[tuple[str, Iterable[Artifact]], ...] = (
        ("deb", target.debs),
        ("build-deb", target.build_debs),
        ("python", (*target.wheels, *target.sdists)),
        ("archive", target.archives),
        ("file", target.files),
        ("weights", target.weights_files),
    )
    for kind, artifacts in groups:
        for artifact in artifacts:
            found[kind, getattr(artifact, "name", artifact.file)] = artifact
    return found


def _version(artifact: Artifact | None) -> str:
    if artifact is None:
        return ""
    return str(getattr(artifact, "version", None) or artifact.sha256[:12])


def _layers(target: str, old: Iterable[Layer], new: Iterable[Layer]) -> Iterator[LayerChange]:
    before = {layer.name: layer for layer in old}
    known = {layer.diff_id for layer in before.values()}
    for layer in new:
        if layer.diff_id not in known:
            was = before.get(layer.name)
            yield LayerChange(
                target, layer.name, was.diff_id if was else "", layer.diff_id, layer.size
            )
