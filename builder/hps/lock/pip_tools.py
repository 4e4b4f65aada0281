"""Choosing Python packages with pip-tools: pip-compile, run where it reaches one index only.

pip resolves for the interpreter that runs it, so pip-compile runs in an image with the target's
Python and glibc, the requirement collection image. How it is run is the port `PipCompile`; here is
what it is asked, and how its answer is read. It chooses versions. The one file of each is chosen
here as it is for uv, out of those that pip was shown, and must be one that pip-compile allows.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from hps.errors import IntegrityError, LockError, OfflineError, ResolutionError
from hps.lock.pip_tools_index import Offer
from hps.lock.python import (
    Name,
    Pin,
    PythonRequest,
    PythonResolution,
    Resolve,
    ResolvedWheel,
    check_requirements,
    no_file,
    read_annotated,
    timestamp,
)
from hps.lock.python_tags import choose_wheel, ranks
from hps.lock.records import Resolver

VERSIONS = "versions.txt"  # the old choice before, the new one after
BUILT = "built"  # the folder of wheels that were made from sdists
_LIMITS = "limits.in"
# What decides the answer, for the record; the rest is in `_options`.
_FLAGS = ("--allow-unsafe", "--generate-hashes", "--resolver=backtracking", "--strip-extras")
_PIP_FLAGS = ("--only-binary=:all:",)
_SHOWN_LINES = 30


@dataclass(frozen=True, slots=True)
class Question:
    """One run of `pip-compile`.

    Args:
        request: what decides which files of the index may be seen.
        options: of pip-compile, without those that say where the index is.
        files: text by file name, in the folder in which pip-compile runs.
        inputs: which of these are the requirement files.
        versions: what the output file says before; empty for no memory.
    """

    request: PythonRequest
    options: tuple[str, ...]
    files: Mapping[str, str]
    inputs: tuple[str, ...]
    versions: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run of pip-compile gave.

    Args:
        text: the output file; None when pip-compile failed.
        said: what it printed.
        offers: what was shown of each project that pip asked for, by normalised name.
    """

    text: str | None
    said: str
    offers: Mapping[str, Offer]


class PipCompile(Protocol):
    """Runs pip-compile; the adapter is a requirement collection image in a sandbox."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of `pip-tools` and `pip`, for the record."""
        ...

    def run(self, question: Question) -> Answer:
        """Run it to its end, however that is.

        Raises:
            FetchError: the index could not be asked.
            SandboxError: it could not be run.
        """
        ...


class PipTools:
    """The resolver that answers with pip-compile's choice."""

    def __init__(self, pip_compile: PipCompile) -> None:
        self._compile = pip_compile

    @property
    def name(self) -> Name:
        """See PythonResolver."""
        return "pip-tools"

    @contextlib.contextmanager
    def expecting(self, expected: PythonRequest | None) -> Iterator[Resolve]:
        """See PythonResolver; nothing is begun before it is asked for."""
        del expected
        yield self.resolve

    def resolve(self, request: PythonRequest) -> PythonResolution:
        """Choose the packages of a request.

        Raises:
            ConfigError: a requirement cannot be read, or names an address.
            ResolutionError: nothing fits; pip's explanation is in `details`.
            FetchError: the index could not be reached.
            OfflineError: the request is `offline`; pip-compile asks the index each time.
            IntegrityError: the index told pip-compile another digest than hps.
        """
        check_requirements(request.requirements)
        if not request.requirements:
            return PythonResolution((), self._resolver(request))
        if request.offline:
            raise OfflineError(
                "pip-tools asks the index each time, and --offline forbids it",
                hint="run without --offline, or with --resolver uv, which keeps what it was told",
            )
        asked, origins = question(request)
        answer = self._compile.run(asked)
        if answer.text is None:
            raise explain(answer, request)
        pins = read_annotated(answer.text, origins)
        return PythonResolution(choose(pins, answer.offers, request), self._resolver(request))

    def _resolver(self, request: PythonRequest) -> Resolver:
        versions = self._compile.versions
        flags = [*_FLAGS, *_PIP_FLAGS, f"pip=={versions['pip']}"]
        if request.as_of is not None:
            flags.append(f"as-of={timestamp(request.as_of)}")  # kept by what pip is shown
        return Resolver(name="pip-tools", version=versions["pip-tools"], flags=tuple(sorted(flags)))


def question(request: PythonRequest) -> tuple[Question, dict[str, str]]:
    """What pip-compile is asked, and the `where` of each input as it stands in annotations."""
    lines: dict[str, list[str]] = {}
    for requirement in request.requirements:
        lines.setdefault(requirement.where, []).append(requirement.text)
    files: dict[str, str] = {}
    origins: dict[str, str] = {}
    for number, (where, texts) in enumerate(lines.items()):
        files[f"{number}.in"] = "".join(f"{text}\n" for text in texts)
        origins[f"-r {number}.in"] = where
    inputs = tuple(files)
    if request.constraints:
        files[_LIMITS] = "".join(f"{text}\n" for text in request.constraints)
    forgets = request.upgrade == "all"
    versions = {} if forgets else request.preferences
    return (
        Question(
            request,
            _options(request),
            files,
            inputs,
            "".join(f"{name}=={version}\n" for name, version in sorted(versions.items())),
        ),
        origins,
    )


def _options(request: PythonRequest) -> tuple[str, ...]:
    options = ["--quiet", "--no-config", "--no-header", "--no-color", "--no-reuse-hashes"]
    options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-options"]
    options += ["--annotation-style=split", "--newline=lf", *_FLAGS]
    # A cache would only hold what hps.store holds, and outlive nothing: the sandbox is new.
    options += [f"--pip-args={' '.join((*_PIP_FLAGS, '--no-cache-dir', '--no-input'))}"]
    if request.prerelease:
        options.append("--pre")
    if request.constraints:
        options.append(f"--constraint={_LIMITS}")
    if request.built:
        options.append(f"--find-links={BUILT}")
    if request.upgrade not in ("none", "all"):
        options += [f"--upgrade-package={name}" for name in sorted(request.upgrade)]
    return tuple(options)


def choose(
    pins: Mapping[str, Pin], offers: Mapping[str, Offer], request: PythonRequest
) -> tuple[ResolvedWheel, ...]:
    """Exactly one file for each pin, out of what pip was shown, sorted by name.

    Raises:
        ResolutionError: none of a version fits the target.
        IntegrityError: the file that fits is none of those that pip-compile allows.
    """
    ranked = ranks(request.python_version, request.platform, request.glibc)
    chosen = []
    for name, pin in sorted(pins.items()):
        files = _files(name, pin, offers, request)
        file = choose_wheel(files, ranked)
        if file is None:
            raise no_file(name, pin, request, files)
        wheel = files[file]
        if wheel.sha256 not in pin.sha256:
            raise IntegrityError(
                f"pip-compile allows other files of {name} {pin.version} than the index has",
                expected=", ".join(sorted(pin.sha256)) or "no digest",
                got=f"{file} sha256:{wheel.sha256}",
                hint="the index changed while it was asked, or it lies: try again, or use another",
            )
        chosen.append(wheel)
    return tuple(chosen)


def _files(
    name: str, pin: Pin, offers: Mapping[str, Offer], request: PythonRequest
) -> dict[str, ResolvedWheel]:
    """Every file of a version that the target might install, those that were made here too."""
    found: dict[str, ResolvedWheel] = {}
    if name in offers:
        for file, facts in offers[name].of(pin.version).items():
            found[file] = ResolvedWheel(
                name=name,
                version=pin.version,
                file=file,
                sha256=facts.sha256 or "",
                size=facts.size,
                url=facts.url,
                via=pin.via,
            )
    for file, place in request.built.items():
        project, version, _, _ = parse_wheel_filename(file)
        if project == name and version == Version(pin.version):
            found[file] = _built(name, pin, file, place)
    return found


def _built(name: str, pin: Pin, file: str, place: Path) -> ResolvedWheel:
    with place.open("rb") as data:
        sha256 = hashlib.file_digest(data, "sha256").hexdigest()
    return ResolvedWheel(
        name=name,
        version=pin.version,
        file=file,
        sha256=sha256,
        size=place.stat().st_size,
        url=place.absolute().as_uri(),
        via=pin.via,
    )


_NOT_FOUND = re.compile(
    r"(?:No matching distribution found for|satisfies the requirement) ([A-Za-z0-9._-]+)"
)


def explain(answer: Answer, request: PythonRequest) -> ResolutionError:
    """The error for a pip-compile that failed: pip's own words, and what to do next."""
    # Behind it pip-compile prints where in pip's source the error was raised.
    said, _, _ = answer.said.partition("Traceback (most recent call last):")
    told = tuple(line.strip() for line in said.splitlines() if line.strip())[:_SHOWN_LINES]
    message = (
        "no set of Python packages fits the requirements"
        if "ResolutionImpossible" in answer.said or _NOT_FOUND.search(answer.said)
        else "pip-compile could not choose the Python packages"
    )
    return ResolutionError(message, details=told, hint=_hint(answer, request))


def _hint(answer: Answer, request: PythonRequest) -> str:
    for name in dict.fromkeys(canonicalize_name(one) for one in _NOT_FOUND.findall(answer.said)):
        offered = answer.offers.get(name)
        if offered is None:
            return f"the index has no project {name}: check the spelling, or the index"
        if hint := _hidden(name, offered, request):
            return hint
    return "relax one of the requirements named above"


def _hidden(name: str, offered: Offer, request: PythonRequest) -> str | None:
    """Why a project shows nothing that fits, as far as hps is the reason."""
    if offered.timeless:
        return (
            f"the index reports no upload times (PEP 700) for {name}, so `as-of` hides its files: "
            "remove [lock] as-of or use an index that reports them"
        )
    if offered.sdists and not offered.files:
        return f'no wheel is published: add "{name}" to python.sdists of the target'
    if offered.prereleases and not offered.files:
        return (
            f"only pre-releases of {name} are there: set prerelease = true in "
            "[targets.NAME.python], or relax"
        )
    if offered.later:
        return (
            f"{offered.later} files of {name} were uploaded after [lock] as-of "
            f"({timestamp(request.as_of) if request.as_of else ''}): take a later date, or relax"
        )
    return None


def tool_versions(wheels: Mapping[str, str], where: str) -> dict[str, str]:
    """The versions of pip-tools and pip among the packages of an image.

    Args:
        wheels: version by project.
        where: whose packages they are, for the error.

    Raises:
        LockError: one of the two is missing, or has no version.
    """
    found = {}
    for project in ("pip-tools", "pip"):
        try:
            found[project] = str(Version(wheels[project]))
        except (KeyError, InvalidVersion):
            raise LockError(
                f"{where} holds no {project}, and pip-compile runs in it",
                expected="pip-tools and pip among its python.requirements",
                hint="docs/how-to/pip-tools.md shows such a target",
            ) from None
    return found
