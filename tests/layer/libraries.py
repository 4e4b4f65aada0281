"""Tiny shared libraries and programs, made by the C compiler, and tars that hold them."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hps.layer.elf import ReadAt
from hps.layer.elf_layer import Thing, layer_things

# Two lines of C are enough for the linker; nothing of libc comes along.
_BARE = ("-nostdlib", "-Wl,--hash-style=gnu", "-Wl,--build-id=none")


@dataclass(frozen=True)
class Wanted:
    """How a library is made: what it needs (paths of libraries), and where it looks for that."""

    soname: str | None = None
    needs: Sequence[Path] = ()
    rpath: str | None = None
    runpath: str | None = None
    source: str = "int answer(void) { return 42; }"
    versions: str | None = None  # a version script of ld(1)
    flags: Sequence[str] = ()


def library(path: Path, wanted: Wanted | None = None) -> Path:
    """Compile a shared library."""
    return _compile(path, wanted or Wanted(), ["-shared", "-fPIC"])


def program(path: Path, wanted: Wanted | None = None) -> Path:
    """Compile a program that does nothing, dynamically linked."""
    wanted = wanted or Wanted()
    start = "void _start(void) { for (;;) {} }"
    return _compile(path, wanted, ["-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2"], start)


def _compile(path: Path, wanted: Wanted, how: list[str], source: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [*how, *_BARE, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *wanted.flags]
    if wanted.soname:
        words.append(f"-Wl,-soname,{wanted.soname}")
    if wanted.rpath is not None:
        words += ["-Wl,--disable-new-dtags", f"-Wl,-rpath,{wanted.rpath}"]
    if wanted.runpath is not None:
        words += ["-Wl,--enable-new-dtags", f"-Wl,-rpath,{wanted.runpath}"]
    if wanted.versions is not None:
        script = path.with_name(f"{path.name}.map")
        script.write_text(wanted.versions)
        words.append(f"-Wl,--version-script,{script}")
    subprocess.run(
        ["gcc", *words, "-x", "c", "-", "-x", "none", *map(str, wanted.needs), "-o", str(path)],
        input=(source or wanted.source).encode(),
        check=True,
        capture_output=True,
    )
    return path


def reader(path: Path) -> ReadAt:
    """Bytes of a file on this disk."""
    return partial(_read, path.read_bytes())


def of_bytes(data: bytes) -> ReadAt:
    """Bytes that are no file."""
    return partial(_read, data)


def _read(data: bytes, offset: int, count: int) -> bytes:
    return data[offset : offset + count] if offset < len(data) else b""


Member = Path | bytes | str | None  # a file of this disk, its bytes, a link's target, a folder


def tar(members: Mapping[str, Member]) -> bytes:
    """A tar of these members in order; `=PATH` as a target makes a hard link."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, member in members.items():
            info = tarfile.TarInfo(name)
            content = b""
            if member is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(member, str):
                info.type = tarfile.LNKTYPE if member.startswith("=") else tarfile.SYMTYPE
                info.linkname = member.removeprefix("=")
            else:
                content = member if isinstance(member, bytes) else member.read_bytes()
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def things(folder: Path, members: Mapping[str, Member]) -> list[Thing]:
    """What a layer of these members holds."""
    layer = folder / f"layer-{os.urandom(4).hex()}.tar"
    layer.write_bytes(tar(members))
    return list(layer_things(layer, "a layer", folder))


def host_libraries(count: int) -> Iterator[Path]:
    """Some ELF files of this machine, of every size; links are not followed."""
    found = 0
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/bin"):
        for path in sorted(Path(folder).glob("*")) if Path(folder).is_dir() else ():
            if path.is_symlink() or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) != b"\x7fELF":
                    continue
            found += 1
            if found % 9 == 0:
                yield path
            if found >= 9 * count:
                return
