"""A wheel of a pure Python project, made from its files and its pyproject.toml.

The binary distribution format (PEP 427, packaging.python.org "Binary distribution format"), core
metadata 2.4 (PEP 639), entry points. No build backend runs: the same files are the same wheel,
whatever is installed.
"""

import base64
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from hps.errors import ConfigError
from hps.sdk.archive import stored_zip

_WHEEL = """\
Wheel-Version: 1.0
Generator: hps
Root-Is-Purelib: true
Tag: py3-none-any
"""


@dataclass(frozen=True, slots=True)
class Project:
    """What pyproject.toml says of a project (PEP 621), as far as its wheel needs it."""

    name: str
    version: str
    summary: str
    requires_python: str
    licence: str
    dependencies: tuple[str, ...]
    extras: Mapping[str, tuple[str, ...]]
    scripts: Mapping[str, str]
    packages: tuple[str, ...]  # folders that the wheel holds

    @classmethod
    def parse(cls, text: str, file: str) -> "Project":
        """Read pyproject.toml.

        Raises:
            ConfigError: it is none, or asks for what this writer does not do.
        """
        try:
            document = tomllib.loads(text)
            return cls._read(document["project"], document["tool"]["hatch"]["build"])
        except (
            AttributeError,
            InvalidRequirement,
            InvalidSpecifier,
            InvalidVersion,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise ConfigError(
                f"no wheel can be made from {file}: {type(error).__name__}: {error}",
                expected="name, version, description, requires-python and license in [project], "
                "packages in [tool.hatch.build.targets.wheel]",
            ) from error

    @classmethod
    def _read(cls, said: Mapping[str, Any], build: Mapping[str, Any]) -> "Project":
        if said.get("dynamic"):
            raise ValueError("`dynamic` needs a build backend")
        extras = said.get("optional-dependencies", {})
        return cls(
            name=canonicalize_name(said["name"], validate=True),
            version=str(Version(said["version"])),
            summary=_line(said["description"]),
            requires_python=str(SpecifierSet(said["requires-python"])),
            licence=_line(said["license"]),
            dependencies=_requirements(said.get("dependencies", [])),
            extras={canonicalize_name(one): _requirements(extras[one]) for one in sorted(extras)},
            scripts={_line(one): _line(said["scripts"][one]) for one in said.get("scripts", {})},
            packages=tuple(_package(one) for one in build["targets"]["wheel"]["packages"]),
        )

    @property
    def distribution(self) -> str:
        """Name and version as file names have them (PEP 427, "Escaping and Unicode")."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def wheel_name(self) -> str:
        """The file name of its wheel."""
        return f"{self.distribution}-py3-none-any.whl"


def wheel(project: Project, files: Mapping[str, bytes], *, licence: bytes, epoch: int) -> bytes:
    """The wheel of a project.

    Args:
        project: what it is.
        files: its modules and data, by path in site-packages.
        licence: the text of the licence.
        epoch: time of every member.
    """
    info = f"{project.distribution}.dist-info"
    members = {name: files[name] for name in sorted(files)}
    # PEP 427 recommends that the metadata stand at the end.
    members[f"{info}/METADATA"] = _metadata(project).encode()
    members[f"{info}/WHEEL"] = _WHEEL.encode()
    if project.scripts:
        lines = [
            "[console_scripts]",
            *(f"{one} = {project.scripts[one]}" for one in sorted(project.scripts)),
        ]
        members[f"{info}/entry_points.txt"] = ("\n".join(lines) + "\n").encode()
    members[f"{info}/licenses/LICENSE"] = licence
    record = "".join(f"{name},{_hash(data)},{len(data)}\n" for name, data in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    return stored_zip(members, epoch=epoch)


def _metadata(project: Project) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {project.name}",
        f"Version: {project.version}",
        f"Summary: {project.summary}",
        f"License-Expression: {project.licence}",
        "License-File: LICENSE",
        f"Requires-Python: {project.requires_python}",
    ]
    lines += [f"Requires-Dist: {one}" for one in project.dependencies]
    for extra, requirements in project.extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f"Requires-Dist: {_of_extra(one, extra)}" for one in requirements]
    return "\n".join(lines) + "\n"


def _of_extra(requirement: str, extra: str) -> str:
    asked, mark, marker = requirement.partition(";")
    condition = f"({marker.strip()}) and " if mark else ""
    return f'{asked.strip()}; {condition}extra == "{extra}"'


def _requirements(texts: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(Requirement(text)) for text in texts)


def _line(value: Any) -> str:
    """Text that stays on its line of METADATA."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError(f"not a line of text: {value!r}")
    return value


def _package(value: Any) -> str:
    if not isinstance(value, str) or not value.isidentifier():
        raise ValueError(f"not a package: {value!r}")
    return value


def _hash(data: bytes) -> str:
    """As RECORD writes it: urlsafe base64 without padding."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + digest.rstrip(b"=").decode("ascii")
