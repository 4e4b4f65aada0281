"""The least that any builder must do: inflate, hash and write; and compile every module."""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lab import Lab
from measuring import Row, timed

from hps.archive.paths import Limits
from hps.archive.zip_archive import ZipArchive
from hps.build.project import Project
from hps.layer import bytecode_program
from hps.layer.deb import data_members

_PIECE = 1 << 20

Pieces = Callable[[], Iterator[bytes]]


def floor_row(lab: Lab, threads: int) -> Row:
    """Unpack every wheel and deb into one file each, hashed on the way, and nothing else.

    isal inflates and liblzma unpacks, as in hps; nothing is synced to the disk. Large ones come
    first, so that no thread is left alone in the end.
    """
    folder = lab.folder / "floor"
    folder.mkdir()
    sources: list[Pieces] = [partial(_wheel, path, ("",)) for path in lab.wheels().values()]
    debs = sorted(lab.target.debs, key=lambda deb: -deb.size)
    sources += [partial(_deb, lab.blob(deb.sha256), deb.file) for deb in debs]
    sources += [
        partial(_wheel, lab.blob(archive.sha256), _copied(lab, archive.name))
        for archive in lab.target.archives
        if archive.file.endswith(".whl")
    ]
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        paths = [folder / str(number) for number in range(len(sources))]
        size = sum(pool.map(_write, paths, sources))
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return Row(f"floor: inflate, hash, write {size / 1e6:.0f} MB, {threads} threads", seconds)


def _write(path: Path, pieces: Pieces) -> int:
    hasher = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        for piece in pieces():
            hasher.update(piece)
            file.write(piece)
    return path.stat().st_size


def _wheel(path: Path, prefixes: tuple[str, ...]) -> Iterator[bytes]:
    archive = ZipArchive(path, path.name)
    for member in archive.members:
        if member.name.startswith(prefixes):
            with archive.open(member) as reader:
                while piece := reader.read(_PIECE):
                    yield piece


def _deb(path: Path, file: str) -> Iterator[bytes]:
    with data_members(path, Limits(), file) as members:
        for member in members:
            while member.reader is not None and (piece := member.reader.read(_PIECE)):
                yield piece


def _copied(lab: Lab, name: str) -> tuple[str, ...]:
    """What hps.toml takes from an archive."""
    archives = Project.open(lab.project).target(lab.target.name).archives
    return tuple(rule.from_ for one in archives if one.name == name for rule in one.copy_)


def bytecode_row(lab: Lab) -> Row:
    """Compile the modules of all wheels with the program that hps uses, in two processes.

    Without sandbox, without store, many wheels to a process. The interpreter is this one; when
    the image has another version the figure is near, not exact.
    """
    program = [sys.executable, "-I", "-S", "-B", bytecode_program.__file__, "wheels"]
    folders = [lab.scheme.purelib, lab.scheme.platlib]
    wheels = [str(path) for path in lab.wheels().values()]
    outputs = [str(lab.folder / f"bytecode-{number}") for number in range(2)]
    lines = [
        [*program, output, *folders, *wheels[number::2]] for number, output in enumerate(outputs)
    ]
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(timed, lines))
    return Row("bytecode alone, 2 processes", time.perf_counter() - start)
