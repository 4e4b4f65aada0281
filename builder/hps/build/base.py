"""Locking a base image: what its tag names, fetched and read, or kept from an old lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hps.build.base_config import base_user
from hps.build.base_step import FACTS_LIMIT, base_step, read_facts
from hps.build.workbench import Workbench
from hps.config.target import Target
from hps.derivation.scheduler import Outputs
from hps.digest import Digest
from hps.errors import FetchError, LockError, OfflineError
from hps.lock.base_image import BaseName, check_facts, kept_base
from hps.lock.records import BaseDeb, BaseProject, BaseUser, Lock, LockedBase, LockedTarget


def lock_base(
    bench: Workbench, name: str, config: Target, old: LockedTarget | None
) -> LockedBase | None:
    """The base image of a target with all that it provides; its blobs are in the store then.

    Args:
        bench: the tools.
        name: of the target.
        config: of the target.
        old: the target of an earlier lock, whose base is kept while hps.toml means the same; one
            for another platform tells which index it is of. None to ask anew.

    Raises:
        OfflineError: it has to be asked for, and nothing may be fetched.
        ResolutionError, FetchError, IntegrityError: see `resolve_base`.
        LockError: it lacks what a target needs.
        UnsafeArchiveError: a layer holds what no image needs.
    """
    if config.base is None:
        return None
    wanted = BaseName.parse(config.base.image)
    base = kept_base(wanted, old.base if old else None)
    if base is not None and old is not None and old.platform != config.platform:
        wanted, base = replace(wanted, digest=Digest(base.index) if base.index else None), None
    if base is None:
        if bench.offline:
            raise OfflineError(
                f"what {wanted} names is asked of its registry, and nothing may be fetched",
                hint="leave out --offline; a base that is locked is kept without asking anyone",
            )
        bench.progress.note(f"{name}: resolving the base image {wanted}")
        base, document = bench.registries.resolve(wanted, config.platform)
        bench.store.add(document)
        bench.fetch(name, base.artifacts())
        base = _with_facts(bench, base, document, config)
    check_facts(base, name, debian=config.debian is not None)
    return base


def _with_facts(bench: Workbench, base: LockedBase, document: bytes, config: Target) -> LockedBase:
    outputs = base_outputs(bench, base, config.python_version)
    facts = read_facts(bench.store.read(outputs["facts"].digest, FACTS_LIMIT))
    return base.model_copy(
        update={
            "interpreter": facts["interpreter"],
            "glibc": facts["glibc"],
            "user": _user(document, facts, config),
            "debs": tuple(
                BaseDeb(name=one, version=version, architecture=architecture)
                for one, version, architecture in facts["debs"]
            ),
            "python": tuple(
                BaseProject(name=one, version=version, folder=folder)
                for one, version, folder in facts["python"]
            ),
        }
    )


def _user(document: bytes, facts: Mapping[str, Any], config: Target) -> BaseUser | None:
    """Who runs the base; nobody has to be known of whom hps.toml takes the place."""
    try:
        group = [(name, number) for name, number in facts["group"]]
        return base_user(document, facts["passwd"], group)
    except LockError:
        if "user" in config.image.model_fields_set:
            return None
        raise


def base_outputs(bench: Workbench, base: LockedBase, python: str) -> Outputs:
    """What the step of a base gives; its layers must be in the store."""
    step = base_step(base, python)
    return bench.scheduler().realise([step])[step]


@dataclass(frozen=True, slots=True)
class TagNow:
    """What the tag of a locked base image names today.

    Args:
        image: as hps.toml has it.
        locked: what it named when it was locked: an index, or a manifest.
        now: what it names now; None when that is not known.
        unknown: why not.
    """

    image: BaseName
    locked: Digest
    now: Digest | None
    unknown: str | None = None

    @property
    def moved(self) -> bool | None:
        """Whether it names something else by now; None when that is not known."""
        return None if self.now is None else self.now != self.locked

    def line(self) -> str | None:
        """For people, when there is anything to tell."""
        if self.now is None:
            return f"whether {self.image} has moved on {self.unknown}"
        if not self.moved:
            return None
        return (
            f"{self.image} has moved on from {self.locked} to {self.now}; the lock keeps the "
            "former, `hps lock --upgrade` takes the latter"
        )

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "image": str(self.image),
            "locked": str(self.locked),
            "now": None if self.now is None else str(self.now),
            "moved": self.moved,
            "unknown": self.unknown,
        }


def tags_now(bench: Workbench, lock: Lock, names: Sequence[str]) -> dict[str, TagNow]:
    """What the tags of base images name today, by target.

    A base that hps.toml names by digest follows no tag, and one whose lock is stale has more to
    tell: they are left out. Registries that do not answer are told, and are no fault of the lock.
    """
    found = {}
    for name in names:
        config, target = bench.project.target(name), lock.target(name)
        if target is None or target.base is None or config.base is None:
            continue
        wanted = BaseName.parse(config.base.image)
        if wanted.digest is not None or kept_base(wanted, target.base) is None:
            continue
        now, unknown = None, None
        if bench.offline:
            unknown = "was not asked (--offline)"
        else:
            try:
                now = bench.registries.names(wanted)
            except FetchError as error:
                unknown = f"is not known: {error.message}"
        found[name] = TagNow(wanted, target.base.named, now, unknown)
    return found
