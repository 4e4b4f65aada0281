"""Compiles modules; run by the image's interpreter (3.10 to 3.13) in the sandbox, alone.

Imports nothing of hps and nothing beyond the standard library. How the result is the same on
every run is in docs/adr/0003-bytecode.md; in short: `marshal` marks an object as shared when
its reference count is above one, and the compiler's output depends on which strings are interned
already. So every object of a module is held once more while it is marshalled, strings of which
there is one in a process are interned first, and a module for which it matters is compiled again
while its first result is alive.

Usage: bytecode_program.py wheels OUTPUT PURELIB PLATLIB WHEEL...
       bytecode_program.py trees OUTPUT FOLDER...
       bytecode_program.py own OUTPUT
"""

import encodings.cp437  # noqa: F401 - zipfile needs it; named here so that `own` finds it
import importlib.util
import json
import marshal
import os
import struct
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

MAGIC = b"hps-bytecode/1\n"
_FROM_3_11 = sys.hexversion >= 0x030B0000  # noqa: PLR2004 - this file also runs on 3.10

Reader = Callable[[], bytes]
_UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: hash-based, source is not looked at


def settle() -> None:
    """Bring strings that exist once in a process into the one state that they can end in."""
    warnings.simplefilter("ignore")
    sys.intern("")
    for number in range(256):
        sys.intern(chr(number))


def hold(value: object, held: list[object]) -> None:
    """Append every object that a code object is made of, itself included."""
    held.append(value)
    if isinstance(value, (tuple, frozenset)):
        for item in value:
            hold(item, held)
    elif isinstance(value, types.CodeType):
        parts: list[object] = [value.co_consts, value.co_names, value.co_varnames]
        parts += [value.co_freevars, value.co_cellvars, value.co_filename, value.co_name]
        parts += [value.co_linetable]
        # Before 3.11 co_code is an object of its own; later it is made anew when asked for.
        more = ("co_qualname", "co_exceptiontable") if _FROM_3_11 else ("co_code",)
        parts += [getattr(value, name) for name in more]
        for part in parts:
            hold(part, held)


def constants(value: object) -> Iterator[object]:
    """A value with all that is in it, down to the last code object, tuple and set."""
    yield value
    inner: Iterable[object] = ()
    if isinstance(value, types.CodeType):
        inner = value.co_consts
    elif isinstance(value, (tuple, frozenset)):
        inner = value
    for item in inner:
        yield from constants(item)


def depends_on_history(everything: list[object]) -> bool:
    """Whether a compilation depends on which strings the process has interned before.

    CPython interns names, and constants that look like names. Where a string of another look is
    a name and a constant at once (a nested class's qualified name), one object serves as both
    unless the string is interned already. A constant set is built anew, and so is no longer
    shared or comes in another order, when one of its strings is.
    """
    texts = {v for v in everything if isinstance(v, str) and not looks_like_name(v)}
    for value in everything:
        if isinstance(value, frozenset):
            return True
        if isinstance(value, types.CodeType):
            own = {value.co_filename, value.co_name, getattr(value, "co_qualname", "")}
            names = value.co_names + value.co_varnames + value.co_freevars + value.co_cellvars
            if not texts.isdisjoint(own.union(names)):
                return True
    return False


def looks_like_name(text: str) -> bool:
    """Whether CPython interns a constant string (all_name_chars in Objects/codeobject.c)."""
    return text.isascii() and (not text or text.replace("_", "a").isalnum())


def stable(value: frozenset[object]) -> bool:
    """Whether marshal writes a set in the same order in every process with one hash seed.

    From 3.11 on sets are sorted. Before, they come in the order of their hashes, which for None
    and others depends on addresses.
    """
    return _FROM_3_11 or len(value) <= 1 or all(isinstance(i, (str, bytes, int)) for i in value)


def compiled(source: bytes, path: str) -> bytes:
    """The content of the .pyc of a module.

    Raises what `compile` raises: SyntaxError, ValueError, RecursionError, ...
    """
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    first = code
    if depends_on_history(list(constants(first))):
        # While `first` lives all of its strings are interned, whatever was before.
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    if not all(stable(value) for value in constants(code) if isinstance(value, frozenset)):
        raise ValueError("no stable form")
    held: list[object] = [first]
    hold(code, held)
    data = marshal.dumps(code)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source) + data


def sources_of_this() -> Iterator[tuple[str, Reader]]:
    """Yield (path in the image, function that reads it) for all modules that this program loads."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if path.endswith(".py") and module is not sys.modules["__main__"]:
            yield path[1:], Path(path).read_bytes


def is_pure(archive: zipfile.ZipFile) -> bool:
    """Whether the top of a wheel belongs to purelib."""
    import email.parser  # noqa: PLC0415 - half of the start-up time, and Debian needs no answer

    names = archive.namelist()
    info = next(n for n in names if n.count("/") == 1 and n.endswith(".dist-info/WHEEL"))
    headers = email.parser.BytesHeaderParser().parsebytes(archive.read(info))
    return str(headers.get("Root-Is-Purelib", "")).strip().lower() == "true"


def sources_of_wheel(path: str, purelib: str, platlib: str) -> Iterator[tuple[str, Reader]]:
    """Yield (path in the image, function that reads it) for all modules of a wheel."""
    archive = zipfile.ZipFile(path)
    root = purelib if purelib == platlib or is_pure(archive) else platlib
    for name in archive.namelist():
        top, _, rest = name.partition("/")
        if not name.endswith(".py"):
            continue
        if not top.endswith(".data"):
            yield root + "/" + name, partial(archive.read, name)
            continue
        kind, _, below = rest.partition("/")
        if kind in ("purelib", "platlib"):
            folder = purelib if kind == "purelib" else platlib
            yield folder + "/" + below, partial(archive.read, name)


def sources_of_tree(tree: str) -> Iterator[tuple[str, Reader]]:
    """Yield (path in the image, function that reads it) for all modules below a folder."""
    for folder, _, names in os.walk("/" + tree):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".py") and path.is_file():
                yield str(path)[1:], path.read_bytes


def cached(path: str) -> str:
    """Where the bytecode of a source belongs; sys.pycache_prefix is for this program alone."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"


def write(sources: dict[str, Reader], output: str) -> None:
    """Compile in the order of paths and write the container."""
    files, skipped = [], []
    with Path(output).open("wb") as out:
        out.write(MAGIC)
        for path in sorted(sources, key=lambda path: path.encode("utf-8", "surrogateescape")):
            data = sources[path]()
            try:
                module = compiled(data, "/" + path)
            except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
                # As pip does; the interpreter will say why when the module is imported.
                skipped.append([path, type(error).__name__])
                continue
            out.write(module)
            files.append([path, cached(path), len(module)])
        index = json.dumps({"files": files, "skipped": skipped}, separators=(",", ":")).encode()
        out.write(index + struct.pack(">Q", len(index)))


def main(arguments: list[str]) -> None:
    """Run one of the modes."""
    mode, output, *rest = arguments
    settle()
    sources: dict[str, Reader] = {}
    if mode == "wheels":
        purelib, platlib, *wheels = rest
        for wheel in wheels:
            sources.update(sources_of_wheel(wheel, purelib, platlib))
    elif mode == "trees":
        for tree in rest:
            sources.update(sources_of_tree(tree))
    elif mode == "own":
        sources.update(sources_of_this())
    else:
        raise SystemExit("no such mode: " + mode)
    write(sources, output)


if __name__ == "__main__":
    main(sys.argv[1:])
