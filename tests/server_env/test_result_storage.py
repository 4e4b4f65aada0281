"""Result files: in memory, in a directory, by signed URL."""

import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps_server.file_storage import FileStorage
from hps_server.refused import Refused
from hps_server.result_storage import (
    MemoryStorage,
    SignedFileStorage,
    Storage,
    StorageError,
    result_storage,
    returns_urls,
)
from hps_server.s3 import S3Storage
from hps_server.signed_files import SignedFile, read_signed
from hps_server.signed_urls import SignedUrls

SECRET = b"0123456789abcdef"


@pytest.fixture(params=["memory", "file_system", "signed"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "signed":
        return SignedFileStorage(tmp_path, SignedUrls("http://127.0.0.1/files", SECRET))
    return FileStorage(tmp_path)


KEYS = [
    "a",
    "log-1/ocr_0.jpg",
    "log-1/imgs/img_in_table_1.jpg",
    "é/日本 語.docx",
    "a/.b",
    "%2E",
    "~",
]


@pytest.mark.parametrize("key", KEYS)
def test_every_storage_keeps_and_forgets(storage: Storage, key: str) -> None:
    with pytest.raises(KeyError):
        storage.get(key)
    storage.delete(key)
    storage.set(key, b"one")
    storage.set(key, b"two")
    assert storage.get(key) == b"two"
    storage.delete(key)
    with pytest.raises(KeyError):
        storage.get(key)


@pytest.mark.parametrize(
    "key", ["", "/a", "a//b", "a/", "x" * 300, "a\0", "a/" * 9 + "b", "\ud800"]
)
def test_keys_that_are_no_names_are_refused(tmp_path: Path, key: str) -> None:
    storage = FileStorage(tmp_path)
    with pytest.raises(KeyError):
        storage.set(key, b"x")
    with pytest.raises(KeyError):
        storage.get(key)


@given(st.text(min_size=1, max_size=30) | st.sampled_from(["..", "../../x", "/etc/passwd", "."]))
def test_no_key_leads_out_of_the_directory(key: str) -> None:
    storage = FileStorage(Path("/tmp/hps-never-written"), max_bytes=1)
    try:
        path = storage._path(key)
    except KeyError:
        return
    relative = path.relative_to("/tmp/hps-never-written")
    assert not any(part.startswith(".") for part in relative.parts)
    assert unquote(str(relative)) == key  # two keys are never one file


def test_dots_are_names_like_others(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "in")
    storage.set("../out", b"x")
    assert storage.get("../out") == b"x"
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_memory_is_bounded_by_size_and_age() -> None:
    now = [0.0]
    storage = MemoryStorage(max_bytes=10, max_age_seconds=5, clock=lambda: now[0])
    for name in "abc":
        storage.set(name, b"1234")
    with pytest.raises(KeyError):
        storage.get("a")
    assert storage.get("b") == storage.get("c") == b"1234"
    storage.set("huge", b"x" * 11)
    with pytest.raises(KeyError):
        storage.get("huge")
    storage.set("d", b"x")
    now[0] = 6
    with pytest.raises(KeyError):
        storage.get("d")


def test_a_directory_is_bounded_by_size_and_age(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, max_age_seconds=1000, max_bytes=10)
    for age, name in ((2000, "l/old"), (30, "l/second"), (20, "l/third"), (10, "m/new")):
        storage.set(name, b"1234")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    storage.sweep()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["new", "third"]
    os.utime(tmp_path / "l/third", (0, 0))
    storage.sweep()
    assert not (tmp_path / "l").exists()


def test_writing_keeps_a_directory_bounded(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, max_bytes=1000)
    for number in range(100):
        storage.set(f"{number}/x", b"x" * 100)
    kept = [path for path in tmp_path.rglob("x") if path.is_file()]
    assert 1 <= len(kept) <= 20


def test_writers_and_sweeps_do_not_disturb_each_other(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path, max_age_seconds=0.001)
    failed: list[BaseException] = []

    def run(name: str) -> None:
        try:
            for number in range(100):
                storage.set(f"{name}/{number}/x", b"x")
                storage.sweep()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "aab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_nothing_incomplete_stays(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError):
        storage.set("a", b"x")  # a folder is in the way
    storage.set("b", b"x")
    with pytest.raises(OSError):
        storage.set("b/c/d", b"x")  # a file is in the way
    assert list((tmp_path / ".incomplete").iterdir()) == []
    left = tmp_path / ".incomplete" / "of a killed writer"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    storage.sweep()
    assert not left.exists()


def ask(storage: SignedFileStorage, url: str) -> SignedFile:
    parts = urlsplit(url)
    return read_signed(storage, parts.path.removeprefix("/files"), dict(parse_qsl(parts.query)))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("expires_in", [-1, 60])
def test_a_signed_url_reads_its_file(tmp_path: Path, key: str, expires_in: int) -> None:
    storage = SignedFileStorage(tmp_path, SignedUrls("https://example.org/files/", SECRET))
    storage.set(key, b"content")
    url = storage.get_url(key, expires_in)
    assert url.startswith("https://example.org/files/")
    found = ask(storage, url)
    assert found.content == b"content"
    assert found.headers["X-Content-Type-Options"] == "nosniff"


def test_a_signed_url_reads_nothing_else(tmp_path: Path) -> None:
    storage = SignedFileStorage(tmp_path, SignedUrls("http://127.0.0.1/files", SECRET))
    for key in ("a/x.jpg", "a/y.jpg"):
        storage.set(key, b"content")
    url = storage.get_url("a/x.jpg", 60)
    assert ask(storage, url).headers["Content-Type"] == "image/jpeg"
    other = SignedUrls("http://127.0.0.1/files", SECRET[::-1])
    expires = dict(parse_qsl(urlsplit(url).query))["expires"]
    for forged in (
        url.replace("x.jpg", "y.jpg"),
        url.replace("x.jpg", "../a/x.jpg"),
        url.replace(f"expires={expires}", f"expires={int(expires) + 1}"),
        url.replace(f"expires={expires}", "expires=0"),
        url.replace(f"expires={expires}", "expires=٣"),
        url.replace(f"expires={expires}", ""),
        url[:-1],
        url.partition("&")[0],
        url + "é",
        other.url("a/x.jpg", 60),
        storage.get_url("a/x.jpg", 0),
        storage.get_url("a/gone.jpg", 60),
    ):
        with pytest.raises(Refused, match="No such file") as caught:
            ask(storage, forged)
        assert caught.value.code == 404


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        SignedUrls("http://127.0.0.1", b"short")


def test_what_a_configuration_makes(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef\n")
    directory = str(tmp_path / "results")
    assert result_storage(None) is None
    assert isinstance(result_storage({"type": "memory"}), MemoryStorage)
    assert isinstance(result_storage({}), MemoryStorage)
    plain = result_storage({"type": "file_system", "directory": directory})
    assert isinstance(plain, FileStorage)
    assert not hasattr(plain, "get_url")
    signed = {"type": "file_system", "directory": directory, "base-url": "http://127.0.0.1/f"}
    assert isinstance(result_storage({**signed, "secret-file": str(secret)}), SignedFileStorage)
    by_variable = {"HPS_SERVER_URL_SECRET": "0123456789abcdef"}
    assert isinstance(result_storage(signed, by_variable), SignedFileStorage)
    s3 = {"type": "s3", "endpoint": "https://s3.example.org", "bucket_name": "b"}
    keys = {"access_key_file": str(secret), "secret_key_file": str(secret)}
    assert isinstance(result_storage({**s3, **keys}, {}), S3Storage)
    aws = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    assert isinstance(result_storage(s3, aws), S3Storage)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("memory", "must be a mapping"),
        ({"type": "ftp"}, "known are memory"),
        ({"type": "memory", "directory": "x"}, "knows no directory"),
        ({"type": "memory", "max_bytes": 0}, "max_bytes"),
        ({"type": "memory", "max_bytes": True}, "max_bytes"),
        ({"type": "file_system"}, "directory"),
        ({"type": "file_system", "directory": 5}, "directory"),
        ({"type": "file_system", "directory": "/proc/nowhere"}, "nowhere"),
        ({"type": "file_system", "directory": "/tmp", "base_url": "http://a"}, "secret_file"),
        ({"type": "s3", "endpoint": "http://a", "bucket_name": "b"}, "access_key_file"),
        ({"type": "s3", "bucket_name": "b"}, "endpoint"),
    ],
)
def test_what_a_configuration_may_not_be(config: Any, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        result_storage(config, {})


def test_no_secret_is_shown(tmp_path: Path) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "visible-id", "AWS_SECRET_ACCESS_KEY": "hidden-key"}
    config = {"type": "s3", "endpoint": "ftp://s3.example.org", "bucket_name": "b"}
    with pytest.raises(StorageError) as caught:
        result_storage(config, environment)
    assert "hidden" not in str(caught.value)
    assert "visible" not in str(caught.value)
    storage = result_storage({**config, "endpoint": "http://s3.example.org"}, environment)
    assert "hidden" not in repr(vars(storage))


def test_urls_are_returned_where_they_can_be(tmp_path: Path) -> None:
    signed = SignedFileStorage(tmp_path, SignedUrls("http://127.0.0.1", SECRET))
    assert returns_urls({"return_urls": True}, signed)
    assert returns_urls({"extra": {"return_img_urls": True}}, signed)
    assert not returns_urls({"return_urls": False, "extra": {"return_img_urls": True}}, signed)
    assert not returns_urls({}, None)
    for storage in (None, MemoryStorage()):
        with pytest.raises(StorageError, match="return_urls"):
            returns_urls({"return_urls": True}, storage)
