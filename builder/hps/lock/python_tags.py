"""Which file of a project fits a target: wheel tags computed for the target, never the host.

Follows the platform compatibility tags specification (PEP 425, 600, 656) through
`packaging.tags`, fed with the target's Python and glibc.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from hps.errors import ResolutionError

_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}  # PEP 600, "Legacy"
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}


def machine(platform: str) -> str:
    """The machine name in wheel tags for an OCI platform (`linux/amd64` is x86_64)."""
    try:
        return _MACHINES[platform]
    except KeyError:
        raise ResolutionError(
            f"no wheel tags are known for the platform {platform}",
            expected=" or ".join(_MACHINES),
            got=platform,
        ) from None


def platforms(platform: str, glibc: tuple[int, int]) -> Iterator[str]:
    """Platform tags of a glibc system, best first.

    The plain `linux_*` tag comes first, as in packaging 26.3: such a wheel was built for this very
    system, and indexes refuse it, so it can only come from the sandbox.
    """
    name = machine(platform)
    yield f"linux_{name}"
    major, minor = glibc
    for older in range(minor, _OLDEST_GLIBC[name] - 1, -1):
        yield f"manylinux_{major}_{older}_{name}"
        if older in _LEGACY:
            yield f"{_LEGACY[older]}_{name}"


@lru_cache(maxsize=16)
def ranks(python_version: str, platform: str, glibc: tuple[int, int]) -> dict[Tag, int]:
    """Every tag that a target's interpreter takes, with its rank; 0 is best.

    Args:
        python_version: `3.11` or `3.11.2`; CPython with the GIL is meant.
        platform: `linux/amd64` or `linux/arm64`.
        glibc: version of the target's C library.
    """
    major, minor = (int(part) for part in python_version.split(".")[:2])
    interpreter = f"cp{major}{minor}"
    fitting = list(platforms(platform, glibc))
    ordered: dict[Tag, int] = {}
    for tag in cpython_tags((major, minor), abis=[interpreter], platforms=fitting):
        ordered.setdefault(tag, len(ordered))
    for tag in compatible_tags((major, minor), interpreter=interpreter, platforms=fitting):
        ordered.setdefault(tag, len(ordered))
    return ordered


def choose_wheel(files: Iterable[str], ranked: dict[Tag, int]) -> str | None:
    """The one file name that a target installs, or None when none fits.

    Best tag first, then the higher build tag (binary distribution format, "build tag"), then the
    first name in byte order, so that the order of the index does not matter.

    Raises:
        packaging.utils.InvalidWheelFilename: for a name that is not a wheel's.
    """
    best: tuple[int, tuple[int, str], str] | None = None
    for file in sorted(files):
        _, _, build, tags = parse_wheel_filename(file)
        rank = min((ranked[tag] for tag in tags if tag in ranked), default=None)
        if rank is None:
            continue
        key = (-rank, (build[0], build[1]) if build else (-1, ""))
        if best is None or key > best[:2]:
            best = (*key, file)
    return None if best is None else best[2]
