"""A real object store with S3's interface as a place of a shared cache."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.cache.open_place import open_place
from hps.cache.place import Place, ReadOnlyError
from hps.digest import Blob
from hps.errors import FetchError, PublishError, UsageError
from tests.cache.place_contract import NAME, PlaceContract, blob
from tests.monitor.sources.frozen import frozen
from tests.monitor.sources.s3_server import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, S3Server


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server.running(tmp_path_factory.mktemp("swift")) as running:
        yield running


@pytest.fixture
def credentials(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", swift.url)


@pytest.mark.usefixtures("credentials")
class TestS3(PlaceContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return tmp_path.name

    @pytest.fixture
    def place(self, folder: str, tmp_path: Path) -> Iterator[Place]:
        place = open_place(f"s3://{BUCKET}/{folder}", folder=tmp_path, patience=20, environment={})
        with contextlib.closing(place):
            yield place

    @pytest.fixture
    def damage(self, swift: S3Server, folder: str) -> Callable[[Blob, bytes], object]:
        def replace(one: Blob, data: bytes) -> None:
            key = f"{folder}/v1/blobs/sha256/{one.digest.hex}"
            swift.client.put_object(Bucket=BUCKET, Key=key, Body=data)

        return replace

    def test_a_wrong_password_is_told(
        self, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        place = open_place(f"s3://{BUCKET}/{folder}", folder=tmp_path, patience=20, environment={})
        with pytest.raises(FetchError):
            place.read(NAME, 100)
        with pytest.raises(ReadOnlyError):
            place.write(NAME, b"{}")

    def test_a_bucket_that_is_not_there(self, tmp_path: Path) -> None:
        place = open_place("s3://nowhere/a", folder=tmp_path, patience=20, environment={})
        (tmp_path / "body").write_bytes(b"x")
        with pytest.raises(PublishError):
            place.upload(blob(b"x"), tmp_path / "body")

    def test_a_server_that_stalls_costs_a_bounded_time(
        self, swift: S3Server, folder: str, tmp_path: Path
    ) -> None:
        place = open_place(f"s3://{BUCKET}/{folder}", folder=tmp_path, patience=0.4, environment={})
        with frozen(int(swift.url.rpartition(":")[2])), pytest.raises(FetchError):
            place.read(NAME, 100)


@pytest.mark.parametrize("address", ["s3://", "s3://UPPER/a", "s3://key:secret@bucket/a"])
def test_addresses_that_are_no_bucket(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        open_place(address, folder=tmp_path, patience=1, environment={})
    assert "secret" not in raised.value.message
