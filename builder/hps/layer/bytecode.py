"""Bytecode of an image's modules, compiled by the image's own interpreter in the sandbox.

docs/adr/0003-bytecode.md says how it is made the same everywhere, and what was measured. This
module prepares the run of `bytecode_program` and reads the container that it writes.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hps.archive.decompress import window
from hps.archive.paths import safe
from hps.derivation.sandbox import Command
from hps.errors import StoreCorruptError
from hps.layer import bytecode_program
from hps.layer.entry import Scheme

_MAGIC = bytecode_program.MAGIC
_LENGTH = struct.Struct(">Q")
_OWN = "/in/own"  # where the program's own bytecode is shown
_OUTPUT = "bytecode"  # file name of the container in a command's output folder
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """One compiled module: its path in the image and its size in bytes."""

    path: str
    size: int
    offset: int


class Bytecode:
    """The container that `bytecode_program` wrote: compiled modules by the path of their source.

    Args:
        path: of the container.

    Raises:
        StoreCorruptError: it is no such container, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._by_source, self.skipped = _read(path)
        except (ValueError, TypeError, KeyError, struct.error) as error:
            raise StoreCorruptError(
                f"{path.name} holds no bytecode, or is damaged",
                got=error,
                hint="hps store verify",
            ) from error
        self._by_path = {compiled.path: compiled for compiled in self._by_source.values()}
        self._sources = {one.path: source for source, one in self._by_source.items()}

    def names(self) -> list[str]:
        """Paths of all compiled modules in the image, sorted."""
        return sorted(self._by_path)

    def of(self, source: str) -> Compiled | None:
        """What a source file of the image was compiled to; None if it does not compile."""
        return self._by_source.get(source)

    def source(self, path: str) -> str | None:
        """Of which source file a compiled module is made, by its path."""
        return self._sources.get(path)

    def open(self, path: str) -> BinaryIO:
        """A reader of one compiled module, by its path; raises KeyError for an unknown one."""
        compiled = self._by_path[path]
        return window(self._path, compiled.offset, compiled.size)

    def __iter__(self) -> Iterator[Compiled]:
        return (self._by_path[name] for name in self.names())


def _read(path: Path) -> tuple[dict[str, Compiled], dict[str, str]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("another beginning")
        file.seek(max(len(_MAGIC), size - _LENGTH.size))
        (length,) = _LENGTH.unpack(file.read())
        start = size - _LENGTH.size - length
        if start < len(_MAGIC):
            raise ValueError("the index is longer than the file")
        file.seek(start)
        index = json.loads(file.read(length))
    compiled = {}
    offset = len(_MAGIC)
    for source, target, bytes_ in index["files"]:
        if type(bytes_) is not int or bytes_ < 0:
            raise ValueError("no size")
        compiled[safe(source)] = Compiled(safe(target), bytes_, offset)
        offset += bytes_
    if offset != start:
        raise ValueError("the modules do not fill the file")
    return compiled, {safe(source): str(reason) for source, reason in index["skipped"]}


def compile_own(root: Path, interpreter: str, output: Path) -> Command:
    """The run that compiles those modules of the standard library that the program itself loads.

    A root without bytecode costs every run 0.3 s for them, many times what a small wheel takes.

    Args:
        root: root file system of the image, as far as the interpreter needs it.
        interpreter: absolute path in it.
        output: a folder outside; `container(output)` is made in it.
    """
    return _command(root, interpreter, ["own", f"/out/{_OUTPUT}"], {}, output)


def lay_out(bytecode: Bytecode, folder: Path) -> None:
    """Write modules as files where an interpreter with this `pycache_prefix` looks for them.

    That is the path of the source below the prefix, without __pycache__ (PEP 3147 as amended for
    sys.pycache_prefix).
    """
    for module in bytecode:
        path = folder / module.path.replace("/__pycache__/", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        with bytecode.open(module.path) as reader:
            path.write_bytes(reader.read())


def compile_wheels(
    root: Path,
    interpreter: str,
    wheels: Sequence[Path],
    scheme: Scheme,
    output: Path,
    *,
    own: Path | None = None,
) -> Command:
    """The run that compiles all modules of some wheels, for where `scheme` puts them.

    Args:
        root: root file system of the image, as far as the interpreter needs it.
        interpreter: absolute path in it.
        wheels: files outside the sandbox; the order does not matter.
        scheme: purelib and platlib are looked at.
        output: a folder outside; `container(output)` is made in it.
        own: a folder that `lay_out` filled with what `compile_own` gave; saves time, and
            changes nothing in what comes out.
    """
    inputs = {f"/in/{number:04}.whl": wheel for number, wheel in enumerate(wheels)}
    arguments = ["wheels", f"/out/{_OUTPUT}", scheme.purelib, scheme.platlib, *inputs]
    if own is None:
        return _command(root, interpreter, arguments, inputs, output)
    prefix = ("-X", f"pycache_prefix={_OWN}")
    return _command(root, interpreter, arguments, inputs | {_OWN: own}, output, options=prefix)


def compile_trees(root: Path, interpreter: str, trees: Sequence[str], output: Path) -> Command:
    """The run that compiles all modules below some folders of the root file system itself.

    Args:
        root: the root file system.
        interpreter: absolute path in it.
        trees: folders without leading slash, such as `usr/lib/python3.11`.
        output: a folder outside; `container(output)` is made in it.
    """
    return _command(root, interpreter, ["trees", f"/out/{_OUTPUT}", *trees], {}, output)


def container(output: Path) -> Path:
    """Where a finished command left its container."""
    return output / _OUTPUT


def _command(
    root: Path,
    interpreter: str,
    arguments: Sequence[str],
    inputs: dict[str, Path],
    output: Path,
    *,
    options: Sequence[str] = (),
) -> Command:
    program = Path(bytecode_program.__file__)
    # -I: nothing from the environment; -S: no .pth file runs; -B: writes nothing beside sources.
    return Command(
        argv=[interpreter, "-I", "-S", "-B", *options, "/in/bytecode_program.py", *arguments],
        root=root,
        inputs={"/in/bytecode_program.py": program, **inputs},
        output=output,
        environment=_ENVIRONMENT,
    )
