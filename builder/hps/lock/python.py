"""Choosing Python packages: requirements in, exactly one file per package out.

The port is `PythonResolver`; uv (`hps.lock.uv`) and pip-tools (`hps.lock.pip_tools`) are behind it.
Here is what both are asked, what both answer, and how both are read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as ParsedRequirement
from packaging.utils import canonicalize_name

from hps.errors import ConfigError, ResolutionError
from hps.lock.records import Resolver

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

Name = Literal["uv", "pip-tools"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement (PEP 508) and who asks: a requirement file, or a key path of hps.toml."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class PythonRequest:
    """All that decides which Python packages a target gets.

    Args:
        requirements: what is asked for.
        python_version: `3.11`, or `3.11.2` when the target's exact version is known.
        glibc: version of the target's C library.
        platform: `linux/amd64` or `linux/arm64`.
        index_url: base address of the only index; stays in memory.
        as_of: files uploaded later do not exist.
        prerelease: whether pre-releases may be chosen.
        preferences: versions of an earlier lock, by project; kept where they still fit.
        upgrade: which preferences are not kept.
        built: wheels that were made from sdists: where the bytes of each are, by file name.
        constraints: further version limits, for instance of `python.sdists`.
        offline: resolve from uv's cache alone.
        network: variables by which a resolver that fetches by itself reaches the index.
    """

    requirements: tuple[Requirement, ...]
    python_version: str
    glibc: tuple[int, int]
    index_url: str
    platform: str = "linux/amd64"
    as_of: datetime | None = None
    prerelease: bool = False
    preferences: Mapping[str, str] = field(default_factory=dict)
    upgrade: Literal["none", "all"] | frozenset[str] = "none"
    built: Mapping[str, Path] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    offline: bool = False
    network: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ResolvedWheel:
    """The file chosen for one package.

    `size` is None when the index does not tell it. `url` is where the index has it; it is never
    written down. `via` are the projects and the `where` of the requirements that asked for it.
    """

    name: str
    version: str
    file: str
    sha256: str
    size: int | None
    url: str = field(repr=False, compare=False)
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PythonResolution:
    """What was chosen, sorted by name, and by whom."""

    wheels: tuple[ResolvedWheel, ...]
    resolver: Resolver


Resolve = Callable[[PythonRequest], PythonResolution]


class PythonResolver(Protocol):
    """Chooses Python packages; uv and pip-tools are the adapters."""

    @property
    def name(self) -> Name:
        """What `--resolver` and hps.lock call it."""
        ...

    def expecting(self, expected: PythonRequest | None) -> AbstractContextManager[Resolve]:
        """Begin to answer a request that will probably be made; gives what answers any request.

        Args:
            expected: None to expect nothing.

        What it gives raises:
            ConfigError: a requirement cannot be read, or names an address.
            ResolutionError: nothing fits; the resolver's own explanation is in `details`.
            FetchError: the index could not be reached.
            OfflineError: the request is `offline`, and what is needed is not on this machine.
        """
        ...


def check_requirements(requirements: Iterable[Requirement]) -> None:
    """Refuse what is not a plain requirement; all faults at once (ConfigError)."""
    faults = []
    for requirement in requirements:
        try:
            parsed = ParsedRequirement(requirement.text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            faults.append(f"{requirement.where}: {requirement.text!r}: {reason}")
            continue
        if parsed.url is not None:
            faults.append(
                f"{requirement.where}: {requirement.text!r}: an address instead of a version; "
                "a lock names no host"
            )
    if faults:
        raise ConfigError(
            "requirements that hps cannot use",
            details=tuple(faults),
            expected="one requirement a line (PEP 508), such as requests[socks]>=2.32",
            hint="remove options, hashes and addresses; an index belongs into [sources.python]",
        )


@dataclass(frozen=True, slots=True)
class Pin:
    """The version chosen for a project, who asked for it, and the digests that are allowed.

    `sha256` is empty where the resolver tells files in another way.
    """

    version: str
    via: tuple[str, ...]
    sha256: frozenset[str] = frozenset()


def read_annotated(text: str, origins: Mapping[str, str]) -> dict[str, Pin]:
    """Read requirements.txt with split annotations, as uv and pip-compile write it.

    Args:
        text: pins, hashes and comments; what stands at the margin says nothing about a package.
        origins: what the input files are called in annotations, and the `where` of each.
    """
    versions: dict[str, str] = {}
    via: dict[str, set[str]] = {}
    hashes: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if pin := _PIN.match(line):
            name = canonicalize_name(pin["name"])
            versions[name] = pin["version"]
            via[name] = set()
            hashes[name] = set()
        elif name and line.startswith(" "):
            hashes[name] |= set(_HASH.findall(line))
            asker = line.lstrip(" #").removeprefix("via").strip()
            if line.lstrip().startswith("#") and asker and not asker.startswith("-c "):
                via[name].add(origins.get(asker, asker))
    return {
        name: Pin(version, tuple(sorted(via[name])), frozenset(hashes[name]))
        for name, version in versions.items()
    }


def timestamp(time: datetime) -> str:
    """A time as the options of resolvers take it: RFC 3339, in UTC, whole seconds."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def no_file(name: str, pin: Pin, request: PythonRequest, files: Iterable[str]) -> ResolutionError:
    """A resolver chose a version of which the target can install no file."""
    return ResolutionError(
        f"{name} {pin.version} has no wheel that fits the target",
        expected=f"Python {request.python_version}, {request.platform}, "
        f"glibc {request.glibc[0]}.{request.glibc[1]}",
        got=", ".join(sorted(files)) or "an sdist only",
        hint=f'add "{name}" to python.sdists of the target, or choose another version',
    )
