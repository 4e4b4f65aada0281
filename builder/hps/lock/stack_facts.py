"""What the files of an artifact say of the GPU stack: versions that it has, and what it asks. Pure.

Names of archives are not looked at. Versions come from headers (cudnn_version.h,
NvInferVersion.h), from NVIDIA's version.json, from the metadata of installed wheels and from the
full names of libraries (libcudart.so.11.8.89); what is asked comes from DT_NEEDED and from what
Paddle says that it was compiled for.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hps.lock.stack import Asks, Has
from hps.lock.stack_table import Version

# By soname: which component, and what its number means. Those whose number tells no single
# version of CUDA (libcurand.so.10, libcusolver.so.11) are left out.
_FAMILIES = (
    (re.compile(r"lib(?:cudart|cublas|cublasLt|nvrtc|nvJitLink)\.so\.(\d+)(?:\..*)?"), "cuda"),
    (re.compile(r"libcudnn(?:_[a-z_]+)?\.so\.(\d+)(?:\..*)?"), "cudnn"),
    (re.compile(r"lib(?:nvinfer(?:_[a-z_]+)?|nvonnxparser)\.so\.(\d+)(?:\..*)?"), "tensorrt"),
)
_CUFFT = re.compile(r"libcufft\.so\.(\d+)(?:\..*)?")
_CUFFT_CUDA = {"10": 11, "11": 12, "12": 13}  # versions of cuFFT in the toolkits' release notes
_FILES = (
    (re.compile(r"libcudart\.so\.(\d+)\.(\d+)\.(\d+)"), "cuda"),
    (re.compile(r"libcudnn\.so\.(\d+)\.(\d+)\.(\d+)"), "cudnn"),
    (re.compile(r"libnvinfer\.so\.(\d+)\.(\d+)\.(\d+)"), "tensorrt"),
)
_LIBRARIES = {"cuda": "libcudart.so", "cudnn": "libcudnn.so", "tensorrt": "libnvinfer.so"}
_DISTRIBUTIONS = (
    (re.compile(r"nvidia-cuda-runtime(-cu\d+)?"), "cuda"),
    (re.compile(r"nvidia-cudnn-cu\d+"), "cudnn"),
    (re.compile(r"tensorrt(-cu\d+)?-libs"), "tensorrt"),
)
_DEFINE = r"^\s*#\s*define\s+{}\s+(\d+)\b"
_PADDLE = re.compile(r"^(cuda|cudnn|tensorrt)_version\s*=\s*'(\d+(?:\.\d+)*)'", re.MULTILINE)
_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")
_GLIBC_LIBRARY = re.compile(r"(?:lib(?:c|m|pthread|dl|rt|util)\.so\.\d+|ld-linux.*\.so\.\d+)")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file of an artifact, as far as it speaks of the stack.

    Args:
        path: absolute, in the image.
        who: the artifact, for people: `archive cudnn`, `base image nvidia/cuda:11.8`.
        soname: of a library.
        needed: DT_NEEDED.
        wants: versions of symbols, by library.
        note: the bytes of a file of versions.
    """

    path: str
    who: str
    soname: str | None = None
    needed: tuple[str, ...] = ()
    wants: tuple[tuple[str, tuple[str, ...]], ...] = ()
    note: bytes | None = None


def gather(files: Iterable[FileFacts]) -> tuple[tuple[Has, ...], tuple[Asks, ...]]:
    """All that files say, each statement of an artifact once.

    The first file that says something is its evidence. A version in full makes one that is only a
    major version of the same artifact superfluous.
    """
    has: dict[tuple[str, Version, str], Has] = {}
    asks: dict[tuple[str, Version, str], Asks] = {}
    for file in files:
        for one in _has(file):
            has.setdefault((one.component, one.version, one.who), one)
        for ask in _asks(file):
            asks.setdefault((ask.component, ask.version, ask.who), ask)
    return _most_told(has.values()), _highest(asks.values())


def _most_told(has: Iterable[Has]) -> tuple[Has, ...]:
    every = list(has)
    return tuple(
        one
        for one in every
        if not any(
            other.component == one.component
            and other.who == one.who
            and len(other.version) > len(one.version)
            and other.version[: len(one.version)] == one.version
            for other in every
        )
    )


def _highest(asks: Iterable[Asks]) -> tuple[Asks, ...]:
    """One statement for each major version; of the C library the highest."""
    best: dict[tuple[str, int, str], Asks] = {}
    for one in asks:
        key = (one.component, one.version[0], one.who)
        if key not in best or best[key].version < one.version:
            best[key] = one
    return tuple(best.values())


def _has(file: FileFacts) -> Iterator[Has]:
    name = posixpath.basename(file.path)
    for pattern, component in _FILES:
        if file.soname and (found := pattern.fullmatch(name)):
            yield Has(component, tuple(map(int, found.groups())), file.who, file.path)
    if file.soname:
        for component, stem in _LIBRARIES.items():
            if file.soname.startswith(f"{stem}."):
                major = file.soname.removeprefix(f"{stem}.").partition(".")[0]
                if major.isdecimal():
                    yield Has(component, (int(major),), file.who, file.path)
    if file.note is not None:
        yield from _noted(file, name, file.note.decode("utf-8", "replace"))


def _noted(file: FileFacts, name: str, text: str) -> Iterator[Has]:
    if name.startswith("cudnn_version") and name.endswith(".h"):
        parts = ("CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL")
        yield from _defined(file, "cudnn", text, parts)
    elif name == "NvInferVersion.h":
        parts = ("NV_TENSORRT_MAJOR", "NV_TENSORRT_MINOR", "NV_TENSORRT_PATCH")
        yield from _defined(file, "tensorrt", text, parts)
    elif name == "version.json":
        yield from _toolkit(file, text)
    elif name == "METADATA":
        yield from _distribution(file, text)


def _defined(file: FileFacts, component: str, text: str, names: tuple[str, ...]) -> Iterator[Has]:
    found = [re.search(_DEFINE.format(name), text, re.MULTILINE) for name in names]
    version = tuple(int(one[1]) for one in found if one)
    if len(version) == len(names):
        yield Has(component, version, file.who, file.path)


def _toolkit(file: FileFacts, text: str) -> Iterator[Has]:
    """/usr/local/cuda/version.json of a toolkit: the version of its runtime."""
    try:
        version = str(json.loads(text)["cuda_cudart"]["version"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if re.fullmatch(r"\d+(\.\d+){2}", version):
        yield Has("cuda", tuple(map(int, version.split("."))), file.who, file.path)


def _distribution(file: FileFacts, text: str) -> Iterator[Has]:
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = dict(re.findall(r"^(Name|Version): (\S+)\r?$", head, re.MULTILINE))
    name = re.sub(r"[-_.]+", "-", fields.get("Name", "")).lower()
    version = re.match(r"\d+(\.\d+){1,2}", fields.get("Version", ""))
    for pattern, component in _DISTRIBUTIONS:
        if version and pattern.fullmatch(name):
            yield Has(component, tuple(map(int, version[0].split("."))), file.who, file.path)


def _asks(file: FileFacts) -> Iterator[Asks]:
    for name in file.needed:
        for pattern, component in _FAMILIES:
            if found := pattern.fullmatch(name):
                yield Asks(component, (int(found[1]),), file.who, f"{file.path} links {name}")
        if (found := _CUFFT.fullmatch(name)) and found[1] in _CUFFT_CUDA:
            yield Asks("cuda", (_CUFFT_CUDA[found[1]],), file.who, f"{file.path} links {name}")
    yield from _c_library(file)
    if file.path.endswith("/paddle/version/__init__.py") and file.note is not None:
        for component, text in _PADDLE.findall(file.note.decode("utf-8", "replace")):
            # The patch level is that of the day when it was compiled; minor versions add symbols.
            version = tuple(map(int, text.split(".")))[:2]
            yield Asks(component, version, file.who, f"{file.path} says compiled for {text}")


def _c_library(file: FileFacts) -> Iterator[Asks]:
    for library, versions in file.wants:
        for name in versions if _GLIBC_LIBRARY.fullmatch(library) else ():
            if found := _GLIBC.fullmatch(name):
                version = tuple(map(int, found[1].split(".")))
                yield Asks("glibc", version, file.who, f"{file.path} wants {name}")
