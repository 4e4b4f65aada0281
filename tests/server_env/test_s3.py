"""S3: signatures against the published example and Amazon's own library, requests against a server."""

import datetime as dt
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore import auth, awsrequest, credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from hps_server.s3 import Bucket, Credentials, S3Error, S3Storage, presign
from tests.server_env.test_fetching import Server, answer

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def test_the_published_example_of_a_presigned_url() -> None:
    """Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters"."""
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        "us-east-1",
        EXAMPLE,
        expires_in=86400,
        now=dt.datetime(2013, 5, 24, tzinfo=dt.UTC),
    )
    assert url.endswith(
        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def storage(endpoint: str, **more: str) -> S3Storage:
    return S3Storage(Bucket(endpoint, "results", **more), EXAMPLE, timeout=5)  # type: ignore[arg-type]


def test_urls_are_path_style_or_virtual_hosts() -> None:
    key = "log-1/日 本+é.jpg"
    encoded = "log-1/%E6%97%A5%20%E6%9C%AC%2B%C3%A9.jpg"
    url = storage("https://s3.example.org/base/").get_url(key, 60)
    assert url.startswith(f"https://s3.example.org/base/results/{encoded}?X-Amz-Algorithm=")
    bucket = Bucket(
        "http://inside:9000",
        "results",
        path_style=False,
        prefix="/p/",
        public_endpoint="https://s3.example.org",
    )
    url = S3Storage(bucket, EXAMPLE).get_url(key)
    assert url.startswith(f"https://results.s3.example.org/p/{encoded}?")
    assert "X-Amz-Expires=604800&" in url
    token = Credentials("a", "s", "token/+")
    assert "X-Amz-Security-Token=token%2F%2B&" in S3Storage(bucket, token).get_url("k")


@pytest.mark.parametrize("endpoint", ["", "s3.example.org", "ftp://x", "http://", "http://u:p@x"])
def test_endpoints_that_are_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        S3Storage(Bucket(endpoint or "x", "b"), EXAMPLE)


def test_failures_are_told_without_secrets() -> None:
    refusal = answer(b"AKIAIOSFODNN7EXAMPLE", "Content-Length: 20", status="403 Forbidden")
    with Server(refusal) as server, pytest.raises(S3Error) as caught:
        storage(f"http://127.0.0.1:{server.port}").get("k")
    assert "status 403" in str(caught.value)
    assert "AKIA" not in str(caught.value)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(S3Error, match="ConnectionRefusedError"):
        storage(f"http://127.0.0.1:{port}").set("k", b"x")


def test_a_server_that_stumbles_is_asked_again() -> None:
    busy = answer(b"", "Content-Length: 0", status="503 Slow Down")
    with Server(busy, b"", answer(b"x", "Content-Length: 1")) as server:
        assert storage(f"http://127.0.0.1:{server.port}").get("k") == b"x"


NPM_PACKAGE = "s3rver@3.7.1"  # knows Signature Version 4, verifies its keys and times only


@pytest.fixture(scope="module")
def s3_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("needs npm")
    kept = request.config.cache.mkdir("s3rver") / NPM_PACKAGE
    if not kept.exists():
        made = Path(f"{kept}.{os.getpid()}")
        install = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(made),
        ]
        subprocess.run([*install, NPM_PACKAGE], check=True, capture_output=True)
        try:
            made.rename(kept)
        except OSError:  # another worker of this run was first
            shutil.rmtree(made)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = kept / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    folder = tmp_path_factory.mktemp("s3")
    options = [
        "-d",
        str(folder),
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "--configure-bucket",
        "results",
    ]
    process = subprocess.Popen([node, str(program), *options], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


KEYS = Credentials("S3RVER", "S3RVER")


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.network
def test_a_real_server_takes_what_is_signed(s3_server: str) -> None:
    found = S3Storage(Bucket(s3_server, "results", prefix="p/q"), KEYS)
    for key in ("log/a.jpg", "é 日+&=~!'()*.txt", "imgs/deep/er/x"):
        found.set(key, key.encode())
        assert found.get(key) == key.encode()
        with urllib.request.urlopen(found.get_url(key, 60)) as response:
            assert response.read() == key.encode()
        found.delete(key)
        found.delete(key)
        with pytest.raises(KeyError):
            found.get(key)


@pytest.mark.network
def test_a_real_server_refuses_what_is_over_and_who_is_unknown(s3_server: str) -> None:
    found = S3Storage(Bucket(s3_server, "results"), KEYS)
    found.set("a.jpg", b"x")
    assert status(found.get_url("a.jpg", 60)) == 200
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=61)
    over = presign(
        "GET", f"{s3_server}/results/a.jpg", "us-east-1", KEYS, expires_in=60, now=before
    )
    assert status(over) == 403
    with pytest.raises(S3Error, match="status 403"):
        S3Storage(Bucket(s3_server, "results"), EXAMPLE).set("c", b"x")


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.booleans(),
    st.sampled_from(["", "session/+=token"]),
)
def test_amazons_own_library_signs_the_same(
    key: str, method: str, path_style: bool, token: str
) -> None:
    bucket = Bucket(
        "https://s3.example.org:9000", "results", region="eu-west-1", path_style=path_style
    )
    keys = Credentials("key", "secret", token)
    ours = S3Storage(bucket, keys)._presigned(method, key, bucket.endpoint, 60)
    request = awsrequest.AWSRequest(method=method, url=ours.partition("?")[0])
    theirs = credentials.Credentials("key", "secret", token or None)
    signer = auth.S3SigV4QueryAuth(theirs, "s3", "eu-west-1", expires=60)
    moment = dict(parse_qsl(urlsplit(ours).query))["X-Amz-Date"]
    # Signed in the same second, or once more in the next.
    signer.add_auth(request)
    found = dict(parse_qsl(urlsplit(request.url).query))
    if found["X-Amz-Date"] == moment:
        assert found == dict(parse_qsl(urlsplit(ours).query))
