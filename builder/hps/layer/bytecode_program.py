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


class Survey:
    """Every object that a code object is made of, and what of it depends on a process's history.

    Attributes:
        held: the objects, the code object included.
        names: strings that serve as names.
        texts: strings that are constants, or are in constant tuples and sets.
        sets: the constant sets.
    """

    def __init__(self, code: types.CodeType) -> None:
        self.held: list[object] = []
        self.names: set[str] = set()
        self.texts: set[str] = set()
        self.sets: list[frozenset[object]] = []
        todo: list[object] = [code]
        while todo:
            value = todo.pop()
            self.held.append(value)
            if isinstance(value, str):
                self.texts.add(value)
            elif isinstance(value, tuple):
                todo += value
            elif isinstance(value, frozenset):
                self.sets.append(value)
                todo += value
            elif isinstance(value, types.CodeType):
                todo.append(value.co_consts)
                self._names(value)

    def _names(self, code: types.CodeType) -> None:
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self.held.append(names)
            self.held += names
            self.names.update(names)
        own = [code.co_filename, code.co_name]
        own += [code.co_qualname] if _FROM_3_11 else []
        self.held += own
        self.names.update(own)
        self.held.append(code.co_linetable)
        # Before 3.11 co_code is an object of its own; later it is made anew when asked for.
        self.held.append(code.co_exceptiontable if _FROM_3_11 else code.co_code)

    def depends_on_history(self) -> bool:
        """Whether the compilation depends on which strings the process has interned before.

        CPython interns names, and constants that look like names. Where a string of another look
        is a name and a constant at once (a nested class's qualified name), one object serves as
        both unless the string is interned already. A constant set is built anew when one of its
        strings is, so that it is no longer shared with an equal one; before 3.11 it may also come
        in another order.
        """
        once = _FROM_3_11 and len(set(self.sets)) == len(self.sets)
        if self.sets and not once:
            return True
        return not all(looks_like_name(text) for text in self.texts & self.names)


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
    first = survey = Survey(code)
    if first.depends_on_history():
        # While `first` lives all of its strings are interned, whatever was before.
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        survey = Survey(code)
    if not all(stable(value) for value in survey.sets):
        raise ValueError("no stable form")
    data = marshal.dumps(code)  # `survey` holds every object once more, and `first` those before
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
