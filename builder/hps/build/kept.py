"""What of an old lock still holds: the choices of a resolver whose inputs mean the same. Pure.

`hps lock` does not ask a resolver again for what nobody changed: the choice would only differ by
what was published since, and that is what `--upgrade` is for.
"""

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hps.config.platforms import base_name
from hps.config.target import Target
from hps.errors import UsageError
from hps.lock.records import LockedTarget

# Key paths below targets.NAME, or of the whole file, that decide a resolver's answer.
_DEBIAN = (
    *("base.image", "debian.packages", "debian.source", "build.packages"),
    *("platform", "python-version"),
)
_PYTHON = ("python.index", "python.sdists", "python.prerelease")
_SHARED = ("sources.debian.",)
_TIMES = ("requirements", "lock.as-of", "lock.source-date-epoch")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Which pins of the old lock are not kept: all, or those of some packages."""

    everything: bool = False
    packages: frozenset[str] = frozenset()

    def choice(self) -> Literal["none", "all"] | frozenset[str]:
        """In the words of the resolvers."""
        return "all" if self.everything else (self.packages or "none")

    def names(self, project: str) -> bool:
        """Whether a Python project is chosen anew, however its name is spelled."""
        asked = {canonicalize_name(name) for name in self.packages}
        return self.everything or canonicalize_name(project) in asked


def keeps_debs(old: LockedTarget, now: Mapping[str, str], upgraded: Collection[str]) -> bool:
    """Whether the Debian packages of an old lock are still what would be asked for.

    Args:
        old: the target as it was locked.
        now: the meaning of hps.toml by key path, as in `LockedTarget.inputs`.
        upgraded: names of packages that are to be chosen anew.
    """
    debs = {deb.name for deb in (*old.debs, *old.build_debs)}
    python = {canonicalize_name(name) for name in _projects(old)}
    strangers = {name for name in upgraded if canonicalize_name(name) not in python}
    return debs.isdisjoint(upgraded) and not strangers and _same(old, now, _is_debian)


def keeps_python(
    old: LockedTarget, now: Mapping[str, str], upgraded: Collection[str], glibc: str
) -> bool:
    """Whether the Python packages of an old lock are; `glibc` is that of the Debian packages."""
    debs = {deb.name for deb in (*old.debs, *old.build_debs)}
    return set(upgraded) <= debs and glibc == old.glibc and _same(old, now, _is_python)


def asked_for(config: Target, requirements: Collection[str]) -> frozenset[str]:
    """The packages that hps.toml and the requirement files of a target name themselves."""
    archives = [one.wheel for one in config.archives if one.wheel]
    python = [*requirements, *config.python.sdists, *archives]
    projects = {canonicalize_name(Requirement(text).name) for text in python}
    debian = config.debian.packages if config.debian else ()
    return frozenset(projects | {*debian, *config.build.packages})


def check_upgraded(
    upgraded: Collection[str], targets: Collection[LockedTarget], asked: Collection[str]
) -> None:
    """Refuse to upgrade what is in no target, which would be nothing done without a word.

    Args:
        upgraded: names of packages that are to be chosen anew.
        targets: as they are locked.
        asked: what hps.toml asks for, also when it is not locked yet; see `asked_for`.

    Raises:
        UsageError: with the names that are closest.
    """
    debs = {deb.name for one in targets for deb in (*one.debs, *one.build_debs)}
    projects = {canonicalize_name(name) for one in targets for name in _projects(one)}
    known = debs | projects | {*asked}
    python = known - debs  # a project's name may be spelled in many ways, a Debian package's not
    missing = sorted(
        name for name in upgraded if name not in known and canonicalize_name(name) not in python
    )
    if not missing:
        return
    details = []
    for name in missing:
        near = difflib.get_close_matches(name.lower(), sorted(known), n=3)
        details.append(f"{name}: did you mean {', '.join(near)}?" if near else name)
    raise UsageError(
        f"there is no such package to upgrade in {', '.join(one.name for one in targets)}",
        expected="names of Python projects and Debian packages that hps.lock or hps.toml has",
        details=tuple(details),
    )


def _projects(old: LockedTarget) -> list[str]:
    archives = [one.project for one in old.archives if one.project]
    return [one.name for one in old.wheels] + [one.name for one in old.sdists] + archives


def _same(old: LockedTarget, now: Mapping[str, str], counts: Callable[[str, str], bool]) -> bool:
    before = dict(old.inputs)
    keys = {key for key in before.keys() | now.keys() if counts(key, old.name)}
    return all(before.get(key) == now.get(key) for key in keys)


def _is_debian(key: str, target: str) -> bool:
    return key.startswith(_SHARED) or key.removeprefix(f"targets.{base_name(target)}.") in _DEBIAN


def _is_python(key: str, target: str) -> bool:
    own = key.removeprefix(f"targets.{base_name(target)}.")
    return _is_debian(key, target) or own in _PYTHON or key in _TIMES
