"""Debian packages, tars and zips made for tests, byte by byte or with dpkg-deb, and read back."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import zstandard

from hps.layer.deb import control
from hps.layer.deb_layer import LocalDeb
from hps.layer.entry import Entry

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@dataclass(frozen=True)
class Part:
    """One tar member: `link` for links, `device` for a tar type of its own."""

    name: str
    data: bytes = b""
    mode: int = 0o644
    link: str = ""
    kind: bytes = tarfile.REGTYPE


def folder(name: str, mode: int = 0o755) -> Part:
    return Part(name, mode=mode, kind=tarfile.DIRTYPE)


def symlink(name: str, link: str) -> Part:
    return Part(name, link=link, kind=tarfile.SYMTYPE, mode=0o777)


def hardlink(name: str, link: str) -> Part:
    return Part(name, link=link, kind=tarfile.LNKTYPE)


def tar_bytes(parts: Sequence[Part], *, form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for part in parts:
            info = tarfile.TarInfo(part.name)
            info.type, info.mode, info.linkname = part.kind, part.mode, part.link
            info.size = len(part.data)
            archive.addfile(info, io.BytesIO(part.data))
    return out.getvalue()


def ar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        out += b"\n" * (len(data) % 2)
    return out


def control_text(name: str, version: str = "1.0", **fields: str) -> bytes:
    known = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "Nobody <nobody@example.org>",
        **{key.replace("_", "-"): value for key, value in fields.items()},
        "Description": "made for a test\n more of it",
    }
    return "".join(f"{key}: {value}\n" for key, value in known.items()).encode()


def make_deb(
    target: Path,
    name: str,
    parts: Sequence[Part] = (),
    *,
    version: str = "1.0",
    suffix: str = ".xz",
    extra: Mapping[str, bytes] | None = None,
    **fields: str,
) -> LocalDeb:
    """A package made by hand, so that it can hold what dpkg-deb would refuse."""
    inner = {"control": control_text(name, version, **fields), **(extra or {})}
    control_tar = tar_bytes([Part(f"./{file}", data) for file, data in inner.items()])
    members = [
        ("debian-binary", b"2.0\n"),
        (f"control.tar{suffix}", PACK[suffix](control_tar)),
        (f"data.tar{suffix}", PACK[suffix](tar_bytes(parts))),
    ]
    path = target / f"{name}.deb"
    path.write_bytes(ar_bytes(members))
    return LocalDeb(name, fields.get("Architecture", "amd64"), version, path)


def local(path: Path) -> LocalDeb:
    fields = control(path)
    return LocalDeb(fields["Package"], fields["Architecture"], fields["Version"], path)


def downloaded(target: Path, *names: str) -> list[LocalDeb]:
    """Real packages, by the machine's own apt."""
    target.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        done = subprocess.run(
            ["apt-get", "download", "-q", *names], cwd=target, capture_output=True, check=False
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr.decode()
    return [local(path) for path in sorted(target.glob("*.deb"))]


def content(entry: Entry) -> bytes:
    assert entry.open is not None
    with closing(entry.open()) as reader:
        return reader.read()


def by_path(entries: Sequence[Entry]) -> dict[str, Entry]:
    found = {entry.path: entry for entry in entries}
    assert len(found) == len(entries), "a path twice"
    return found


def write_out(entries: Sequence[Entry], root: Path) -> None:
    """Entries as files, written for tests: simple, and not by the code that hps uses."""
    for entry in entries:
        place = root / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == "directory":
            place.mkdir(exist_ok=True)
        elif entry.kind == "symlink":
            place.symlink_to(entry.link)
        elif entry.kind == "hardlink":
            os.link(root / entry.link, place)
        else:
            assert entry.open is not None
            with closing(entry.open()) as source, place.open("xb") as sink:
                shutil.copyfileobj(source, sink)
            assert place.stat().st_size == entry.size
        if entry.kind in {"directory", "file"}:
            place.chmod(entry.permissions)
