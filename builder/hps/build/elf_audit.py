"""Whether the shared libraries of an image are all there, and which large ones nobody links. Pure.

Every program, every Python module, and every library that no other file needs is loaded as the
dynamic linker would load it; what then is missing, is missing when the image runs. A library that
others need is judged where it is loaded, because their search paths are in force there too.
"""

import fnmatch
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hps.config.target import External, Target
from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import LINKER_CONFIGURATION, Thing
from hps.layer.elf_search import Linker, Process, Unversioned

LARGE = 8 << 20  # bytes from which an unused library is worth a line

_DRIVER = "it belongs to the NVIDIA driver, which the host brings"
# What the NVIDIA container runtime shows to a container, as far as programs link to it
# (libnvidia-container, src/nvc_info.c, utility_libs and the lists behind it).
DRIVER_LIBRARIES = tuple(
    External.model_validate({"library": name, "because": _DRIVER})
    for name in (
        *("libcuda.so.1", "libcudadebugger.so.1", "libnvidia-ml.so.1", "libnvidia-cfg.so.1"),
        *("libnvidia-ptxjitcompiler.so.1", "libnvidia-nvvm.so.4", "libnvidia-opencl.so.1"),
        *("libnvidia-allocator.so.1", "libnvidia-encode.so.1", "libnvcuvid.so.1"),
        *("libnvidia-opticalflow.so.1", "libnvidia-fbc.so.1", "libnvoptix.so.1"),
    )
)
_GLIBC = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")
_EXAMPLES = 5  # programs that are named for one gap


@dataclass(frozen=True, slots=True)
class Gap:
    """A library that is needed and not found.

    Args:
        library: its name, or the path of a dynamic linker.
        needed_by: path of the file that needs it.
        loaded_by: what is started or imported when that happens, some of them.
        elsewhere: files of this name, or with this soname, where nothing looks for them.
        configured: one of them lies in a folder of /etc/ld.so.conf, so the cache is older.
        broken: a file that would be taken and is no library.
    """

    library: str
    needed_by: str
    loaded_by: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    configured: bool = False
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """A gap that a rule lets pass."""

    gap: Gap
    because: str


@dataclass(frozen=True, slots=True)
class Unused:
    """A library that no other file of the image needs.

    Args:
        path: of it.
        size: in bytes.
        links: further names of the same bytes (hard links).
        named_in: other files in which its name stands, some of them: they may open it by name.
    """

    path: str
    size: int
    links: tuple[str, ...] = ()
    named_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found; paths are absolute, as in the image.

    Args:
        files: how many ELF files were loaded.
        size: their bytes.
        missing: gaps that no rule lets pass.
        allowed: gaps that one does.
        unversioned: versions of symbols that a library needs and the one that is found lacks.
        unused: large libraries that nothing links, largest first.
        foreign: ELF files for other machines, which were not looked at.
        damaged: files that begin like ELF files and are none, with the fault.
        idle: rules of hps.toml that let nothing pass.
        glibc: the highest version that the C library of the image defines.
    """

    files: int
    size: int
    missing: tuple[Gap, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    unversioned: tuple[Unversioned, ...] = ()
    unused: tuple[Unused, ...] = ()
    foreign: tuple[str, ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()
    idle: tuple[External, ...] = ()
    glibc: str | None = None

    @property
    def passed(self) -> bool:
        """Whether everything that can be seen to be needed is there."""
        return not self.missing and not self.unversioned


@dataclass(slots=True)
class _Seen:
    """What loading all objects gave."""

    processes: Mapping[str, Process]
    roots: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)


def rules(config: Target) -> tuple[External, ...]:
    """What may be missing in the image of a target: its own rules first, then the driver's.

    A CPU image has no driver to wait for: what needs one there is at fault.
    """
    return (*config.audit.external, *(DRIVER_LIBRARIES if config.device == "gpu" else ()))


def audit(
    image: ElfImage, linker: Linker, external: Sequence[External], *, large: int = LARGE
) -> Audit:
    """Audit an image.

    Args:
        image: its files.
        linker: its dynamic linker.
        external: what may be missing; the first rule that fits lets a gap pass.
        large: bytes from which an unused library is told.
    """
    every = {path: thing for path, thing in image if thing.elf and thing.elf.kind != "other"}
    objects = {path: one for path, one in every.items() if one.elf and linker.fits(one.elf)}
    seen = _load(linker, objects)
    gaps = _gaps(image, linker, objects, seen)
    single = {one.path: one.size for one in objects.values()}  # hard links are one file
    fitting = {gap: next((rule for rule in external if _fits(rule, gap)), None) for gap in gaps}
    used = {rule for rule in fitting.values() if rule}
    unversioned = {one for root in seen.roots for one in seen.processes[root].unversioned}
    return Audit(
        files=len(single),
        size=sum(single.values()),
        missing=tuple(gap for gap, rule in fitting.items() if rule is None),
        allowed=tuple(Allowed(gap, rule.because) for gap, rule in fitting.items() if rule),
        unversioned=tuple(_absolute(one) for one in sorted(unversioned, key=_order)),
        unused=tuple(_unused(image, objects, seen, large)),
        foreign=tuple(f"/{path}" for path in every if path not in objects),
        damaged=tuple((f"/{path}", thing.fault) for path, thing in image if thing.fault),
        idle=tuple(rule for rule in external if rule not in used and rule not in DRIVER_LIBRARIES),
        glibc=_glibc(objects),
    )


def configured_folders(image: ElfImage) -> tuple[str, ...]:
    """Folders that the configuration of ldconfig names (ldconfig(8)).

    `include` lines are taken for the one that every distribution has, ld.so.conf.d/*.conf.
    """
    notes = [
        (path, thing.note)
        for path, thing in image
        if thing.note is not None
        and (path == LINKER_CONFIGURATION or path.startswith(f"{LINKER_CONFIGURATION}.d/"))
    ]
    lines = [
        line.partition(b"#")[0].strip().decode("utf-8", "backslashreplace")
        for _, note in notes
        for line in note.splitlines()
    ]
    return tuple(dict.fromkeys(line.rstrip("/") for line in lines if line.startswith("/")))


def _load(linker: Linker, objects: Mapping[str, Thing]) -> _Seen:
    """Load everything; the roots are what a process can begin with, or what nobody else loads."""
    processes = {path: linker.load(path, one.elf) for path, one in objects.items() if one.elf}
    seen = _Seen(processes)
    for path, process in processes.items():
        seen.reached |= {one.real for one in process.loaded} - {path}
    covered: set[str] = set()
    begins = [path for path, one in objects.items() if _begins(one) or path not in seen.reached]
    for path in (*begins, *objects):  # the latter for libraries that only need each other
        if path not in covered or (path in seen.reached and _begins(objects[path])):
            seen.roots.append(path)
            covered |= {one.real for one in processes[path].loaded}
    seen.roots = list(dict.fromkeys(seen.roots))
    return seen


def _begins(thing: Thing) -> bool:
    return thing.module or (thing.elf is not None and thing.elf.kind == "executable")


def _gaps(image: ElfImage, linker: Linker, objects: Mapping[str, Thing], seen: _Seen) -> list[Gap]:
    places = _by_name(objects)
    loaded_by: dict[tuple[str, str, str], list[str]] = {}
    for root in seen.roots:
        for one in seen.processes[root].missing:
            key = (one.library, one.needed_by, one.broken)
            loaded_by.setdefault(key, []).append(f"/{root}")
    folders = {image.resolve(folder) for folder in configured_folders(image)}
    found = []
    for (library, needed_by, broken), roots in loaded_by.items():
        there = places.get(posixpath.basename(library), ())
        configured = any(posixpath.dirname(path) in folders for path in there)
        elsewhere = tuple(f"/{path}" for path in there)
        some = tuple(roots[:_EXAMPLES])
        found.append(Gap(library, f"/{needed_by}", some, elsewhere, configured, broken))
    for path, thing in objects.items():
        if thing.elf and thing.elf.interpreter and not linker.interpreter(thing.elf):
            found.append(Gap(thing.elf.interpreter, f"/{path}", (f"/{path}",)))
    return sorted(found, key=lambda gap: (gap.library, gap.needed_by))


def _by_name(objects: Mapping[str, Thing]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for path, one in objects.items():
        names = {posixpath.basename(path), one.elf.soname if one.elf else None}
        for name in names - {None}:
            places.setdefault(str(name), []).append(path)
    return places


def _fits(rule: External, gap: Gap) -> bool:
    return fnmatch.fnmatchcase(gap.library, rule.library) and fnmatch.fnmatchcase(
        gap.needed_by, rule.needed_by
    )


def _unused(
    image: ElfImage, objects: Mapping[str, Thing], seen: _Seen, large: int
) -> Sequence[Unused]:
    reached = {objects[path].path for path in seen.reached}
    names: dict[str, list[str]] = {}
    for path, one in objects.items():
        library = one.elf is not None and one.elf.kind == "library" and not one.elf.interpreter
        if one.size >= large and library and not one.module and one.path not in reached:
            names.setdefault(one.path, []).append(f"/{path}")
    named = _naming(image, {name for paths in names.values() for name in _called(objects, paths)})
    found = [
        Unused(
            paths[0],
            objects[paths[0][1:]].size,
            tuple(paths[1:]),
            _others(paths, [named[name] for name in sorted(_called(objects, paths))]),
        )
        for paths in names.values()
    ]
    return sorted(found, key=lambda one: (-one.size, one.path))


def _called(objects: Mapping[str, Thing], paths: Sequence[str]) -> set[str]:
    """What a program may call a library: its file's names, its soname, both without a version."""
    names = {posixpath.basename(path) for path in paths}
    elf = objects[paths[0][1:]].elf
    if elf is not None and elf.soname:
        names.add(elf.soname)
    return names | {f"{name.partition('.so')[0]}.so" for name in names}


def _naming(image: ElfImage, wanted: set[str]) -> dict[str, list[str]]:
    """The files in which each of some names stands."""
    found: dict[str, list[str]] = {name: [] for name in wanted}
    for path, thing in image:
        for name in wanted.intersection(thing.names):
            found[name].append(f"/{path}")
    return found


def _others(paths: Sequence[str], named: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Files that name a library, without itself."""
    found = dict.fromkeys(path for some in named for path in some if path not in paths)
    return tuple(found)[:_EXAMPLES]


def _glibc(objects: Mapping[str, Thing]) -> str | None:
    names = {
        name
        for one in objects.values()
        if one.elf and one.elf.soname == "libc.so.6"
        for name in one.elf.defines
    }
    versions = [found[1] for name in names if (found := _GLIBC.fullmatch(name))]
    return max(versions, key=lambda one: tuple(map(int, one.split("."))), default=None)


def _absolute(one: Unversioned) -> Unversioned:
    return Unversioned(f"/{one.needed_by}", one.library, one.version, f"/{one.found}")


def _order(one: Unversioned) -> tuple[str, str, str]:
    return one.library, one.version, one.needed_by
