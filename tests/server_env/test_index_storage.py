"""Indexes of images: no pickle on the disk, whole or not at all, one writer at a time."""

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps_server.index_storage import (
    Index,
    IndexFormatError,
    IndexStorage,
    convert,
    decode,
    encode,
    from_paddlex,
    index_storage,
    to_paddlex,
)
from hps_server.refused import Refused
from hps_server.result_storage import StorageError
from tests.server_env.conftest import SERVER_ENV


def pickled(labels: "dict[int, str]", vectors: bytes = b"vectors") -> bytes:
    """As IndexData.to_bytes of PaddleX."""
    info = {"index_type": "Flat", "metric_type": "IP", "id_map": labels}
    return pickle.dumps((np.frombuffer(vectors, np.uint8), info))


def store(folder: Path, **more: Any) -> IndexStorage:
    return index_storage({"type": "file_system", "directory": str(folder), **more})


def labels(data: bytes) -> "dict[int, str]":
    found: dict[int, str] = pickle.loads(data)[1]["id_map"]
    return found


def test_what_is_set_is_got_and_the_disk_holds_no_pickle(tmp_path: Path) -> None:
    storage = store(tmp_path)
    storage.set("key-1", pickled({0: "é", 7: "b"}))
    again = store(tmp_path).get("key-1")
    vectors, info = pickle.loads(again)
    assert vectors.dtype == np.uint8
    assert vectors.tobytes() == b"vectors"
    assert info == {"index_type": "Flat", "metric_type": "IP", "id_map": {0: "é", 7: "b"}}
    assert (tmp_path / "key-1.hpsindex").read_bytes().startswith(b"hps-index 1 ")
    storage.delete("key-1")
    with pytest.raises(Refused, match="There is no index key-1") as caught:
        storage.get("key-1")
    assert caught.value.code == 422


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/b", "", ".locks", "..", "a\0", "é"])
def test_a_key_never_becomes_a_path(tmp_path: Path, key: str) -> None:
    storage = store(tmp_path / "index")
    for run in (storage.get, storage.delete, lambda key: storage.set(key, pickled({}))):
        with pytest.raises(Refused, match="indexKey"):
            run(key)
    with pytest.raises(Refused, match="indexKey"):
        asyncio.run(_hold(storage, key))


async def _hold(storage: IndexStorage, key: str) -> None:
    async with storage.locked(key):
        pass


@pytest.mark.parametrize("keep", [0, 5, 20, 80, -1])
def test_a_file_that_is_cut_is_told_as_damaged(tmp_path: Path, keep: int) -> None:
    storage = store(tmp_path)
    storage.set("k", pickled({0: "a"}))
    file = tmp_path / "k.hpsindex"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(Refused, match="Build it anew") as caught:
        storage.get("k")
    assert caught.value.code == 500


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_changed_byte_is_noticed(data: st.DataObject) -> None:
    file = bytearray(encode(Index(b"vectors", {0: "a", 12: "b"}, "Flat", "IP")))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IndexFormatError):
        decode(bytes(file))


@given(st.binary(max_size=50), st.dictionaries(st.integers(0), st.text()))
def test_encoding_loses_nothing(vectors: bytes, given_labels: "dict[int, str]") -> None:
    index = Index(vectors, given_labels, "Flat", "IP")
    try:
        assert decode(encode(index)) == index
    except UnicodeEncodeError:
        assert any(0xD800 <= ord(sign) < 0xE000 for text in given_labels.values() for sign in text)
    assert from_paddlex(to_paddlex(index)) == index


class Call:
    def __reduce__(self) -> "tuple[Any, Any]":
        return (print, ("called",))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        pickle.dumps(Call()),
        pickle.dumps((np.zeros(3, np.uint8), {"id_map": {0: Call()}})),
        pickle.dumps((np.zeros(3, np.uint8), {})),
        pickle.dumps((b"x", {"index_type": "Flat", "metric_type": "IP", "id_map": {}})),
        pickle.dumps(
            (np.zeros(3, np.uint8), {"index_type": "X", "metric_type": "IP", "id_map": {}})
        ),
        pickle.dumps(
            (np.zeros(3, np.uint8), {"index_type": "Flat", "metric_type": "IP", "id_map": {0: 5}})
        ),
    ],
)
def test_what_is_no_index_is_not_kept(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(IndexFormatError):
        store(tmp_path).set("k", data)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "k.hpsindex").exists()


def test_a_pickle_of_an_old_server_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(pickled({0: "a"}))
    with pytest.raises(Refused, match=r"hps_server\.index_storage"):
        store(tmp_path).get("old")


def test_an_index_that_is_too_large_leaves_the_old_one(tmp_path: Path) -> None:
    storage = store(tmp_path, max_index_bytes=1000)
    storage.set("k", pickled({0: "a"}))
    with pytest.raises(Refused, match="exceed 1000 bytes"):
        storage.set("k", pickled({0: "a"}, b"x" * 1000))
    assert labels(storage.get("k")) == {0: "a"}


async def _add(storage: IndexStorage, key: str, label: str) -> None:
    """What PaddleX does for addImagesToIndex, with time to lose an update in between."""
    async with storage.locked(key):
        found = labels(storage.get(key))
        await asyncio.sleep(0.001)
        storage.set(key, pickled({**found, len(found): label}))


@pytest.mark.parametrize("kind", ["file_system", "memory"])
def test_no_update_of_a_task_is_lost(tmp_path: Path, kind: str) -> None:
    storage = store(tmp_path) if kind == "file_system" else index_storage({"type": "memory"})
    storage.set("k", pickled({}))

    async def run() -> None:
        await asyncio.gather(*(_add(storage, "k", str(number)) for number in range(20)))

    asyncio.run(run())
    assert sorted(labels(storage.get("k")).values(), key=int) == [str(n) for n in range(20)]


def _process(folder: Path, name: str) -> None:
    async def run() -> None:
        storage = store(folder)
        for number in range(10):
            await _add(storage, "k", f"{name}{number}")

    asyncio.run(run())


def test_no_update_of_a_process_is_lost(tmp_path: Path) -> None:
    store(tmp_path).set("k", pickled({}))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_process, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = labels(store(tmp_path).get("k"))
    assert sorted(found.values()) == [f"{name}{n}" for name in "ab" for n in range(10)]


def test_a_waiting_task_that_is_cancelled_takes_no_lock(tmp_path: Path) -> None:
    first, second = store(tmp_path), store(tmp_path)  # as two processes: the locks are files

    async def run() -> None:
        async with first.locked("k"):
            waiting = asyncio.ensure_future(_hold(second, "k"))
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(_hold(second, "k"), 10)

    asyncio.run(run())


KILLED = """
import os, pathlib, pickle, sys
import numpy as np
from hps_server.index_storage import index_storage
storage = index_storage({"type": "file_system", "directory": sys.argv[1]})
info = {"index_type": "Flat", "metric_type": "IP", "id_map": {0: "new"}}
step = int(sys.argv[2])
for name in ("fsync", "replace"):
    real = getattr(os, name)
    def counted(*a, real=real, **k):
        global step
        if step == 0:
            os.kill(os.getpid(), 9)
        step -= 1
        return real(*a, **k)
    setattr(os, name, counted)
storage.set("k", pickle.dumps((np.zeros(100000, np.uint8), info)))
"""


@pytest.mark.parametrize("step", range(4))
def test_a_writer_that_is_killed_leaves_the_old_index_or_the_new(tmp_path: Path, step: int) -> None:
    """Killed before the file's fsync, the rename, the folder's fsync, and not at all."""
    storage = store(tmp_path)
    storage.set("k", pickled({0: "old"}))
    environment = {**os.environ, "PYTHONPATH": str(SERVER_ENV)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(step)], env=environment, check=False
    )
    assert done.returncode == (0 if step == 3 else -9)
    assert labels(storage.get("k")) == {0: "new" if step >= 2 else "old"}
    storage.set("k", pickled({0: "next"}))
    assert labels(storage.get("k")) == {0: "next"}


@pytest.mark.parametrize(
    "config",
    [
        {"type": "file_system"},
        {"type": "sql"},
        {"type": "file_system", "directory": "x", "strange": 1},
        {"type": "memory", "max_bytes": 5},
        {"type": "memory", "max_index_bytes": 0},
        {"type": "file_system", "directory": "/proc/nowhere"},
    ],
)
def test_a_wrong_configuration_is_refused(config: "dict[str, Any]") -> None:
    with pytest.raises(StorageError):
        index_storage(config)


def test_old_indexes_are_converted_when_they_are_trusted(tmp_path: Path) -> None:
    import faiss

    index = faiss.IndexIDMap2(faiss.index_factory(2, "Flat", faiss.METRIC_INNER_PRODUCT))
    index.add_with_ids(np.eye(2, dtype=np.float32), np.array([0, 1]))
    vectors = faiss.serialize_index(index).tobytes()
    (tmp_path / "good").write_bytes(pickled({0: "a", 1: "b"}, vectors))
    (tmp_path / "short").write_bytes(pickled({0: "a"}, vectors))
    (tmp_path / "bad").write_bytes(b"nonsense")
    (tmp_path / "calls").write_bytes(pickle.dumps(Call()))
    outcome = convert(tmp_path, [])
    assert outcome.pop("good") == "converted"
    assert all(said.startswith("left alone") for said in outcome.values())
    assert labels(store(tmp_path).get("good")) == {0: "a", 1: "b"}
    environment = {**os.environ, "PYTHONPATH": str(SERVER_ENV)}
    command = [sys.executable, "-m", "hps_server.index_storage", str(tmp_path), "good"]
    assert (
        subprocess.run(command, env=environment, check=False, capture_output=True).returncode == 2
    )
    done = subprocess.run(
        [*command, "--trusted"], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "good: converted\n"
