"""Base images: their names in hps.toml, and what an old lock still says of one. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from hps.digest import Digest
from hps.errors import LockError
from hps.lock.records import BaseDeb, BaseProject, LockedBase

BASE = "base"  # owner of what no package of a base claims
BASE_LAYER = "base image"  # what its layers are called together; no layer of ours is called so
REMOVED = "base:removed"  # the layer that takes things away; no project or archive is called so


@dataclass(frozen=True, slots=True)
class BaseName:
    """What `base.image` of hps.toml says.

    Args:
        registry: alias of [sources.registries.ALIAS].
        repository: the path below it.
        tag: a name that may move.
        digest: wins over the tag, which then is a remark.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ALIAS/NAME[:TAG][@sha256:HEX]; the schema has seen that it is one."""
        rest, _, digest = text.partition("@")
        registry, _, path = rest.partition("/")
        repository, _, tag = path.partition(":")
        return cls(registry, repository, tag or None, Digest.parse(digest) if digest else None)

    @property
    def wanted(self) -> Digest | str:
        """The digest, else the tag."""
        if self.digest is not None:
            return self.digest
        if self.tag is None:  # the schema wants one of the two
            raise ValueError(f"{self} says neither which tag nor which digest")
        return self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def kept_base(name: BaseName, old: LockedBase | None) -> LockedBase | None:
    """The base of an old lock, where hps.toml still means the same image.

    A tag that names another image by now does not matter: that is what an upgrade is for.
    """
    if old is None or (old.registry, old.repository) != (name.registry, name.repository):
        return None
    if name.digest is not None:
        same = name.digest in (old.named, Digest(old.manifest))
        return old.model_copy(update={"tag": name.tag}) if same else None
    return old if old.tag == name.tag else None


def installed(base: LockedBase | None) -> dict[str, BaseDeb]:
    """The Debian packages of a base, by name."""
    return {deb.name: deb for deb in base.debs} if base else {}


def provided(base: LockedBase | None) -> dict[str, BaseProject]:
    """The Python packages of a base, by name; of one in several folders that which Python finds."""
    found: dict[str, BaseProject] = {}
    for one in base.python if base else ():
        found.setdefault(one.name, one)
    return found


def taken_away(
    base: LockedBase, coming: Collection[str], folders: Collection[str]
) -> tuple[BaseProject, ...]:
    """The Python packages of a base that leave the image because others of their name come.

    One that lies in another folder than where packages are installed is left: it is found later
    than the new one (site.py), and Debian's own would be missed by dpkg.

    Args:
        base: as it is locked.
        coming: names of the wheels and sdists, in their normal form.
        folders: where they are installed.
    """
    return tuple(one for one in base.python if one.name in coming and one.folder in folders)


def asked_for_in(
    base: LockedBase | None, asked: Mapping[str, tuple[str, ...]]
) -> LockedBase | None:
    """A base whose Python packages tell who asked for them; `asked` are those that are used."""
    if base is None:
        return None
    first = {name: one for name, one in provided(base).items() if name in asked}
    python = tuple(
        one.model_copy(update={"via": asked[one.name] if first.get(one.name) == one else ()})
        for one in base.python
    )
    return base.model_copy(update={"python": python})


def check_facts(base: LockedBase, name: str, *, debian: bool) -> None:
    """A base that brings no interpreter needs Debian packages, which bring one.

    Raises:
        LockError: there is none, or no C library that wheels could be chosen for.
    """
    if debian:
        return
    if base.interpreter is None:
        raise LockError(
            f"the base image of {name} has no Python of the target's version",
            expected="/usr/bin/pythonX.Y or /usr/local/bin/pythonX.Y, as python-version says",
            hint=f"add [targets.{name}.debian]: its Python is then laid over the base; or change "
            "python-version",
        )
    if base.glibc is None:
        raise LockError(
            f"the base image of {name} has no C library that hps knows",
            expected="the Debian package libc6 among those that its dpkg has installed",
            got="another system, such as one with musl, or one without dpkg",
            hint="choose a base that is made of Debian packages",
        )
