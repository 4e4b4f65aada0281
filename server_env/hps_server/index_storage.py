"""Image indexes of PP-ShiTuV2 and face recognition, kept without pickle.

PaddleX pickles an index and unpickles what its storage gives back. Here the disk holds FAISS's
own bytes and the labels as JSON under a checksum. PaddleX still gets a pickle, but one that this
process has made a moment ago, and what it hands over is read as data.

    line 1   hps-index 1, and the SHA-256 of all that follows
    line 2   JSON: index_bytes, index_type, metric_type
    rest     the FAISS index, then the JSON object of labels by id
"""

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import pickle
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hps_server.admission import check_identifiers
from hps_server.file_storage import FileStorage
from hps_server.plain_pickle import PicklingRefusedError, read
from hps_server.refused import Refused
from hps_server.result_storage import MemoryStorage, Storage, StorageError, result_storage

DEFAULT_DIRECTORY = ".index"  # PaddleX's own default, below the working directory
DEFAULT_MAX_BYTES = 1 << 30
_MAGIC = b"hps-index 1 "
_SUFFIX = ".hpsindex"
_LOCKS = ".locks"
_METRICS = frozenset({"hamming", "IP", "L2"})
_TYPES = frozenset({"Flat", "IVF", "HNSW32", "BinaryHash"})
_FIRST_WAIT, _LONGEST_WAIT = 0.005, 0.1  # seconds between two attempts at another process's lock


class IndexFormatError(ValueError):
    """Bytes that are no index, or a damaged one."""


@dataclass(frozen=True)
class Index:
    """One index: FAISS's serialized bytes and the label of each id."""

    vectors: bytes
    labels: "Mapping[int, str]"
    index_type: str
    metric_type: str


def encode(index: Index) -> bytes:
    """The file of an index."""
    header = {
        "index_bytes": len(index.vectors),
        "index_type": index.index_type,
        "metric_type": index.metric_type,
    }
    labels = json.dumps({str(key): text for key, text in index.labels.items()})
    rest = b"".join((json.dumps(header).encode(), b"\n", index.vectors, labels.encode()))
    return b"%s%s\n%s" % (_MAGIC, hashlib.sha256(rest).hexdigest().encode(), rest)


def decode(data: bytes) -> Index:
    """The index of a file.

    Raises:
        IndexFormatError: it is of another format, or damaged.
    """
    if not data.startswith(_MAGIC):
        raise IndexFormatError("it is of another format or version")
    start = len(_MAGIC) + 64 + 1
    rest = memoryview(data)[start:]
    if data[len(_MAGIC) : start] != hashlib.sha256(rest).hexdigest().encode() + b"\n":
        raise IndexFormatError("it is damaged")
    try:
        end = data.index(b"\n", start)
        header = json.loads(data[start:end])
        middle = end + 1 + header["index_bytes"]
        labels = {int(key): str(text) for key, text in json.loads(data[middle:]).items()}
        return Index(data[end + 1 : middle], labels, header["index_type"], header["metric_type"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise IndexFormatError("it is damaged") from None


def from_paddlex(data: bytes) -> Index:
    """The index that PaddleX pickled (`IndexData.to_bytes`), read as data.

    Raises:
        IndexFormatError: it is no such pickle.
    """
    try:
        vectors, info = read(data)
        labels = {int(key): text for key, text in info["id_map"].items()}
        index = Index(vectors.tobytes(), labels, info["index_type"], info["metric_type"])
    except PicklingRefusedError as error:
        raise IndexFormatError(f"it is no index of PaddleX: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise IndexFormatError("it is no index of PaddleX") from None
    known = index.index_type in _TYPES and index.metric_type in _METRICS
    if not known or not all(isinstance(text, str) for text in labels.values()):
        raise IndexFormatError("it is no index of PaddleX")
    return index


def to_paddlex(index: Index) -> bytes:
    """What `IndexData.from_bytes` of PaddleX reads."""
    import numpy as np  # noqa: PLC0415 - the launcher imports nothing of it

    vectors = np.frombuffer(index.vectors, np.uint8)
    info = {
        "index_type": index.index_type,
        "metric_type": index.metric_type,
        "id_map": dict(index.labels),
    }
    return pickle.dumps((vectors, info))


class IndexStorage:
    """PaddleX's storage protocol for indexes, and a lock for changing one.

    Args:
        blobs: where the files are kept.
        directory: of the files, when other processes share it; locks and old indexes are there.
        max_bytes: of one index.
    """

    def __init__(
        self, blobs: Storage, directory: "Path | None" = None, *, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self._blobs = blobs
        self._directory = directory
        self._max_bytes = max_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        if directory is not None:
            (directory / _LOCKS).mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> bytes:
        """An index as PaddleX reads it.

        Raises:
            Refused: it is unknown or of an old server (422), or damaged (500).
        """
        check_identifiers({"indexKey": key})
        try:
            return to_paddlex(decode(self._blobs.get(key + _SUFFIX)))
        except KeyError:
            raise self._missing(key) from None
        except IndexFormatError as error:
            raise Refused(f"The index {key} cannot be read: {error}. Build it anew", 500) from None

    def set(self, key: str, value: bytes) -> None:
        """Keep an index that PaddleX has pickled in this process.

        Raises:
            Refused: it is larger than allowed.
            IndexFormatError: it is no index.
        """
        check_identifiers({"indexKey": key})
        data = encode(from_paddlex(value))
        if len(data) > self._max_bytes:
            raise Refused(f"The index would exceed {self._max_bytes} bytes")
        self._blobs.set(key + _SUFFIX, data)

    def delete(self, key: str) -> None:
        """Forget an index."""
        check_identifiers({"indexKey": key})
        self._blobs.delete(key + _SUFFIX)

    @contextlib.asynccontextmanager
    async def locked(self, key: str) -> "AsyncIterator[None]":
        """Hold an index: nobody else changes it between its get() and set().

        Other tasks wait in order; other processes on the same directory wait as well.
        """
        check_identifiers({"indexKey": key})
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if self._directory is None:
                yield
                return
            descriptor = os.open(self._directory / _LOCKS / key, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                await _flock(descriptor)
                yield
            finally:
                os.close(descriptor)  # which gives the lock back

    def _missing(self, key: str) -> Refused:
        if self._directory is not None and (self._directory / key).is_file():
            return Refused(
                f"The index {key} was made by another server, as a pickle, which is not opened."
                " Build it anew, or have the operator run: python3 -m hps_server.index_storage"
            )
        return Refused(f"There is no index {key}")


async def _flock(descriptor: int) -> None:
    # Waiting in a thread would take the lock even after the waiting task is cancelled.
    wait = _FIRST_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            return


def index_storage(config: "Mapping[str, Any] | None") -> IndexStorage:
    """The storage of `Serving: extra: index_storage:`, a directory by default.

    Raises:
        StorageError: the configuration is wrong.
    """
    given = dict(config or {"type": "file_system", "directory": DEFAULT_DIRECTORY})
    most = given.pop("max_index_bytes", DEFAULT_MAX_BYTES)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise StorageError("max_index_bytes must be a whole number from 1")
    if given.get("type") == "file_system" and set(given) == {"type", "directory"}:
        directory = Path(given["directory"])
        try:
            return IndexStorage(FileStorage(directory, durable=True), directory, max_bytes=most)
        except OSError as error:
            raise StorageError(f"index_storage: {error}") from None
    if given.get("type", "memory") == "memory" and len(given) <= 1:
        # An index that is forgotten while it is in use would be a wrong answer.
        return IndexStorage(MemoryStorage(max_bytes=1 << 62, max_age_seconds=None), max_bytes=most)
    blobs = result_storage(given) if given.get("type") in ("bos", "s3") else None
    if blobs is None:
        raise StorageError("index_storage must be file_system with a directory, memory, bos or s3")
    return IndexStorage(blobs, max_bytes=most)


def convert(directory: Path, keys: "Sequence[str]") -> "dict[str, str]":
    """Convert indexes of PaddleX's own serving that lie in a directory; tells what became of each.

    Nothing of a pickle is executed, but FAISS reads its vectors: only trusted files.
    """
    import importlib  # noqa: PLC0415 - the command's alone

    faiss = importlib.import_module("faiss")
    numpy = importlib.import_module("numpy")
    storage = index_storage({"type": "file_system", "directory": directory})
    outcome = {}
    for key in keys or sorted(_old_names(directory)):
        try:
            data = (directory / key).read_bytes()
            index = from_paddlex(data)
            found = faiss.deserialize_index(numpy.frombuffer(index.vectors, numpy.uint8))
            if found.ntotal != len(index.labels):
                raise IndexFormatError("it has not one label for each vector")  # noqa: TRY301
            storage.set(key, data)
            outcome[key] = "converted"
        except (IndexFormatError, Refused, OSError, RuntimeError) as error:
            outcome[key] = f"left alone: {error}"
    return outcome


def _old_names(directory: Path) -> "Iterator[str]":
    for path in directory.iterdir():
        if path.is_file() and path.suffix != _SUFFIX:
            yield path.name


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Entry point of the converter; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m hps_server.index_storage",
        description="Convert indexes that PaddleX's own serving has pickled.",
        epilog="The old files stay where they are. No pickle is executed, but FAISS has no"
        " defence against forged vectors: convert only indexes that your own server has made.",
    )
    parser.add_argument("directory", type=Path, help="the directory of the indexes")
    parser.add_argument("key", nargs="*", help="their keys; all files of the directory by default")
    parser.add_argument(
        "--trusted", action="store_true", required=True, help="these files are your own server's"
    )
    options = parser.parse_args(arguments)
    try:
        outcome = convert(options.directory, options.key)
    except OSError as error:
        parser.error(str(error))
    for key, said in outcome.items():
        print(f"{key}: {said}")  # noqa: T201 - the command's answer
    return 0 if all(said == "converted" for said in outcome.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
