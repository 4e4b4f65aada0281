"""Layers to a folder: the root file system that a sandbox runs in.

Reads POSIX.1-2001 tar with pax records and GNU long names, and applies one layer over another
as the OCI image specification says (layer.md, "Applying Changesets" and "Whiteouts"). Owners are
ignored, so it needs no privileges; set-user-ID and set-group-ID bits are dropped, since the
folder lies on the builder's own disk. A symbolic link is laid down as it is and never followed:
an entry below one is refused.
"""

# Plain strings and one system call each, since entries come by the ten thousand:
# ruff: noqa: PTH101, PTH102, PTH108, PTH208, PTH211

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from hps.archive import tar_header
from hps.archive.paths import Limits, safe
from hps.errors import UnsafeArchiveError
from hps.layer.entry import Kind
from hps.store.filesystem import explain

_MIB = 2**20
_BLOCK = tar_header.BLOCK
_LAST_TIME = 2**33  # seconds; about the year 2242, what octal fields can hold
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"5": "directory",
}


@dataclass(frozen=True, slots=True)
class _Header:
    """An entry of a tar: where its content starts, and how many bytes it has."""

    path: str
    kind: Kind
    mode: int
    size: int
    mtime: int
    link: str
    start: int
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Owned:
    """What a folder on this disk cannot tell of a path: mode with all bits, owners as numbers."""

    mode: int
    uid: int
    gid: int


def unpack(
    layers: Iterable[Path],
    destination: Path,
    limits: Limits | None = None,
    owned: MutableMapping[str, Owned] | None = None,
) -> None:
    """Lay layers down, lowest first.

    Args:
        layers: uncompressed tars.
        destination: an empty folder, or one with layers below these; a file that is laid over
            another takes its place and is never written into it. On an error what is in it is
            good for nothing.
        limits: how much one layer may hold.
        owned: filled with what each path has that a folder cannot; a path that a later layer took
            away may still be in it.

    Raises:
        UnsafeArchiveError: a layer is no tar, cut off, or holds what would leave the folder,
            a device, or a link to nothing.
        StoreError: the disk is full, or cannot be written.
    """
    root = _Root(destination)
    for layer in layers:
        try:
            _apply(layer, root, limits or Limits(), owned)
        except OSError as error:
            raise explain(error, f"unpack {layer.name}", destination) from error
    try:
        root.finish()
    except OSError as error:
        raise explain(error, "unpack layers", destination) from error


def _apply(
    layer: Path, root: "_Root", limits: Limits, owned: MutableMapping[str, Owned] | None
) -> None:
    files = size = 0
    root.begin_layer()
    with layer.open("rb", buffering=0) as file:
        source = _Source(file.fileno(), layer.name)
        for header in _headers(source):
            files += 1
            size += header.size
            limits.check(layer.name, files=files, size=size)
            path = root.add(header, source)
            if owned is not None and path:
                first = owned.get(safe(header.link)) if header.kind == "hardlink" else None
                owned[path] = first or Owned(header.mode & 0o7777, header.uid, header.gid)


class _Source:
    """A tar that is read in windows of 1 MiB; large content is copied by the kernel."""

    def __init__(self, descriptor: int, where: str) -> None:
        self.where = f"layer {where}"
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._window = b""
        self._start = 0

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes, at most 1 MiB."""
        at = offset - self._start
        if at < 0 or at + size > len(self._window):
            self._window = os.pread(self._descriptor, _MIB, offset)
            self._start, at = offset, 0
        data = self._window[at : at + size]
        if len(data) != size:
            raise self.fault("cut off")
        return data

    def copy(self, offset: int, size: int, target: int) -> None:
        """Write a range of the tar to an open file."""
        if size <= _MIB // 4:
            data = memoryview(self.read(offset, size))
            while data:
                data = data[os.write(target, data) :]
            return
        end = offset + size
        while offset < end:
            count = os.sendfile(target, self._descriptor, offset, end - offset)
            if count == 0:
                raise self.fault("cut off")
            offset += count

    def fault(self, message: str, got: object = None) -> UnsafeArchiveError:
        """An error that names the layer."""
        return UnsafeArchiveError(f"{self.where}: {message}", got=got)


def _headers(source: _Source) -> Iterator[_Header]:
    offset = 0
    extended: dict[str, str] = {}
    while True:
        block = source.read(offset, _BLOCK)
        offset += _BLOCK
        if block == bytes(_BLOCK):
            return
        tar_header.check_sum(block, source.where)
        kind = block[156:157]
        size = tar_header.number(block[124:136], source.where)
        if "size" in extended and kind not in b"xgLK":
            size = tar_header.decimal(extended["size"], source.where)
        end = offset + size + -size % _BLOCK
        if end > source.size:
            raise source.fault("cut off")
        if kind in b"xgLK" and kind:
            if size > tar_header.EXTENDED_LIMIT:
                raise source.fault("an extended header of unlikely size", size)
            data = source.read(offset, size)
            if kind != b"g":  # global records say nothing that is used here
                extended |= tar_header.records(data, kind, source.where)
        else:
            yield _entry(block, extended, size, offset, source)
            extended = {}
        offset = end


def _entry(
    block: bytes, extended: dict[str, str], size: int, start: int, source: _Source
) -> _Header:
    kind = _KINDS.get(block[156:157])
    if kind is None:
        raise source.fault("a device, or a kind of entry that no image needs", block[156:157])
    path = extended.get("path")
    if path is None:
        path = tar_header.name_of(block, source.where)
    link = extended.get("linkpath")
    if link is None:
        link = tar_header.link_of(block, source.where)
    if kind == "file" and path.endswith("/"):
        kind = "directory"  # as tar wrote folders before 1988
    if size and kind != "file":
        raise source.fault("content where none can be", path)
    if "\0" in link or (kind == "symlink" and not link):
        raise source.fault("a link to no possible path", path)
    mode = tar_header.number(block[100:108], source.where)
    mtime = min(tar_header.number(block[136:148], source.where), _LAST_TIME)
    uid = tar_header.number(block[108:116], source.where)
    gid = tar_header.number(block[116:124], source.where)
    return _Header(path, kind, mode, size, mtime, link, start, uid, gid)


class _Root:
    """The folder that layers are laid into.

    `_real` holds folders that are known to be real ones, not links: made or looked at here. It
    saves looking at every part of every path; whatever removes something forgets them all.
    """

    def __init__(self, destination: Path) -> None:
        self._top = str(destination)
        self._real: set[str] = {""}
        self._made: set[str] = set()  # paths that the present layer brought
        self._folders: dict[str, tuple[int, int]] = {}

    def begin_layer(self) -> None:
        """Whiteouts hide what layers below brought, never what their own layer brings."""
        self._made = set()

    def add(self, header: _Header, source: _Source) -> str:
        """Lay one entry down; gives its path, and none for whiteouts and the root itself."""
        if header.path in {"", ".", "./"}:
            return ""
        path = safe(header.path)
        parent, _, name = path.rpartition("/")
        self._enter(parent, source)
        if name.startswith(_WHITEOUT):
            self._whiteout(parent, name, source)
            return ""
        target = f"{self._top}/{path}"
        if header.kind == "directory":
            self._directory(path, header)
        else:
            try:
                self._lay(target, header, source)
            except FileExistsError:
                self._clear(path)
                self._enter(parent, source)
                self._lay(target, header, source)
        self._made.add(path)
        return path

    def _lay(self, target: str, header: _Header, source: _Source) -> None:
        if header.kind == "file":
            self._file(target, header, source)
        elif header.kind == "symlink":
            os.symlink(header.link, target)
        else:
            self._hard_link(header, target, source)

    def finish(self) -> None:
        """Set modes and times of folders, which laying things into them would spoil."""
        for path in sorted(self._folders, reverse=True):
            mode, mtime = self._folders[path]
            target = f"{self._top}/{path}"
            os.chmod(target, mode)
            os.utime(target, (mtime, mtime), follow_symlinks=False)

    def _enter(self, path: str, source: _Source) -> None:
        """Make sure that a path is a real folder, making it and its parents if need be."""
        unknown = []
        while path not in self._real:
            unknown.append(path)
            path = path.rpartition("/")[0]
        for folder in reversed(unknown):
            target = f"{self._top}/{folder}"
            try:
                found = os.lstat(target)
            except FileNotFoundError:
                os.mkdir(target, 0o755)
                self._folders[folder] = (0o755, 0)
            else:
                if not stat.S_ISDIR(found.st_mode):
                    raise source.fault("an entry below what is no folder", folder)
                self._folders.setdefault(folder, (stat.S_IMODE(found.st_mode), int(found.st_mtime)))
            self._real.add(folder)

    def _directory(self, path: str, header: _Header) -> None:
        if path not in self._real:
            target = f"{self._top}/{path}"
            try:
                os.mkdir(target, 0o755)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(target).st_mode):
                    self._clear(path)
                    os.mkdir(target, 0o755)
            self._real.add(path)
        # Its owner can always go in and write; otherwise what comes later could not.
        self._folders[path] = (header.mode & 0o1777 | 0o700, header.mtime)

    def _clear(self, path: str) -> None:
        """Remove what a layer below left at a path."""
        target = f"{self._top}/{path}"
        try:
            os.unlink(target)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            shutil.rmtree(target)
            self._forget(path)

    def _forget(self, path: str) -> None:
        inside = path + "/"
        gone = [p for p in self._folders if p == path or p.startswith(inside)]
        for folder in gone:
            del self._folders[folder]
        self._real = {""}

    def _file(self, target: str, header: _Header, source: _Source) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(target, flags, 0o600)
        try:
            if header.size:
                source.copy(header.start, header.size, descriptor)
            os.fchmod(descriptor, header.mode & 0o777 | 0o400)
            os.utime(descriptor, (header.mtime, header.mtime))
        finally:
            os.close(descriptor)

    def _hard_link(self, header: _Header, target: str, source: _Source) -> None:
        path = safe(header.link)
        self._enter(path.rpartition("/")[0], source)
        first = f"{self._top}/{path}"
        try:
            regular = stat.S_ISREG(os.lstat(first).st_mode)
        except FileNotFoundError:
            regular = False
        if not regular:
            raise source.fault("a hard link to what is no file", f"{header.path} to {header.link}")
        os.link(first, target, follow_symlinks=False)

    def _whiteout(self, parent: str, name: str, source: _Source) -> None:
        if name != _OPAQUE:
            hidden = name.removeprefix(_WHITEOUT)
            path = safe(f"{parent}/{hidden}" if parent else hidden)
            if "/" in hidden or not hidden or path == parent:
                raise source.fault("a whiteout of nothing", name)
            if path not in self._made:
                self._clear(path)
            return
        self._hide_below(parent)

    def _hide_below(self, folder: str) -> None:
        """Remove all in a folder that the present layer did not bring."""
        for child in os.listdir(f"{self._top}/{folder}"):
            path = f"{folder}/{child}" if folder else child
            if path not in self._made:
                self._clear(path)
            elif path in self._real:
                self._hide_below(path)
