"""Locking a base image: what its tag names, fetched and read, or kept from an old lock."""

from collections.abc import Mapping
from dataclasses import replace
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


def moved_on(bench: Workbench, lock: Lock, names: tuple[str, ...]) -> list[str]:
    """A line for each target whose base has a tag that names another image by now.

    Registries that do not answer are told, and are no fault of the lock.
    """
    lines = []
    for name in names:
        config, target = bench.project.target(name), lock.target(name)
        if target is None or target.base is None or config.base is None:
            continue
        wanted = BaseName.parse(config.base.image)
        if wanted.digest is not None:
            continue
        if kept_base(wanted, target.base) is None:
            continue  # the lock is stale, which says more
        if bench.offline:
            lines.append(f"{name}: whether {wanted} has moved on was not asked (--offline)")
            continue
        try:
            now = bench.registries.names(wanted)
        except FetchError as error:
            lines.append(f"{name}: whether {wanted} has moved on is not known: {error.message}")
            continue
        if now != target.base.named:
            lines.append(_moved(name, wanted, target.base.named, now))
    return lines


def _moved(name: str, wanted: BaseName, old: Digest, new: Digest) -> str:
    return (
        f"{name}: {wanted} has moved on from {old} to {new}; the lock keeps the former, "
        "`hps lock --upgrade` takes the latter"
    )
