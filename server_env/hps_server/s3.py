"""Results on S3-compatible object storage, by presigned requests of AWS Signature Version 4.

Every request, also our own, is a presigned URL ("Authenticating Requests: Using Query Parameters"
of the Amazon S3 API Reference): one way to sign, and the one that callers get is the one in use.
"""

import contextlib
import datetime as dt
import hashlib
import hmac
import http.client
import re
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlsplit

from hps_server.content_types import content_type

LONGEST_SECONDS = 7 * 24 * 3600  # Signature Version 4 ends there
_OWN_SECONDS = 900  # so far may the two clocks be apart, as with signed headers
_TIMEOUT = 30.0
_ATTEMPTS = 3
_PAUSE = 0.2  # seconds, longer before each attempt
_LARGEST = 1 << 30
_OK = frozenset({200, 204})
_MISSING = 404
_NO_BUCKET = "NoSuchBucket"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# "Error Responses" of the Amazon S3 API Reference; the rest of the document may name keys.
_ERROR_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class S3Error(Exception):
    """The object storage did not do what it was asked; the message holds no secret."""


@dataclass(frozen=True)
class Credentials:
    """The keys of an account; they are never shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Bucket:
    """Where a bucket is.

    Attributes:
        endpoint: URL of the service, without the bucket.
        name: of the bucket.
        region: that requests are signed for.
        path_style: the bucket is in the path, not in the host name.
        prefix: put before each key.
        public_endpoint: URL of the service as callers reach it, where that differs.
    """

    endpoint: str
    name: str
    region: str = "us-east-1"
    path_style: bool = True
    prefix: str = ""
    public_endpoint: str = ""


def presign(
    method: str,
    url: str,
    region: str,
    credentials: Credentials,
    *,
    expires_in: int,
    now: dt.datetime,
) -> str:
    """A URL with a signature for one method.

    Args:
        method: GET, PUT, DELETE…
        url: without a query; its path is percent-encoded already.
        region: of the bucket.
        credentials: that sign.
        expires_in: seconds, at most seven days.
        now: in UTC.
    """
    parts = urlsplit(url)
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires_in),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token:
        query["X-Amz-Security-Token"] = credentials.session_token
    canonical_query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
    )
    canonical = "\n".join(
        (
            method,
            parts.path or "/",
            canonical_query,
            f"host:{parts.netloc}\n",
            "host",
            "UNSIGNED-PAYLOAD",
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (*scope.split("/"), signed):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"{url}?{canonical_query}&X-Amz-Signature={key.hex()}"


class S3Storage:
    """Blobs in a bucket, with URLs; `KeyError` for what is not there."""

    def __init__(
        self,
        bucket: Bucket,
        credentials: Credentials,
        *,
        timeout: float = _TIMEOUT,
        tls: "ssl.SSLContext | None" = None,
    ) -> None:
        for endpoint in filter(None, (bucket.endpoint, bucket.public_endpoint)):
            parts = urlsplit(endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
                raise ValueError(f"endpoint must be an http or https URL, not {endpoint!r}")
        self._bucket = bucket
        self._credentials = credentials
        self._timeout = timeout
        self._tls = tls

    def get(self, key: str) -> bytes:
        """The blob of a key.

        Raises:
            KeyError: there is none.
            S3Error: the storage refused or did not answer.
        """
        return self._request("GET", key)

    def set(self, key: str, value: bytes) -> None:
        """Keep a blob.

        Raises:
            S3Error: the storage refused or did not answer.
        """
        self._request("PUT", key, value)

    def delete(self, key: str) -> None:
        """Forget a blob; one that is not there is forgotten already.

        Raises:
            S3Error: the storage refused or did not answer.
        """
        with contextlib.suppress(KeyError):
            self._request("DELETE", key)

    def get_url(self, key: str, expires_in: int = -1) -> str:
        """A URL that reads the blob; -1 is as long as signatures last, seven days."""
        seconds = LONGEST_SECONDS if expires_in < 0 else min(expires_in, LONGEST_SECONDS)
        endpoint = self._bucket.public_endpoint or self._bucket.endpoint
        return self._presigned("GET", key, endpoint, max(seconds, 1))

    def _presigned(self, method: str, key: str, endpoint: str, seconds: int) -> str:
        bucket = self._bucket
        parts = urlsplit(endpoint)
        path = parts.path.rstrip("/")
        host = _host(parts) if bucket.path_style else f"{bucket.name}.{_host(parts)}"
        if bucket.path_style:
            path += f"/{quote(bucket.name, safe='')}"
        full = f"{bucket.prefix.strip('/')}/{key}".lstrip("/")
        url = f"{parts.scheme}://{host}{path}/{quote(full, safe='/-_.~')}"
        now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017 - Python 3.10 has no UTC
        return presign(method, url, bucket.region, self._credentials, expires_in=seconds, now=now)

    def _request(self, method: str, key: str, body: "bytes | None" = None) -> bytes:
        """One request; all of ours may be repeated."""
        failure = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE * attempt)
            url = self._presigned(method, key, self._bucket.endpoint, _OWN_SECONDS)
            host = urlsplit(url).netloc
            try:
                status, content = self._send(method, url, key, body)
            except (OSError, http.client.HTTPException) as error:
                failure = f"{type(error).__name__} at {host}"
                continue
            if status in _OK:
                return content
            code = _error_code(content)
            if status == _MISSING and code != _NO_BUCKET and method != "PUT":
                raise KeyError(key)
            failure = f"status {status} {code} of {host}".replace("  ", " ")
            if status < http.client.INTERNAL_SERVER_ERROR:
                break
        raise S3Error(f"{method} in bucket {self._bucket.name}: {failure}")

    def _send(self, method: str, url: str, key: str, body: "bytes | None") -> "tuple[int, bytes]":
        parts = urlsplit(url)
        connection = (
            http.client.HTTPSConnection(
                parts.netloc,
                timeout=self._timeout,
                context=self._tls or ssl.create_default_context(),
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.netloc, timeout=self._timeout)
        )
        headers = {} if body is None else {"Content-Type": content_type(key)}
        with contextlib.closing(connection):
            connection.request(method, f"{parts.path}?{parts.query}", body, headers)
            answer = connection.getresponse()
            content = answer.read(_LARGEST + 1)
            if len(content) > _LARGEST:
                raise S3Error(f"an object is larger than {_LARGEST} bytes")
            if answer.length:  # read() with a bound does not say that the connection was cut
                raise http.client.IncompleteRead(content, answer.length)
            return answer.status, content


def _host(parts: SplitResult) -> str:
    """The host as every client sends it, which is what the service verifies.

    In lower case, and without the port that the scheme implies (RFC 9110, section 4.2.3).
    """
    host = parts.netloc.lower()
    return host.removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")


def _error_code(document: bytes) -> str:
    found = _ERROR_CODE.search(document[:4096])
    return found[1].decode() if found else ""
