"""Which library the dynamic linker finds for a name: ld.so(8), "Description". Pure.

Followed here: DT_RPATH of who needs it and of who loaded that, LD_LIBRARY_PATH, DT_RUNPATH, the
cache, the default folders; $ORIGIN, $LIB and $PLATFORM in them; and that a library that is loaded
already is found by its soname. Not followed: LD_PRELOAD, folders for single kinds of processors
(glibc-hwcaps), secure-execution mode. What a program opens by name (dlopen) nobody can see.
"""

import posixpath
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hps.layer.elf import Elf
from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import LINKER_CACHE

_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER, _CACHE_ENTRY = 48, 24
_CACHE_ENTRIES = 1 << 17
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
# By OCI architecture: e_machine, Debian's folder of libraries, AT_PLATFORM.
MACHINES = {
    "amd64": (62, "x86_64-linux-gnu", "x86_64"),
    "arm64": (183, "aarch64-linux-gnu", "aarch64"),
}


def parse_cache(data: bytes) -> dict[str, tuple[str, ...]]:
    """Paths by name of a library, of /etc/ld.so.cache as ldconfig of glibc 2.2 and later writes it.

    Entries for single kinds of processors are left out. Damaged bytes give what can be read, as
    they do with the dynamic linker: a cache is no more than a short cut.
    """
    start = data.find(_CACHE_MAGIC)
    if start < 0 or len(data) < start + _CACHE_HEADER:
        return {}
    data = data[start:]
    (count,) = struct.unpack_from("<I", data, len(_CACHE_MAGIC))
    found: dict[str, list[str]] = {}
    for number in range(min(count, _CACHE_ENTRIES)):
        at = _CACHE_HEADER + number * _CACHE_ENTRY
        if at + _CACHE_ENTRY > len(data):
            break
        _, key, value, _, processors = struct.unpack_from("<iIIIQ", data, at)
        name, path = _cached(data, key), _cached(data, value)
        if name and path.startswith("/") and not processors:
            found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _cached(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + 4096)
    return data[at:end].decode("utf-8", "backslashreplace") if end >= 0 else ""


@dataclass(eq=False, slots=True)
class Loaded:
    """An object in a process: where it was found, what it is, and who asked for it."""

    path: str  # as it was found, links not followed: $ORIGIN is its folder
    real: str
    elf: Elf
    loader: "Loaded | None" = None

    def loaders(self) -> Iterator["Loaded"]:
        """Itself, who loaded it, and so on."""
        one: Loaded | None = self
        while one is not None:
            yield one
            one = one.loader


@dataclass(frozen=True, slots=True)
class Missing:
    """A library that was needed and not found."""

    needed_by: str
    library: str
    broken: str = ""  # a file of that name that the linker would take and could not read


@dataclass(frozen=True, slots=True)
class Unversioned:
    """A version that a library needs and the one that was found does not define."""

    needed_by: str
    library: str
    version: str
    found: str


@dataclass(frozen=True, slots=True)
class Process:
    """What loading one object comes to."""

    loaded: tuple[Loaded, ...]
    missing: tuple[Missing, ...]
    unversioned: tuple[Unversioned, ...]


class Linker:
    """The dynamic linker of an image.

    Args:
        image: its files.
        architecture: of its platform, in OCI's words.
        library_path: LD_LIBRARY_PATH of its configuration.
        working_directory: where it starts; what an empty folder in a search path means.
    """

    def __init__(
        self,
        image: ElfImage,
        architecture: str,
        library_path: str = "",
        working_directory: str = "/",
    ) -> None:
        self._image = image
        self.machine, folder, self._platform = MACHINES[architecture]
        self._directory = working_directory
        debian = any(image.resolve(f"{top}/{folder}") for top in ("/usr/lib", "/lib"))
        self._lib = f"lib/{folder}" if debian else "lib64"
        # Debian's glibc has its own first; upstream's "slibdir" is lib64 on both architectures.
        first = (f"/lib/{folder}", f"/usr/lib/{folder}") if debian else ("/lib64", "/usr/lib64")
        self._default = (*first, "/lib", "/usr/lib")
        cache = image.at(image.resolve(f"/{LINKER_CACHE}") or "")
        self._cache = parse_cache(cache.note) if cache and cache.note else {}
        self._library_path = library_path.replace(";", ":")

    def fits(self, elf: Elf) -> bool:
        """Whether a file is one for this machine."""
        return elf.machine == self.machine and elf.bits == 64  # noqa: PLR2004 - bits of a word

    def load(self, real: str, elf: Elf) -> Process:
        """Load one object with all that it needs, breadth first, as the linker does."""
        first = Loaded(f"/{real}", real, elf)
        loaded, missing = [first], list[Missing]()
        known = {elf.soname: first} if elf.soname else {}
        by_file = {real: first}
        for one in loaded:
            for name in one.elf.needed:
                if name in known:
                    continue
                found = self._search(name, one)
                if isinstance(found, Missing):
                    missing.append(found)
                    continue
                same = by_file.get(found.real)
                if same is None:
                    same = by_file[found.real] = found
                    loaded.append(found)
                    known.setdefault(found.elf.soname or name, found)
                known[name] = same
        return Process(tuple(loaded), tuple(missing), tuple(_unversioned(loaded, known)))

    def interpreter(self, elf: Elf) -> bool:
        """Whether the dynamic linker that a program names is there."""
        return elf.interpreter is None or self._image.resolve(elf.interpreter) is not None

    def _search(self, name: str, one: Loaded) -> "Loaded | Missing":
        broken = ""
        for path in self._places(name, one):
            real = self._image.resolve(path)
            thing = self._image.at(real) if real else None
            if real is None or thing is None or thing.kind != "file":
                continue
            if thing.elf is None:
                broken = broken or path
            elif self.fits(thing.elf):
                return Loaded(path, real, thing.elf, one)
        return Missing(one.real, name, broken)

    def _places(self, name: str, one: Loaded) -> Iterator[str]:
        """Every path that is tried, in order."""
        if "/" in name:
            yield posixpath.join(self._directory, self._expanded(name, one))
            return
        for folders, owner in self._asked(one):
            for folder in folders.split(":"):
                yield posixpath.join(self._directory, self._expanded(folder, owner), name)
        for path in self._cache.get(name, ()):
            if one.elf.default_folders or posixpath.dirname(path) not in self._default:
                yield path
        if one.elf.default_folders:
            for folder in self._default:
                yield posixpath.join(folder, name)

    def _asked(self, one: Loaded) -> Iterator[tuple[str, Loaded]]:
        """Search paths that files and the environment ask for, and whose $ORIGIN is meant."""
        if one.elf.runpath is None:
            for loader in one.loaders():
                if loader.elf.runpath is None and loader.elf.rpath is not None:
                    yield loader.elf.rpath, loader
        if self._library_path:
            yield self._library_path, one
        if one.elf.runpath is not None:
            yield one.elf.runpath, one

    def _expanded(self, path: str, one: Loaded) -> str:
        """ld.so(8), "Dynamic string tokens"."""
        values = {
            "ORIGIN": posixpath.dirname(one.path),
            "LIB": self._lib,
            "PLATFORM": self._platform,
        }
        return _TOKEN.sub(lambda found: values[found[1] or found[2]], path)


def _unversioned(loaded: Sequence[Loaded], known: Mapping[str, Loaded]) -> Iterator[Unversioned]:
    """LSB Core 5.0, "Symbol Version Lookup": a library that defines no versions fits all."""
    for one in loaded:
        for library, versions in one.elf.wants:
            provider = known.get(library)
            if provider is None or not provider.elf.defines:
                continue
            for version in versions:
                if version not in provider.elf.defines:
                    yield Unversioned(one.real, library, version, provider.real)
