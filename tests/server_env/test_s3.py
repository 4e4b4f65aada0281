"""S3: signatures against the published example and Amazon's own library, and bad answers."""

import datetime as dt
import socket
import ssl
import subprocess
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


def test_what_a_storage_says_is_told() -> None:
    document = b"<?xml?><Error><Code>AccessDenied</Code><Key>secret-name</Key></Error>"
    refusal = answer(document, f"Content-Length: {len(document)}", status="403 Forbidden")
    with Server(refusal) as server, pytest.raises(S3Error) as caught:
        storage(f"http://127.0.0.1:{server.port}").get("k")
    told = f"GET in bucket results: status 403 AccessDenied of 127.0.0.1:{server.port}"
    assert str(caught.value) == told


def test_a_body_that_was_cut_is_asked_for_again() -> None:
    cut = answer(b"only", "Content-Length: 9")
    with Server(cut, cut, answer(b"all of it", "Content-Length: 9")) as server:
        assert storage(f"http://127.0.0.1:{server.port}").get("k") == b"all of it"
    chunked = answer(b"4\r\nonly\r\n", "Transfer-Encoding: chunked")
    with Server(cut, chunked, cut) as server, pytest.raises(S3Error, match="IncompleteRead"):
        storage(f"http://127.0.0.1:{server.port}").get("k")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://S3.example.org:443", "s3.example.org"),
        ("http://s3.example.org:80/", "s3.example.org"),
        ("http://s3.example.org:443", "s3.example.org:443"),
        ("https://[2001:DB8::443]", "[2001:db8::443]"),
    ],
)
def test_the_host_is_signed_as_clients_send_it(endpoint: str, host: str) -> None:
    assert urlsplit(storage(endpoint).get_url("k")).netloc == host


def test_https_is_verified(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    with Server(answer(b"x", "Content-Length: 1"), tls=own) as server:
        bucket = Bucket(f"https://127.0.0.1:{server.port}", "results")
        assert S3Storage(bucket, EXAMPLE, tls=trusting).get("k") == b"x"
    with Server(*[b""] * 3, tls=own) as server:
        bucket = Bucket(f"https://127.0.0.1:{server.port}", "results")
        with pytest.raises(S3Error, match="SSLCertVerificationError"):
            S3Storage(bucket, EXAMPLE).get("k")


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.sampled_from(["GET", "PUT", "DELETE"]),
    st.booleans(),
    st.sampled_from(["", "session/+=token"]),
    st.sampled_from(["https://s3.example.org:9000", "https://S3.example.org:443/base"]),
)
def test_amazons_own_library_signs_the_same(
    key: str, method: str, path_style: bool, token: str, endpoint: str
) -> None:
    bucket = Bucket(endpoint, "results", region="eu-west-1", path_style=path_style)
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
