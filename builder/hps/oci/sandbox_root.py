"""The root of a sandbox as Docker can take it: large folders are mounted, the rest is an image."""

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from hps.config.target import ImageSettings
from hps.derivation.emulation import host_platform
from hps.digest import Blob, Digest
from hps.errors import SandboxError
from hps.oci.image import Image, assemble

# Never taken from the root: the engine mounts them, or the sandbox gives fresh ones.
_PRIVATE = frozenset({"dev", "in", "out", "proc", "run", "sys", "tmp"})


def mounted_folders(root: Path) -> list[str]:
    """The top-level folders of a root that are mounted, not sent."""
    with os.scandir(root) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name not in (_PRIVATE | {"etc"})
        )


def root_image(data: bytes) -> Image:
    """The image of one layer that `root_tar` made."""
    layer = Blob(Digest.of(data), len(data))
    return assemble(None, ImageSettings(), [layer], platform=host_platform(), epoch=0)


def root_tar(root: Path) -> bytes:
    """A tar of what a root holds beside its mounted folders, the same for the same content.

    Raises:
        SandboxError: the root cannot be read.
    """
    buffer = io.BytesIO()
    try:
        folders = {*_PRIVATE, *mounted_folders(root)}
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(folders):
                _add_folder(tar, name)
            for path in sorted(_sent(root), key=os.fsencode):
                _add(tar, path, path.relative_to(root).as_posix())
    except OSError as error:
        raise SandboxError(f"the root file system {root} cannot be read", got=error) from error
    return buffer.getvalue()


def _sent(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if path.name in _PRIVATE or (path.is_dir() and not path.is_symlink()):
            continue
        yield path
    etc = root / "etc"
    if etc.is_dir() and not etc.is_symlink():
        yield etc
        yield from etc.rglob("*")


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    member.mode = 0o755
    tar.addfile(member)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        _add_folder(tar, name)
        return
    member = tarfile.TarInfo(name)
    if stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.linkname = str(path.readlink())
        tar.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        data = path.read_bytes()
        member.size = len(data)
        member.mode = 0o755 if status.st_mode & 0o111 else 0o644
        tar.addfile(member, io.BytesIO(data))
