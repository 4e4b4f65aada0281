"""Choosing Python packages with uv.

uv resolves for the target's Python and glibc whatever the host is, and never runs build code
(`--no-build`). It is asked twice: for the versions and who asked for them, then for the files of
those versions, from its cache.
"""

import contextlib
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from hps.errors import OfflineError, ResolutionError
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
from hps.lock.python_tags import choose_wheel, machine, ranks
from hps.lock.records import Resolver
from hps.lock.uv_tool import compile_requirements, compiling, uv_version

_GLIBC_OF_UV = (17, 28, *range(31, 41))  # the manylinux_2_x targets that uv knows
_BUILT = "built"  # the folder of wheels that were made from sdists
_VERSIONS = "versions.txt"  # the old choice before, the new one after


class Uv:
    """The resolver that is asked unless another is named."""

    @property
    def name(self) -> Name:
        """See PythonResolver."""
        return "uv"

    def expecting(self, expected: PythonRequest | None) -> AbstractContextManager[Resolve]:
        """See PythonResolver; uv runs beside the block."""
        return expecting(expected)


def resolve(request: PythonRequest, *, host_python: str | None = None) -> PythonResolution:
    """Choose the packages of a request.

    Args:
        request: see `PythonRequest`.
        host_python: interpreter that uv asks about itself; the result is the same for any.

    Raises:
        ConfigError: a requirement cannot be read, or names an address.
        ResolutionError: nothing fits; uv's explanation is in `details`.
        FetchError: the index could not be reached.
        OfflineError: `offline`, and uv's cache does not hold enough.
    """
    with _resolving(request, host_python) as finish:
        return finish()


@contextlib.contextmanager
def expecting(expected: PythonRequest | None) -> Iterator[Resolve]:
    """Begin to answer a request that will probably be made, and give what answers any request.

    uv runs beside the block. Its answer is taken when the expected request is made; another
    request stops it and is resolved by itself, so that what is expected never changes an answer.
    The block's end stops it too.

    Args:
        expected: None to expect nothing.

    Raises:
        ConfigError: as in `resolve`, at once; its other errors come when the request is made.
    """
    with contextlib.ExitStack() as stack:
        finish = stack.enter_context(_resolving(expected)) if expected else None

        def answer(request: PythonRequest) -> PythonResolution:
            if finish is not None and request == expected:
                return finish()
            stack.close()
            return resolve(request)

        yield answer


@contextlib.contextmanager
def _resolving(
    request: PythonRequest, host_python: str | None = None
) -> Iterator[Callable[[], PythonResolution]]:
    """Begin to choose the packages of a request; what the block is given waits for the choice."""
    check_requirements(request.requirements)
    if not request.requirements:
        yield lambda: PythonResolution((), _resolver(request))
        return
    with tempfile.TemporaryDirectory(prefix="hps-uv-") as name:
        folder = Path(name)
        options, origins = _ask_versions(request, folder)
        index = request.index_url
        with compiling(
            options, folder, index_url=index, host_python=host_python, network=request.network
        ) as chosen:
            resolver = _resolver(request)  # it asks uv too, and uv is at work already

            def finish() -> PythonResolution:
                chosen()
                pins = read_annotated((folder / _VERSIONS).read_text(), origins)
                document = _resolve_files(request, pins, folder, host_python)
                return PythonResolution(choose_files(document, pins, request), resolver)

            yield finish


def _resolver(request: PythonRequest) -> Resolver:
    return Resolver(name="uv", version=uv_version(), flags=resolver_flags(request.as_of))


def resolver_flags(as_of: datetime | None) -> tuple[str, ...]:
    """The options of uv that hold for every target of a lock; the others are in the target."""
    flags = ["--index-strategy=first-index", "--no-build", "--resolution=highest"]
    if as_of is not None:
        flags.append(f"--exclude-newer={timestamp(as_of)}")
    return tuple(sorted(flags))


def uv_platform(platform: str, glibc: tuple[int, int]) -> str:
    """The target of uv that is nearest to a glibc and not newer."""
    major, minor = glibc
    known = [older for older in _GLIBC_OF_UV if (2, older) <= (major, minor)]
    if not known:
        raise ResolutionError(
            f"glibc {major}.{minor} is older than any that wheels are published for today",
            expected="glibc 2.17 or newer",
        )
    return f"{machine(platform)}-manylinux_2_{known[-1]}"


def _common_options(request: PythonRequest, folder: Path) -> list[str]:
    options = list(resolver_flags(request.as_of))
    options += ["--python-version", request.python_version]
    options += ["--python-platform", uv_platform(request.platform, request.glibc)]
    if request.built:
        options += ["--find-links", str((folder / _BUILT).resolve())]
    if request.as_of is not None:
        # What was made here has no upload time; it is pinned by its sdist instead.
        for project in sorted({canonicalize_name(file.split("-")[0]) for file in request.built}):
            options += ["--exclude-newer-package", f"{project}=false"]
    return options


def _ask_versions(request: PythonRequest, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Write what uv reads; its options, and the `where` of each input file as uv names it."""
    origins: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for requirement in request.requirements:
        lines.setdefault(requirement.where, []).append(requirement.text)
    for number, (where, texts) in enumerate(lines.items()):
        origins[f"-r {number}.in"] = where
        (folder / f"{number}.in").write_text("".join(f"{text}\n" for text in texts))
    (folder / _BUILT).mkdir()
    for file, place in request.built.items():
        shutil.copyfile(place, folder / _BUILT / file)
    (folder / _VERSIONS).write_text(
        "".join(f"{name}=={version}\n" for name, version in sorted(request.preferences.items()))
    )
    options = _common_options(request, folder)
    options += ["--prerelease", "allow" if request.prerelease else "disallow"]
    options += ["--output-file", _VERSIONS, "--annotation-style", "split"]
    if request.constraints:
        (folder / "limits.in").write_text("".join(f"{text}\n" for text in request.constraints))
        options += ["--constraints", "limits.in"]
    if request.upgrade == "all":
        options.append("--upgrade")
    elif request.upgrade != "none":
        for name in sorted(request.upgrade):
            options += ["--upgrade-package", name]
    if request.offline:
        options.append("--offline")
    options += [f"{number}.in" for number in range(len(lines))]
    return options, origins


def _resolve_files(
    request: PythonRequest, pins: Mapping[str, Pin], folder: Path, host_python: str | None
) -> Mapping[str, Any]:
    """The files of exactly these versions, as the document of a pylock.toml (PEP 751)."""
    (folder / "pins.in").write_text(
        "".join(f"{name}=={pin.version}\n" for name, pin in sorted(pins.items()))
    )
    options = _common_options(request, folder)
    options += ["--prerelease", "allow", "--no-deps", "--no-annotate"]  # the pins say it all
    options += ["--format", "pylock.toml", "--output-file", "pylock.toml", "pins.in"]
    try:
        compile_requirements(
            [*options, "--offline"],
            folder,
            index_url=request.index_url,
            host_python=host_python,
            network=request.network,
        )
    except OfflineError:
        if request.offline:
            raise
        # An index without hashes makes uv download files to hash them.
        compile_requirements(
            options,
            folder,
            index_url=request.index_url,
            host_python=host_python,
            network=request.network,
        )
    return tomllib.loads((folder / "pylock.toml").read_text())


def choose_files(
    document: Mapping[str, Any], pins: Mapping[str, Pin], request: PythonRequest
) -> tuple[ResolvedWheel, ...]:
    """Exactly one file for each pin out of a pylock.toml document, sorted by name."""
    ranked = ranks(request.python_version, request.platform, request.glibc)
    packages: dict[str, Any] = {
        canonicalize_name(package["name"]): package for package in document["packages"]
    }
    if packages.keys() != pins.keys():
        odd = sorted(packages.keys() ^ pins.keys())
        raise ResolutionError(f"uv gave two different sets of packages: {', '.join(odd)}")
    chosen = []
    for name, pin in sorted(pins.items()):
        files = {_file_name(wheel): wheel for wheel in packages[name].get("wheels", ())}
        file = choose_wheel(files, ranked)
        if file is None:
            raise no_file(name, pin, request, files)
        wheel = files[file]
        chosen.append(
            ResolvedWheel(
                name=name,
                version=pin.version,
                file=file,
                sha256=wheel["hashes"]["sha256"],
                size=wheel.get("size"),
                url=wheel.get("url") or wheel["path"],
                via=pin.via,
            )
        )
    return tuple(chosen)


def _file_name(wheel: Mapping[str, Any]) -> str:
    """PEP 751: `name`, or else the last part of `path` or `url`."""
    name = wheel.get("name")
    if isinstance(name, str):
        return name
    return unquote(urlsplit(str(wheel.get("path") or wheel["url"])).path.rpartition("/")[2])
