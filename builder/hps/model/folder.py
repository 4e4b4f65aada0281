"""A folder held against the files that a release lists: every file, every byte, nothing else.

Files are opened below the descriptor of their folder, and looked at by their own, so that a link
that is put in the way is seen and not followed.
"""

import contextlib
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hps.digest import Digest
from hps.errors import LimitError, UsageError
from hps.model.paths import MOST_FILES, check_path, in_order
from hps.model.refusal import Reason, Refusal
from hps.model.release import MANIFEST, ReleaseFile, ordered

Watch = Callable[[int], object]

_PIECE = 1 << 20  # bytes hashed at once
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO would wait for a writer, before it can be seen to be one.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_MANIFEST_START, _MANIFEST_END = "model.", ".sig"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder holds.

    Args:
        files: with size, mode (0o644 or 0o755) and digest, in order of their paths.
        refusals: what no model may hold, and what could not be read.
    """

    files: tuple[ReleaseFile, ...]
    refusals: tuple[Refusal, ...]


def check_folder(
    folder: Path,
    files: Sequence[ReleaseFile],
    *,
    beside: Collection[str] = (),
    staged: bool = False,
    watch: Watch = lambda _: None,
) -> tuple[Refusal, ...]:
    """Hold a folder against the files of a release; nothing may be missing, changed or too much.

    Args:
        folder: see `read_folder`.
        files: of the release.
        beside: see `read_folder`.
        staged: see `read_folder`.
        watch: see `read_folder`.

    Raises:
        UsageError: the folder cannot be read.
        LimitError: it holds more than any model.
    """
    return compare(read_folder(folder, beside=beside, staged=staged, watch=watch), files)


def read_folder(
    folder: Path,
    *,
    beside: Collection[str] = (),
    staged: bool = False,
    watch: Watch = lambda _: None,
) -> Contents:
    """Hash every file of a folder, in several threads.

    Args:
        folder: of a model. Its manifests (see `is_manifest`) are none of its files.
        beside: further names at its top that are none, such as that of its checksums.
        staged: whether the folder was made here: then a file with a second name is refused,
            because it could still be changed by that.
        watch: called with a number of bytes after each piece, from several threads.

    Raises:
        UsageError: the folder cannot be read.
        LimitError: it holds more than any model.
    """
    try:
        top = os.open(folder, _FOLDER_FLAGS)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror or error}") from error
    walk = _Walk(str(folder), frozenset(beside), staged=staged)
    files: list[ReleaseFile] = []
    threads = os.cpu_count() or 1
    running: deque[Future[ReleaseFile | Refusal]] = deque()
    with (
        ThreadPoolExecutor(threads) as pool,  # hashing frees the interpreter's lock
        contextlib.closing(walk.opened(top, "")) as opened,
    ):
        for path, descriptor in opened:
            if len(running) > 2 * threads:  # files that are open at once
                _take(running.popleft(), files, walk.refusals)
            running.append(pool.submit(_hashed, path, descriptor, watch))
        while running:
            _take(running.popleft(), files, walk.refusals)
    try:
        return Contents(ordered(files), tuple(walk.refusals))
    except ValueError as error:  # names that are one on other systems
        walk.refusals.append(Refusal(Reason.UNSAFE_FILE, str(error)))
        files.sort(key=lambda one: in_order(one.path))
        return Contents(tuple(files), tuple(walk.refusals))


def compare(contents: Contents, files: Sequence[ReleaseFile]) -> tuple[Refusal, ...]:
    """What a folder and a release do not have in common, path by path. Pure.

    Sizes and modes are compared where the release knows them. Of a mode it counts whether the file
    can be run: what else it says depends on the umask of whoever wrote it.

    Args:
        contents: of the folder.
        files: of the release.
    """
    here = {one.path: one for one in contents.files}
    seen = here.keys() | {one.path for one in contents.refusals}
    extra = sorted(here.keys() - {one.path for one in files})
    refusals = list(contents.refusals)
    refusals += [Refusal(Reason.SET_MISMATCH, "it is there, and not listed", one) for one in extra]
    for one in files:
        if one.path in here:
            refusals += _differences(here[one.path], one)
        elif one.path not in seen:
            refusals.append(Refusal(Reason.SET_MISMATCH, "it is listed, and not there", one.path))
    return tuple(refusals)


def is_manifest(path: str) -> bool:
    """Whether a path is that of a manifest: `model.sig`, or `model.NAME.sig` of a second signer."""
    name = path.removeprefix(_MANIFEST_START).removesuffix(_MANIFEST_END)
    return path == MANIFEST or (
        path == f"{_MANIFEST_START}{name}{_MANIFEST_END}"
        and name.replace("-", "").replace("_", "").isalnum()
    )


def _differences(here: ReleaseFile, listed: ReleaseFile) -> Iterator[Refusal]:
    if listed.size is not None and here.size != listed.size:
        told = f"it has {here.size} bytes instead of {listed.size}"
        yield Refusal(Reason.DIGEST_MISMATCH, told, listed.path)
    elif here.digest != listed.digest:
        told = f"it is {here.digest}, not {listed.digest}"
        yield Refusal(Reason.DIGEST_MISMATCH, told, listed.path)
    if listed.mode is not None and here.mode != listed.mode:
        told = "it can be run, and should not" if here.mode == 0o755 else "it cannot be run"  # noqa: PLR2004 - a mode
        yield Refusal(Reason.MODE_MISMATCH, told, listed.path)


def _take(
    done: "Future[ReleaseFile | Refusal]", files: list[ReleaseFile], refusals: list[Refusal]
) -> None:
    found = done.result()
    if isinstance(found, Refusal):
        refusals.append(found)
    else:
        files.append(found)


class _Walk:
    """One way through a folder; what is no file of a model becomes a refusal."""

    def __init__(self, where: str, beside: frozenset[str], *, staged: bool) -> None:
        self.refusals: list[Refusal] = []
        self._where = where
        self._beside = beside
        self._staged = staged
        self._count = 0

    def opened(self, folder: int, prefix: str) -> Generator[tuple[str, int], None, None]:
        """Every regular file below a folder with a descriptor that the caller closes.

        Args:
            folder: a descriptor, closed here.
            prefix: the path of the folder, with a slash behind it.
        """
        try:
            for name in self._names(folder, prefix):
                path = prefix + name
                try:
                    descriptor = self._open(path, name, folder)
                except OSError as error:
                    self._refuse(path, f"it cannot be read: {error.strerror or error}")
                    continue
                if descriptor is None:
                    continue
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    yield from self.opened(descriptor, f"{path}/")
                else:
                    yield path, descriptor
        finally:
            os.close(folder)

    def _names(self, folder: int, prefix: str) -> list[str]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise UsageError(f"{self._where} cannot be listed: {error.strerror}") from error
        self._count += len(names)
        if self._count > 2 * MOST_FILES:  # folders count too
            raise LimitError(
                f"{self._where} holds too many files", expected=f"at most {MOST_FILES}"
            )
        if not names:
            told = "it is an empty folder, which no manifest can list"
            path = prefix.removesuffix("/") or "."
            self.refusals.append(Refusal(Reason.SET_MISMATCH, told, path))
        return names

    def _open(self, path: str, name: str, folder: int) -> int | None:
        """A folder or a file of the model; None for what is neither."""
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if fault := _name_fault(path, kind):
            self._refuse(path, fault)
            return None
        if stat.S_ISREG(kind) and (is_manifest(path) or path in self._beside):
            return None
        flags = _FOLDER_FLAGS if stat.S_ISDIR(kind) else _FILE_FLAGS
        descriptor = os.open(name, flags, dir_fd=folder)
        found = os.fstat(descriptor)
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(kind):
            fault = "it was exchanged while it was looked at"
        elif stat.S_ISREG(kind):
            fault = _file_fault(found, staged=self._staged)
        if fault:
            os.close(descriptor)
            self._refuse(path, fault)
            return None
        return descriptor

    def _refuse(self, path: str, told: str) -> None:
        self.refusals.append(Refusal(Reason.UNSAFE_FILE, told, path))


def _name_fault(path: str, kind: int) -> str:
    if not stat.S_ISDIR(kind) and not stat.S_ISREG(kind):
        return "it is a link" if stat.S_ISLNK(kind) else "it is a pipe, socket or device"
    try:
        check_path(path)
    except ValueError as error:
        return str(error)
    return ""


def _file_fault(found: os.stat_result, *, staged: bool) -> str:
    if found.st_mode & _SPECIAL_BITS:
        return f"it has the mode {stat.S_IMODE(found.st_mode):04o}"
    if staged and found.st_nlink != 1:
        return "it has a second name, by which it could be changed"
    return ""


def _hashed(path: str, descriptor: int, watch: Watch) -> ReleaseFile | Refusal:
    """Hash an open file, and close it."""
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_PIECE))
    size = 0
    with os.fdopen(descriptor, "rb", buffering=0) as reader:
        before = os.fstat(descriptor)
        try:
            while count := reader.readinto(buffer):
                hasher.update(buffer[:count])
                size += count
                watch(count)
        except OSError as error:
            told = f"it cannot be read: {error.strerror or error}"
            return Refusal(Reason.DIGEST_MISMATCH, told, path)
        after = os.fstat(descriptor)
    if size != before.st_size or _state(before) != _state(after):
        return Refusal(Reason.DIGEST_MISMATCH, "it was changed while it was read", path)
    mode = 0o755 if before.st_mode & stat.S_IXUSR else 0o644
    return ReleaseFile(path, Digest(hasher.hexdigest()), size, mode)


def _state(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns)
