"""The fetcher on good days."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import IntegrityError
from hps.store.request import Event, FileOrigin, NewRequest, PythonOrigin
from tests import servers
from tests.store.fetch_lab import Lab, make_lab

BODY = b"wheel" * 300_000


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with make_lab(tmp_path) as made:
        yield made


def test_what_is_missing_comes_and_what_is_there_stays(lab: Lab) -> None:
    there = lab.wheel("there", b"there")
    lab.store.add(b"there")
    missing = lab.wheel("missing", BODY)
    lab.fetch(there, missing)
    assert lab.store.read(missing.digest, len(BODY)) == BODY
    assert lab.server.count("/simple/there/") == 0
    assert lab.events[0] == Event("present", 0, 5)
    assert lab.events[1] == Event("start", 1)
    assert lab.events[-1] == Event("done", 1, len(BODY))
    assert sum(each.count for each in lab.events if each.kind == "bytes") == len(BODY)
    assert not lab.leftovers()


def test_nothing_to_fetch_asks_nobody(lab: Lab) -> None:
    request = lab.wheel("demo", BODY)
    lab.fetch(request)
    asked = len(lab.server.seen)
    lab.environment.clear()  # nobody could even say where the index is
    lab.fetch(request)
    lab.fetch()
    lab.fetch(request, offline=True)
    assert len(lab.server.seen) == asked


def test_the_lock_decides_and_not_the_hash_of_the_index(lab: Lab) -> None:
    request = lab.wheel("demo", BODY)  # the index announces sixty-four zeros
    lab.fetch(request)
    assert lab.store.has(request.digest)


def test_equal_bytes_travel_once(lab: Lab) -> None:
    first, second = lab.wheel("first", BODY), lab.wheel("second", BODY)
    lab.fetch(first, second, first)
    assert len([each for each in lab.server.seen if each.path.startswith("/files/")]) == 1


def test_an_empty_file_is_a_file(lab: Lab) -> None:
    request = lab.wheel("empty", b"")
    lab.fetch(request)
    assert lab.store.read(request.digest, 0) == b""


def test_downloads_run_side_by_side_and_report_in_the_callers_thread(lab: Lab) -> None:
    """Every answer waits until three requests are under way."""
    together = threading.Barrier(3)

    def behave(exchange: servers.Exchange) -> None:
        together.wait(10)
        servers.fine(exchange.path.encode())(exchange)

    requests = [
        lab.wheel(name, f"/files/{name}-1.0-py3-none-any.whl".encode(), behave)
        for name in ("a", "b", "c", "d", "e", "f")
    ]
    threads = set()
    lab.fetcher().fetch(requests, lambda _: threads.add(threading.get_ident()), workers=3)
    assert all(lab.store.has(each.digest) for each in requests)
    assert threads == {threading.get_ident()}


def test_a_deb_comes_from_the_mirror(lab: Lab) -> None:
    request = lab.deb("libdemo++", b"deb")
    lab.server.script(
        "/debian/pool/main/l/libdemo%2B%2B/libdemo%2B%2B_1.0_amd64.deb", servers.fine(b"deb")
    )
    lab.fetch(request)
    assert lab.store.has(request.digest)


def test_a_mirror_can_be_a_folder(lab: Lab, tmp_path: Path) -> None:
    pool = tmp_path / "mirror/pool/main/d/demo"
    pool.mkdir(parents=True)
    (pool / "demo_1.0_amd64.deb").write_bytes(b"deb")
    lab.environment["HPS_DEBIAN_MAIN"] = str(tmp_path / "mirror")
    lab.fetch(lab.deb("demo", b"deb"))
    assert lab.store.has(Digest.of(b"deb"))


def test_a_package_that_the_mirror_dropped_comes_from_a_fallback(lab: Lab) -> None:
    lab.fallbacks = (f"{lab.server.url}/none/{{time}}", f"{lab.server.url}/old/{{archive}}")
    path = "/old/debian/pool/main/d/demo/demo_1.0_amd64.deb"
    lab.server.script(path, servers.fine(b"deb"))
    lab.fetch(lab.deb("demo", b"deb"))
    assert lab.server.count(path) == 1


def test_a_file_comes_from_its_path_before_its_url(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(BODY)
    request = lab.file("model.tar", BODY, path, urls=(f"{lab.server.url}/model.tar",))
    lab.fetch(request, offline=True)  # a path is not the network
    assert lab.store.has(request.digest)
    assert not lab.server.seen


def test_a_file_without_its_path_comes_from_its_url(lab: Lab, tmp_path: Path) -> None:
    lab.server.script("/model.tar", servers.fine(BODY))
    request = lab.file("model.tar", BODY, tmp_path / "none", urls=(f"{lab.server.url}/model.tar",))
    lab.fetch(request)
    assert lab.store.has(request.digest)


def test_a_new_file_tells_what_it_is(lab: Lab) -> None:
    lab.server.script("/model.tar", servers.fine(BODY))
    lab.server.script("/other.tar", servers.chunked(b"other"))
    requests = [
        NewRequest(file=name, origin=FileOrigin(urls=(f"{lab.server.url}/{name}",)))
        for name in ("model.tar", "other.tar", "model.tar")
    ]
    model, other = Blob(Digest.of(BODY), len(BODY)), Blob(Digest.of(b"other"), 5)
    assert lab.fetcher().fetch_new(requests) == (model, other, model)


def test_a_new_wheel_must_be_what_the_index_announces(lab: Lab) -> None:
    lab.wheel("demo", BODY)
    origin = PythonOrigin(alias="default", project="demo")
    request = NewRequest(file="demo-1.0-py3-none-any.whl", origin=origin)
    with pytest.raises(IntegrityError) as caught:
        lab.fetcher().fetch_new([request])
    assert caught.value.expected == "sha256:" + "0" * 64
    good = NewRequest(file=request.file, origin=origin, digest=Digest.of(BODY))
    assert lab.fetcher().fetch_new([good]) == (Blob(Digest.of(BODY), len(BODY)),)
    assert lab.fetcher().fetch_new([good, good]) == (Blob(Digest.of(BODY), len(BODY)),) * 2


def test_a_new_file_is_bounded(lab: Lab) -> None:
    lab.server.script("/model.tar", servers.endless())
    origin = FileOrigin(urls=(f"{lab.server.url}/model.tar",))
    with pytest.raises(IntegrityError) as caught:
        lab.fetcher().fetch_new([NewRequest(file="model.tar", origin=origin, limit=100_000)])
    assert caught.value.expected == "at most 100000 bytes"
    assert not lab.leftovers()
