"""S3 storage against OpenStack Swift, which verifies every signature by itself."""

import contextlib
import datetime as dt
import hashlib
import http.client
import random
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hps_server.index_storage import index_storage
from hps_server.refused import Refused
from hps_server.result_storage import result_storage, returns_urls
from hps_server.s3 import Bucket, Credentials, S3Error, S3Storage, presign
from tests.server_env.conftest import PYTHON
from tests.server_env.test_index_storage import labels, pickled

KEYS = Credentials("test:tester", "testing/+=")
REGION = "eu-west-1"
# 127.0.0.2 is the virtual host of the bucket `127` in the domain 0.0.2: no resolver is needed.
DOMAIN, ADDRESSES = "0.0.2", ("127.0.0.1", "127.0.0.2")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, f"{parts.path}?{parts.query}", body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def signed(url: str, method: str = "GET", age: float = 0, **more: object) -> str:
    now = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age)
    given: dict[str, object] = {"credentials": KEYS, "region": REGION, "expires_in": 60, **more}
    return presign(method, url, now=now, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Swift that has the buckets `results` and, as a virtual host, `127`."""
    if subprocess.run([PYTHON, "-c", "import swift"], check=False, capture_output=True).returncode:
        pytest.skip("needs Debian's python3-swift")
    process = subprocess.Popen(
        [
            *(
                PYTHON,
                Path(__file__).with_name("swift_server.py"),
                tmp_path_factory.mktemp("swift"),
            ),
            *(KEYS.access_key, KEYS.secret_key, REGION, DOMAIN, *ADDRESSES),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        with process.stdout as said:
            port = int(said.readline())
            for bucket in (f"http://127.0.0.1:{port}/results", f"http://127.0.0.2:{port}/"):
                assert ask(signed(bucket, "PUT"), "PUT", b"").status == 200
            yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["path", "host"])
def bucket(request: pytest.FixtureRequest, port: int) -> Bucket:
    if request.param == "path":
        return Bucket(f"http://127.0.0.1:{port}", "results", REGION, prefix="p/q r")
    return Bucket(f"http://{DOMAIN}:{port}", "127", REGION, path_style=False)


@pytest.fixture
def storage(bucket: Bucket) -> S3Storage:
    return S3Storage(bucket, KEYS)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("log-1/ocr_0.jpg", "image/jpeg"),
        ("with space+plus&amp=.png", "image/png"),
        (
            "é/日本 語.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("a=b;c,d:e@f$g!h'i(j)k*l~m^n|o`p{q}\"r\\s<t>.txt", "text/plain"),
        ("100%/%2F%25+%zz.json", "application/json"),
        ("?versionId=null#fragment.tar.gz", "application/octet-stream"),
        ("imgs/de.ep/er//x", "application/octet-stream"),
    ],
)
def test_what_is_put_comes_back_under_every_name(storage: S3Storage, key: str, kind: str) -> None:
    with pytest.raises(KeyError):
        storage.get(key)
    storage.set(key, b"first")
    storage.set(key, key.encode())
    assert storage.get(key) == key.encode()
    url = storage.get_url(key, 60)
    found = ask(url)
    assert (found.status, found.body) == (200, key.encode())
    assert found.headers.get_content_type() == kind
    part = ask(url, Range="bytes=1-2")
    assert (part.status, part.body) == (206, key.encode()[1:3])
    storage.delete(key)
    storage.delete(key)
    with pytest.raises(KeyError):
        storage.get(key)
    assert ask(url).status == 404


def test_empty_and_large_blobs(storage: S3Storage) -> None:
    storage.set("empty", b"")
    assert storage.get("empty") == b""
    large = random.Random(1).randbytes(16 << 20)
    storage.set("large", large)
    assert hashlib.sha256(storage.get("large")).digest() == hashlib.sha256(large).digest()
    storage.delete("large")


def test_longest_and_default_urls_are_taken(storage: S3Storage) -> None:
    storage.set("a", b"x")
    for seconds in (-1, 1 << 40, 7 * 24 * 3600):
        assert ask(storage.get_url("a", seconds)).status == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.jpg", "b.jpg"),
        ("a.jpg", "A.jpg"),
        ("X-Amz-Expires=60", "X-Amz-Expires=61"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("&X-Amz-Signature", "&response-content-type=text%2Fhtml&X-Amz-Signature"),
        ("X-Amz-Date=2", "X-Amz-Date=3"),
        ("tester", "somebody"),
        ("eu-west-1", "us-east-1"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
    ],
)
def test_a_changed_url_reads_nothing(bucket: Bucket, old: str, new: str) -> None:
    storage = S3Storage(bucket, KEYS)
    for key in ("a.jpg", "b.jpg", "A.jpg"):
        storage.set(key, b"content")
    url = storage.get_url("a.jpg", 60)
    assert old in url
    refused = ask(url.replace(old, new))
    assert refused.status in (400, 403)
    assert b"content" not in refused.body.replace(b"response-content-type", b"")


def test_a_url_serves_one_method_and_one_host(storage: S3Storage) -> None:
    storage.set("a.jpg", b"content")
    url = storage.get_url("a.jpg", 60)
    assert ask(url, "PUT", b"forged").status == 403
    assert ask(url, "DELETE").status == 403
    port = str(urlsplit(url).port)
    assert ask(url, Host=f"127.0.0.3:{port}").status in (400, 403)
    assert storage.get("a.jpg") == b"content"


@pytest.mark.parametrize(
    ("age", "seconds", "status"),
    [
        (0, 60, 200),
        (50, 60, 200),
        (62, 60, 403),
        (840, 900, 200),
        (902, 900, 403),
        (0, 604801, 400),
    ],
)
def test_a_url_ends_in_time(port: int, age: int, seconds: int, status: int) -> None:
    bucket = Bucket(f"http://127.0.0.1:{port}", "results", REGION)
    S3Storage(bucket, KEYS).set("a.jpg", b"x")
    url = signed(f"{bucket.endpoint}/results/a.jpg", age=age, expires_in=seconds)
    assert ask(url).status == status


@pytest.mark.parametrize(
    "keys",
    [
        Credentials(KEYS.access_key, "another"),
        Credentials("test:another", KEYS.secret_key),
        Credentials(KEYS.access_key, KEYS.secret_key + " "),
    ],
)
def test_other_credentials_change_nothing(bucket: Bucket, keys: Credentials) -> None:
    right, wrong = S3Storage(bucket, KEYS), S3Storage(bucket, keys)
    right.set("kept", b"x")
    for run in (lambda: wrong.get("kept"), lambda: wrong.delete("kept")):
        with pytest.raises(S3Error, match=r"status 403 [A-Z][A-Za-z]+ of"):
            run()
    with pytest.raises(S3Error, match=r"PUT in bucket .*: status 403") as caught:
        wrong.set("kept", b"forged")
    assert keys.secret_key.strip() not in str(caught.value)
    assert ask(wrong.get_url("kept", 60)).status == 403
    assert right.get("kept") == b"x"


def test_another_region_is_told(bucket: Bucket) -> None:
    elsewhere = Bucket(bucket.endpoint, bucket.name, "us-east-1", bucket.path_style)
    with pytest.raises(S3Error, match="status 400 AuthorizationQueryParametersError"):
        S3Storage(elsewhere, KEYS).get("a")


def test_a_session_token_is_signed_too(bucket: Bucket) -> None:
    temporary = Credentials(KEYS.access_key, KEYS.secret_key, "token/+= é%")
    storage = S3Storage(bucket, temporary)
    storage.set("a.jpg", b"x")
    assert storage.get("a.jpg") == b"x"
    url = storage.get_url("a.jpg", 60)
    assert ask(url).status == 200
    assert ask(url.replace("token%2F", "token%2f%2F")).status == 403
    start = url.index("X-Amz-Security-Token=")
    assert ask(url[:start] + url[url.index("&", start) + 1 :]).status == 403


def test_a_bucket_that_is_not_there_is_no_missing_blob(port: int) -> None:
    storage = S3Storage(Bucket(f"http://127.0.0.1:{port}", "nowhere", REGION), KEYS)
    for run in (lambda: storage.get("a"), lambda: storage.set("a", b"x")):
        with pytest.raises(S3Error, match="status 404 NoSuchBucket"):
            run()


def test_many_at_once(storage: S3Storage) -> None:
    wrong: list[str] = []

    def work(name: str) -> None:
        for number in range(3):
            key = f"{name}/{number}"
            storage.set(key, key.encode())
            if storage.get(key) != key.encode():
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.fixture
def config(port: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("HPS_SERVER_S3_ACCESS_KEY", KEYS.access_key)
    monkeypatch.setenv("HPS_SERVER_S3_SECRET_KEY", KEYS.secret_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    endpoint = f"http://127.0.0.1:{port}"
    return {"type": "s3", "endpoint": endpoint, "bucket-name": "results", "region": REGION}


def test_what_a_pipelines_configuration_makes(port: int, config: dict[str, object]) -> None:
    public = f"http://LOCALHOST:{port}"
    storage = result_storage({**config, "key-prefix": "results", "public-endpoint": public})
    assert isinstance(storage, S3Storage)
    assert returns_urls({"return_urls": True}, storage)
    storage.set("log/a.jpg", b"x")
    url = storage.get_url("log/a.jpg", 60)
    assert url.startswith(f"http://localhost:{port}/results/results/log/a.jpg?")
    assert ask(url).body == b"x"


def test_an_index_is_kept_and_read_by_another_server(config: dict[str, object]) -> None:
    config["key-prefix"] = "indexes"
    first, second = index_storage(config), index_storage(config)
    with pytest.raises(Refused, match="There is no index key-1") as missing:
        second.get("key-1")
    assert missing.value.code == 422
    first.set("key-1", pickled({0: "é", 7: "b"}, random.Random(2).randbytes(1 << 20)))
    assert labels(second.get("key-1")) == {0: "é", 7: "b"}
    blobs = result_storage(config)
    assert blobs is not None
    kept = blobs.get("key-1.hpsindex")
    assert kept.startswith(b"hps-index 1 ")
    blobs.set("key-1.hpsindex", kept[:-1])
    with pytest.raises(Refused, match="damaged") as damaged:
        second.get("key-1")
    assert damaged.value.code == 500
    second.delete("key-1")
    with pytest.raises(Refused, match="There is no index"):
        first.get("key-1")
