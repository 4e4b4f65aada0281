"""Compiles modules; run by the image's interpreter (3.10 to 3.13) in the sandbox, alone.

Imports nothing of hps and nothing beyond the standard library. How the result is the same on
every run is in docs/adr/0003-bytecode.md; in short: `marshal` marks an object as shared when
its reference count is above one, which depends on what the process did before. Here every
object of a module is held once more while it is marshalled, so that all of them are marked, and
strings of which there is one in a process are interned before the first file.

Usage: bytecode_program.py wheels OUTPUT PURELIB PLATLIB WHEEL...
       bytecode_program.py trees OUTPUT FOLDER...
"""

import email.parser
import importlib.util
import json
import marshal
import os
import struct
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator
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


def sets(value: object) -> Iterator[frozenset[object]]:
    """Every frozenset among the constants of a code object."""
    if isinstance(value, frozenset):
        yield value
    elif isinstance(value, types.CodeType):
        for item in value.co_consts:
            yield from sets(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from sets(item)


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
    if any(True for _ in sets(first)):
        # A set with strings is built anew when one of them is interned already as another
        # object, and shared or ordered differently for it. While `first` lives, all are.
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    if not all(stable(value) for value in sets(code)):
        raise ValueError("no stable form")
    held: list[object] = [first]
    hold(code, held)
    data = marshal.dumps(code)
    return importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(source) + data


def sources_of_wheel(path: str, purelib: str, platlib: str) -> Iterator[tuple[str, Reader]]:
    """Yield (path in the image, function that reads it) for all modules of a wheel."""
    archive = zipfile.ZipFile(path)
    names = archive.namelist()
    info = next(n for n in names if n.count("/") == 1 and n.endswith(".dist-info/WHEEL"))
    headers = email.parser.BytesHeaderParser().parsebytes(archive.read(info))
    pure = str(headers.get("Root-Is-Purelib", "")).strip().lower() == "true"
    root = purelib if pure else platlib
    for name in names:
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
            target = importlib.util.cache_from_source(path, optimization="")
            files.append([path, target, len(module)])
        index = json.dumps({"files": files, "skipped": skipped}, separators=(",", ":")).encode()
        out.write(index + struct.pack(">Q", len(index)))


def main(arguments: list[str]) -> None:
    """Run one of the two modes."""
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
    else:
        raise SystemExit("no such mode: " + mode)
    write(sources, output)


if __name__ == "__main__":
    main(sys.argv[1:])
