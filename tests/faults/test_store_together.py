"""Several processes at one store."""

import json
import subprocess
import sys
import threading
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import NotReproducibleError
from hps.store.blobs import Store
from hps.store.collect import collect
from hps.store.verify import verify

REPOSITORY = Path(__file__).resolve().parents[2]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.store_process", *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> object:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def test_two_builds_and_a_collection_at_once_lose_nothing(tmp_path: Path) -> None:
    collector = start("keep_collecting", str(tmp_path))
    builds = [start("build", str(tmp_path), name) for name in ("one", "two")]
    try:
        kept = [finish(build) for build in builds]
    finally:
        (tmp_path / "stop").touch()
    told = finish(collector)
    assert isinstance(told, dict)
    assert kept == [8, 8]
    store = Store(tmp_path / "store")
    removed = told["removed"] + len(collect(store).blobs)
    assert removed > 0
    assert verify(store).missing == ()
    assert verify(store).damaged == ()
    named = {digest for root in store.roots.all() for digest in root.digests}
    assert {stored.blob.digest for stored in store.list_blobs()} <= named


def test_two_writers_of_one_blob_both_succeed(tmp_path: Path) -> None:
    content = b"x" * (3 << 20)
    store = Store(tmp_path)
    barrier = threading.Barrier(8)
    found: list[Blob] = []

    def write(own: Store) -> None:
        with own.writer() as writer:
            writer.write(content)
            barrier.wait()
            found.append(writer.commit(Digest.of(content)))

    threads = [
        threading.Thread(target=write, args=(store if number % 2 else Store(tmp_path),))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Blob(Digest.of(content), len(content))] * 8
    assert Store(tmp_path).check(Digest.of(content)) == len(content)
    assert len(list(store.list_blobs())) == 1


def test_of_many_traces_at_once_one_wins_and_all_others_are_told(tmp_path: Path) -> None:
    step = Digest.of(b"step")
    barrier = threading.Barrier(8)
    outcomes: list[Blob | None] = []

    def put(number: int) -> None:
        store = Store(tmp_path)
        blob = Blob(Digest.of(bytes([number])), 1)
        barrier.wait()
        try:
            store.traces.put(step, {}, {"out": blob})
        except NotReproducibleError:
            outcomes.append(None)
        else:
            outcomes.append(blob)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [blob for blob in outcomes if blob is not None]
    assert len(outcomes) == 8
    assert Store(tmp_path).traces.get(step) == {"out": winner}
