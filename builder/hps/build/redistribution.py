"""What of a target may leave this machine, and what only when it is asked for by name. Pure.

hps.toml says which artifacts may not be handed on (`redistributable`, `not-redistributable`). That
is no part of what they are, so hps.lock does not repeat it: whoever pushes, exports or shares asks
here, with the lock and hps.toml of the moment. What is made of such an artifact (its layer, its
bytecode) stays with it. A layer that holds several artifacts stays when one of them has to.
"""

import difflib
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from packaging.utils import canonicalize_name

from hps.build.sbom import BASE_REF, BOUND, weights_ref
from hps.config.schema import Config
from hps.derivation.record import Step
from hps.digest import Digest
from hps.errors import ConfigError, NotRedistributableError, UsageError
from hps.lock.records import Layer, LockedTarget, Package, Sdist
from hps.store.foreign_text import printable

Kind = Literal["archive", "base", "file", "python", "weights"]
# Inputs of steps whose bytes are found again in what comes out; the others only help to make it.
_CONTENT = ("archive", "bytecode", "file", "sdist", "wheel")
_ROLES: Mapping[str, Kind] = {
    "archive": "archive",
    "sdist": "python",
    "weights": "weights",
    "wheel": "python",
}
_LAYERS = {"archive": "archive", "file": "files", "python": "wheels", "weights": "weights"}


@dataclass(frozen=True, slots=True)
class Bound:
    """An artifact that may not be handed on without being asked for.

    Args:
        name: what `--include` takes.
        kind: which part of hps.toml it stands in.
        member: what a layer of the lock calls it.
        digests: of its bytes: one artifact, or all files of a set of weights.
        licence: as hps.toml has it.
        key: key path of hps.toml that binds it, or what else says so.
    """

    name: str
    kind: Kind
    member: str
    digests: frozenset[Digest]
    licence: str | None
    key: str

    @property
    def refs(self) -> tuple[str, ...]:
        """What stands for it in the bill of an image: see `hps.build.sbom.Said.bound`."""
        if self.kind == "base":
            return (BASE_REF,)
        if self.kind == "weights":
            return (weights_ref(self.name),)
        return tuple(sorted(digest.hex for digest in self.digests))

    def __str__(self) -> str:
        licence = f", licence {self.licence}" if self.licence else ""
        return f"{self.name} ({self.key}{licence})"


@dataclass(frozen=True, slots=True)
class Leaving:
    """What may leave, decided for one target and the names that were asked for.

    Args:
        stays: bound artifacts that nobody asked for.
        named: bound artifacts that were asked for; whoever sends them says so.
        digests: artifacts and layers (by diff_id) that stay, and the names that hold them back.
    """

    stays: tuple[Bound, ...] = ()
    named: tuple[Bound, ...] = ()
    digests: Mapping[Digest, tuple[str, ...]] = field(default_factory=dict)

    def held_by(self, digest: Digest) -> tuple[str, ...]:
        """The names that hold an artifact or layer back; none when it may leave."""
        return self.digests.get(digest, ())

    def require(self, what: str) -> None:
        """Refuse when anything stays: for what is only of use as a whole, such as an image.

        Args:
            what: is about to be done, for the error: `pushing the image lab:gpu`.

        Raises:
            NotRedistributableError: names all that holds it back, and how to ask for it.
        """
        if not self.stays:
            return
        words = " ".join(f"--include {name}" for name in dict.fromkeys(b.name for b in self.stays))
        raise NotRedistributableError(
            f"{what} would hand on what may not be redistributed",
            details=tuple(str(one) for one in self.stays),
            hint=f"if its licence lets you, say so by name: {words}",
        )


def leaving(config: Config, target: LockedTarget, include: Collection[str] = ()) -> Leaving:
    """Decide what of a target may leave this machine.

    Args:
        config: hps.toml.
        target: as it is locked.
        include: names that were asked for (`--include`); all artifacts of such a name may leave.

    Raises:
        UsageError: a name that is asked for binds nothing here.
        ConfigError: hps.toml binds a project that is not locked; a slip there would set it free.
    """
    decided = copying(bound(config, target), include, f"the target {target.name}")
    digests: dict[Digest, dict[str, None]] = {}
    for one in decided.stays:
        for digest in _holders(target, one):
            digests.setdefault(digest, {})[one.name] = None
    held = {digest: tuple(names) for digest, names in digests.items()}
    return replace(decided, digests=held)


def copying(found: Sequence[Bound], include: Collection[str], whole: str) -> Leaving:
    """Decide what may leave of what is bound, without saying which bytes hold it.

    Args:
        found: everything that is bound.
        include: names that were asked for.
        whole: what it is bound in, for the error: `the target gpu`.

    Raises:
        UsageError: a name that is asked for binds nothing here.
    """
    known = {one.name for one in found}
    for name in include:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"--include {name}: nothing of {whole} that may not be redistributed is called so",
                expected=f"one of: {', '.join(sorted(known)) or 'nothing; all of it may leave'}",
                hint=f"did you mean {near[0]}?" if near else "leave it out",
            )
    return Leaving(
        tuple(one for one in found if one.name not in include),
        tuple(one for one in found if one.name in include),
    )


def bound_inside(
    config: Config, target: LockedTarget, layers: Collection[Digest]
) -> tuple[Bound, ...]:
    """What of a target is bound and lies in some layers.

    Args:
        config: hps.toml.
        target: as it is locked.
        layers: of an image: digests of what travels, and diff_ids. Where none is the target's,
            nothing of hps.toml is asked.

    Raises:
        ConfigError: as `bound`.
    """
    below = target.base.layers if target.base else ()
    own = {one.digest for one in target.layers} | {one.digest for one in below}
    own |= {Digest(one.diff_id) for one in below}
    if own.isdisjoint(layers):
        return ()
    every = bound(config, target)
    return tuple(one for one in every if not _holders(target, one).isdisjoint(layers))


def bound_by_bill(bill: Mapping[str, Any]) -> tuple[Bound, ...]:
    """What the SBOM of an image says may not be handed on; what hps did not write says nothing.

    Args:
        bill: CycloneDX, from outside: whatever has another shape is passed over.
    """
    components = bill.get("components")
    found: dict[str, Bound] = {}
    for one in components if isinstance(components, list) else ():
        if not isinstance(one, dict) or one.get("scope") != "required":
            continue  # what is mounted or only built with is not in the image
        for value in _values(one, BOUND):
            if name := printable(value):
                kind = _kind(one)
                found[name] = Bound(name, kind, name, frozenset(), _licence(one), "its SBOM")
    return tuple(found.values())


def _values(component: Mapping[str, Any], name: str) -> Iterator[str]:
    """The values of the properties of that name."""
    properties = component.get("properties")
    for one in properties if isinstance(properties, list) else ():
        if isinstance(one, dict) and one.get("name") == name and isinstance(one.get("value"), str):
            yield one["value"]


def _kind(component: Mapping[str, Any]) -> Kind:
    if component.get("bom-ref") == BASE_REF:
        return "base"
    return next((_ROLES[role] for role in _values(component, "hps:role") if role in _ROLES), "file")


def _licence(component: Mapping[str, Any]) -> str | None:
    """The first licence that a component states."""
    stated = component.get("licenses")
    first = stated[0] if isinstance(stated, list) and stated else None
    if not isinstance(first, dict):
        return None
    named = first.get("license")
    fields = {**first, **named} if isinstance(named, dict) else first
    texts = (fields.get(key) for key in ("expression", "id", "name"))
    return next((printable(text) for text in texts if isinstance(text, str)), None)


def held_steps(steps: Iterable[Step], decided: Leaving) -> Mapping[Step, tuple[str, ...]]:
    """The steps whose outputs stay, with those that they need, and the names that hold them back.

    A step that runs in a root file system or is built by a tool does not hand these on.
    """
    found: dict[Step, dict[str, None]] = {}

    def names(step: Step) -> dict[str, None]:
        if step not in found:
            found[step] = {}
            for role, value in step.inputs.items():
                if isinstance(value, Digest):
                    held = decided.held_by(value) if _is_content(role) else ()
                else:
                    needed = names(value[0])
                    held = tuple(needed) if _is_content(role) else ()
                found[step] |= dict.fromkeys(held)
        return found[step]

    for step in steps:
        names(step)
    return {step: tuple(held) for step, held in found.items() if held}


def bound(config: Config, target: LockedTarget) -> tuple[Bound, ...]:
    """Every artifact of a target that hps.toml binds, in the order of its parts.

    Raises:
        ConfigError: a pattern of `not-redistributable` is that of no locked project.
    """
    return (
        *_base(config, target),
        *_archives(config, target),
        *_files(config, target),
        *_python(config, target),
        *_weights(config, target),
    )


def _base(config: Config, target: LockedTarget) -> Iterator[Bound]:
    settings = config.targets[target.name].base
    if settings is not None and not settings.redistributable and target.base is not None:
        digests = frozenset(one.digest for one in target.base.layers)
        digests |= {Digest(one.diff_id) for one in target.base.layers}
        key = f"targets.{target.name}.base"
        yield Bound("base", "base", "base", digests, settings.licence, key)


def _archives(config: Config, target: LockedTarget) -> Iterator[Bound]:
    locked = {one.name: one for one in target.archives}
    for one in config.targets[target.name].archives:
        if not one.redistributable and one.name in locked:
            key = f"targets.{target.name}.archives.{one.name}"
            digests = frozenset({locked[one.name].digest})
            yield Bound(one.name, "archive", one.name, digests, one.licence, key)


def _files(config: Config, target: LockedTarget) -> Iterator[Bound]:
    locked = {one.to: one for one in target.files}
    for one in config.targets[target.name].files:
        if not one.redistributable and one.to in locked:
            key = f"targets.{target.name}.files.{one.file}"
            digests = frozenset({locked[one.to].digest})
            yield Bound(one.file, "file", one.file, digests, one.licence, key)


def _python(config: Config, target: LockedTarget) -> Iterator[Bound]:
    key = f"targets.{target.name}.python.not-redistributable"
    locked: tuple[Package, ...] = (*target.wheels, *target.sdists)
    packages = {one.name: one for one in locked}
    found: set[str] = set()
    for pattern in config.targets[target.name].python.not_redistributable:
        fitting = fnmatch.filter(packages, canonicalize_name(pattern))
        if not fitting:
            raise ConfigError(
                f"{key}: no project of the target {target.name} is called {pattern}",
                expected="the name of a locked project, or a pattern that fits one",
                hint="correct it, or take it out: what it was meant for could leave unseen",
            )
        found.update(fitting)
    for name in sorted(found):
        package = packages[name]
        digests = {package.digest}
        if isinstance(package, Sdist):
            digests.add(Digest(package.wheel_sha256))
        yield Bound(name, "python", name, frozenset(digests), None, key)


def _weights(config: Config, target: LockedTarget) -> Iterator[Bound]:
    for one in target.weights:
        settings = config.weights.get(one.name)
        if settings is not None and not settings.redistributable:
            digests = {file.digest for file in target.files_of(one.name)}
            digests |= {one.archive.digest} if one.archive else set()
            key = f"weights.{one.name}"
            yield Bound(one.name, "weights", one.name, frozenset(digests), settings.licence, key)


def _holders(target: LockedTarget, one: Bound) -> frozenset[Digest]:
    """The artifact itself, and the layers that it lies in."""
    return one.digests | {layer.digest for layer in target.layers if _holds(layer, one)}


def _holds(layer: Layer, one: Bound) -> bool:
    return layer.kind == _LAYERS.get(one.kind) and one.member in layer.members


def _is_content(role: str) -> bool:
    return role.partition(":")[0] in _CONTENT
