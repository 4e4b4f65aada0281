"""Files that only a person can bring: all of them are told at once, with where to get them."""

from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import IntegrityError, NotFoundError, OfflineError
from hps.store import plain_file
from hps.store.request import FileOrigin, NewRequest, PythonOrigin
from tests.store.fetch_lab import make_lab

CUDNN = b"the archive of cuDNN"
TENSORRT = b"the archive of TensorRT"


def wanted(name: str, body: bytes, *paths: Path, obtain: str | None = None) -> NewRequest:
    origin = FileOrigin(paths=paths, obtain=obtain)
    return NewRequest(file=name, origin=origin, digest=Digest.of(body), size=len(body))


def test_every_missing_file_is_told_at_once(tmp_path: Path) -> None:
    place = tmp_path / "server_env" / "cudnn.tar.xz"
    requests = [
        wanted("cudnn.tar.xz", CUDNN, place, obtain="the maker's site, after a login"),
        wanted("TensorRT.tar.gz", TENSORRT),
    ]
    with make_lab(tmp_path) as lab, pytest.raises(NotFoundError) as caught:
        lab.fetcher().fetch_new(requests)
    error = caught.value
    assert error.exit_code == 4
    assert error.message == "2 files are missing that you have to bring"
    assert error.details == (
        "cudnn.tar.xz",
        f"  digest: {Digest.of(CUDNN)}",
        f"  size:   {len(CUDNN)} bytes",
        f"  looked: the store, {place}",
        "  get it: the maker's site, after a login",
        "TensorRT.tar.gz",
        f"  digest: {Digest.of(TENSORRT)}",
        f"  size:   {len(TENSORRT)} bytes",
        "  looked: the store",
    )
    assert "hps store add FILE" in (error.hint or "")


def test_nothing_is_fetched_before_they_are_there(tmp_path: Path) -> None:
    with make_lab(tmp_path) as lab:
        wheel = lab.wheel("demo", b"wheel")
        first = NewRequest(file=wheel.file, origin=wheel.origin, digest=wheel.digest)
        with pytest.raises(NotFoundError, match="1 file is missing"):
            lab.fetcher().fetch_new([first, wanted("cudnn.tar.xz", CUDNN)])
        assert lab.server.connections == 0


@pytest.mark.parametrize("offline", [False, True])
def test_the_store_or_a_path_is_enough(tmp_path: Path, *, offline: bool) -> None:
    place = tmp_path / "cudnn.tar.xz"
    place.write_bytes(CUDNN)
    with make_lab(tmp_path) as lab:
        lab.store.add(TENSORRT)
        found = lab.fetcher(offline=offline).fetch_new(
            [wanted("cudnn.tar.xz", CUDNN, place), wanted("TensorRT.tar.gz", TENSORRT)]
        )
    assert [blob.digest for blob in found] == [Digest.of(CUDNN), Digest.of(TENSORRT)]


@pytest.mark.parametrize("body", [CUDNN[:-1], b"x" * len(CUDNN), CUDNN + b"x", b""])
def test_a_file_with_other_bytes_is_refused_and_told_where_to_get(
    tmp_path: Path, body: bytes
) -> None:
    place = tmp_path / "cudnn.tar.xz"
    place.write_bytes(body)
    request = wanted("cudnn.tar.xz", CUDNN, place, obtain="the maker's site")
    with make_lab(tmp_path) as lab:
        with pytest.raises(IntegrityError) as caught:
            lab.fetcher().fetch_new([request])
        assert not lab.leftovers()
        assert not lab.store.has(Digest.of(CUDNN))
    assert "(cudnn.tar.xz: the maker's site)" in (caught.value.hint or "")
    assert "mirror" not in (caught.value.hint or "")


def test_an_address_that_may_not_be_asked_is_another_matter(tmp_path: Path) -> None:
    origin = FileOrigin(urls=("http://127.0.0.1:9/cudnn.tar.xz",))
    request = NewRequest(file="cudnn.tar.xz", origin=origin, digest=Digest.of(CUDNN))
    with make_lab(tmp_path) as lab, pytest.raises(OfflineError, match="--offline forbids"):
        lab.fetcher(offline=True).fetch_new([request])


def test_what_an_index_has_is_not_to_be_brought() -> None:
    origin = PythonOrigin(alias="default", project="demo")
    plain_file.require([NewRequest(file="demo.whl", origin=origin)])


def test_an_address_that_fails_tells_where_else(tmp_path: Path) -> None:
    origin = FileOrigin(paths=(tmp_path / "none",), obtain="ask the owner")
    assert "get it: ask the owner" in plain_file.not_found("x.tar", origin, []).details
