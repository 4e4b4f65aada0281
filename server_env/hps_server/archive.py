"""Tar archives of 3D detection: read with suspicion and written anew.

PaddleX extracts every member as it is named, into a folder that all requests share, and then
unpickles one of them. What leaves here is a plain tar of folders and files with safe names below
one folder of this request's own, with the pickle read as data and written again.
"""

import bz2
import io
import lzma
import pickle
import posixpath
import tarfile
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from hps_server.limits import Limits
from hps_server.plain_pickle import PicklingRefusedError, read
from hps_server.refused import Refused

PREFIX = "hps-"  # of the folder that PaddleX extracts to; whoever calls PaddleX may remove it
ANNOTATIONS = "nuscenes_infos_val.pkl"  # PaddleX opens this name in the archive's one folder
_MOST_LEVELS = 32
_MEMORY = 64 << 20  # what an xz decoder may take


def clean_tar(
    data: bytes, limits: Limits, check: "Callable[[str, bytes], None]" = lambda *_: None
) -> bytes:
    """The same files in an archive that may be extracted anywhere.

    Args:
        data: a tar, plain or compressed by gzip, bzip2 or xz.
        limits: of members and unpacked size.
        check: called with name and content of every file; it raises Refused.

    Raises:
        Refused: it is no tar, too large, or holds what has no place in it.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflate(data, limits)), mode="r:") as archive:
            files = dict(_files(archive, limits))
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError):
        raise _invalid("it is no sound tar archive") from None
    files = _below_one_folder(files)
    for name, content in files.items():
        check(name, content)
    if ANNOTATIONS not in files:
        raise _invalid(f"the archive holds no {ANNOTATIONS} in its one folder")
    files[ANNOTATIONS] = _clean_annotations(files[ANNOTATIONS], files)
    return _write(files)


def _inflate(data: bytes, limits: Limits) -> bytes:
    decoder: Any = None
    if data.startswith(b"\x1f\x8b"):
        decoder = zlib.decompressobj(31)
    elif data.startswith(b"BZh"):
        decoder = bz2.BZ2Decompressor()
    elif data.startswith(b"\xfd7zXZ\x00"):
        decoder = lzma.LZMADecompressor(memlimit=_MEMORY)
    if decoder is None:
        return data
    try:
        content = decoder.decompress(data, limits.max_unpacked_bytes + 1)
    except (zlib.error, OSError, lzma.LZMAError, MemoryError):
        raise _invalid("its compression is broken") from None
    if len(content) > limits.max_unpacked_bytes:
        raise _invalid(f"it unpacks to more than {limits.max_unpacked_bytes} bytes")
    if not decoder.eof:
        raise _invalid("its compression is broken")
    return bytes(content)


def _files(archive: tarfile.TarFile, limits: Limits) -> "Iterator[tuple[str, bytes]]":
    seen: set[str] = set()
    for count, member in enumerate(archive, start=1):
        if count > limits.max_archive_members:
            raise _invalid(f"the archive has more than {limits.max_archive_members} members")
        name = _safe_name(member.name)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise _invalid("the archive holds a link, a device or another special file")
        if name in seen:
            raise _invalid("the archive holds a file twice")
        seen.add(name)
        content = archive.extractfile(member)
        if content is None:
            raise _invalid("it is no sound tar archive")
        read_ = content.read()
        if len(read_) != member.size:
            raise _invalid("it is no sound tar archive")
        yield name, read_


def _safe_name(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    unsafe = name.startswith("/") or "\\" in name or ".." in parts or len(parts) > _MOST_LEVELS
    if unsafe or any(ord(sign) < 0x20 or sign == "\x7f" for sign in name):  # noqa: PLR2004 - control characters
        raise _invalid("the archive holds a file name that leads elsewhere")
    return "/".join(parts)


def _below_one_folder(files: "dict[str, bytes]") -> "dict[str, bytes]":
    """Names relative to the archive's one folder, which PaddleX asks for."""
    if ANNOTATIONS in files:  # packed from inside the folder
        return files
    tops = {name.partition("/")[0] for name in files}
    if len(tops) != 1 or tops & files.keys():
        raise _invalid("the archive must hold one folder")
    return {name.partition("/")[2]: content for name, content in files.items()}


def _clean_annotations(data: bytes, files: "dict[str, bytes]") -> bytes:
    try:
        annotations = read(data)
        for path in _paths(annotations):
            if not isinstance(path, str) or posixpath.normpath(path) not in files:
                raise _invalid(f"{ANNOTATIONS} names a file that the archive does not hold")
        return pickle.dumps(annotations, protocol=4)
    except PicklingRefusedError as error:
        raise _invalid(f"{ANNOTATIONS} cannot be read: {error}") from None
    except (LookupError, TypeError, AttributeError, RecursionError):
        raise _invalid(f"{ANNOTATIONS} is not what PaddleX reads") from None


def _paths(annotations: Any) -> "Iterator[Any]":
    """All the files that PaddleX opens because the annotations name them."""
    for info in annotations["infos"]:
        yield info["lidar_path"]
        for camera in info["cams"].values():
            yield camera["data_path"]
        for sweep in info["sweeps"]:
            yield sweep["data_path"]


def _write(files: "dict[str, bytes]") -> bytes:
    packed = io.BytesIO()
    top = f"{PREFIX}{uuid.uuid4().hex}"  # two requests must not extract to one folder
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folders = {folder for name in files for folder in _parents(name)}
        if folders & files.keys():
            raise _invalid("the archive holds a name both as a file and as a folder")
        for folder in ("", *sorted(folders)):
            member = tarfile.TarInfo(posixpath.join(top, folder).rstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _parents(name: str) -> "Iterator[str]":
    folder = posixpath.dirname(name)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)


def _invalid(reason: str) -> Refused:
    return Refused(f"Input file is invalid: {reason}")
