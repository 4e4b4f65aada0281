"""A small Baidu Object Storage on loopback that verifies signatures, written after its documents.

"Generating an Authentication String" (bce-auth-v1) and "Error Codes" of the BOS API reference.
"""

import datetime as dt
import hashlib
import hmac
import http.server
import json
import threading
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

ACCESS_KEY, SECRET_KEY, BUCKET = "access-key", "secret/+ key", "results"
_SIGNED = {"host", "content-md5", "content-length", "content-type"}
_UNRESERVED = "-_.~"


class RefusedError(Exception):
    """A request that is not served, with its status and error code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def verify(method: str, target: str, headers: "dict[str, str]") -> None:
    """Refuse a request whose authorization string is missing, wrong or over."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    given = query.pop("authorization", "") or headers.get("authorization", "")
    try:
        version, access_key, moment, seconds, names, signature = given.split("/")
        start = dt.datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.timezone.utc)  # noqa: UP017 - as in the image
    except ValueError:
        raise RefusedError(403, "AccessDenied") from None
    if access_key != ACCESS_KEY:
        raise RefusedError(403, "InvalidAccessKeyId")
    now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017 - as above
    if int(seconds) >= 0 and now > start + dt.timedelta(seconds=int(seconds)):
        raise RefusedError(403, "RequestExpired")
    wanted = set(names.split(";")) if names else _SIGNED
    signed = {
        name: value.strip()
        for name, value in headers.items()
        if name in wanted or name.startswith("x-bce-")
    }
    canonical = "\n".join(
        (
            method,
            quote(unquote(parts.path), safe=f"/{_UNRESERVED}"),
            "&".join(sorted(f"{_encoded(k)}={_encoded(v)}" for k, v in query.items())),
            "\n".join(sorted(f"{_encoded(k)}:{_encoded(v)}" for k, v in signed.items() if v)),
        )
    )
    key = _hmac(SECRET_KEY, f"{version}/{access_key}/{moment}/{seconds}")
    if not hmac.compare_digest(_hmac(key, canonical), signature):
        raise RefusedError(403, "SignatureDoesNotMatch")


def _encoded(text: str) -> str:
    return quote(text, safe=_UNRESERVED)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "BosServer"

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            verify(self.command, self.path, headers)
            bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
            if bucket != BUCKET:
                raise RefusedError(404, "NoSuchBucket")
            blobs = self.server.blobs
            if self.command == "PUT":
                blobs[key] = content
                self._answer(200, b"", ETag=hashlib.md5(content).hexdigest())
            elif key not in blobs:
                raise RefusedError(404, "NoSuchKey")
            elif self.command == "DELETE":
                del blobs[key]
                self._answer(204, b"")
            else:
                self._answer(200, blobs[key])
        except RefusedError as error:
            said = {"code": error.code, "message": "no", "requestId": "1"}
            self._answer(error.status, json.dumps(said).encode())

    do_GET = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class BosServer(http.server.ThreadingHTTPServer):
    """The storage, for a `with`; what it keeps is in `blobs`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
