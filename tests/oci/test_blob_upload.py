"""One blob on its way into registries that break off, forget, lie and are patient or not."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, PublishError
from hps.oci.reference import Reference
from hps.oci.registry import Placed
from hps.oci.registry_client import RegistryClient
from tests import servers
from tests.oci.registry_lab import HASTY, PATIENT
from tests.servers import Behaviour, Exchange, HostileServer

CHUNK = 1 << 20
LARGE = bytes(range(256)) * 14_000  # three and a half chunks
BLOB = Blob(Digest.of(LARGE), len(LARGE))
PLACE = f"/v2/team/app/blobs/{BLOB.digest}"
UPLOADS = "/v2/team/app/blobs/uploads/"
CLOSING = f"/up?digest=sha256%3A{BLOB.digest.hex}"


@dataclass
class Uploads:
    """A registry's uploads: takes chunks at `/up`, and does what it is told at numbered requests.

    Args:
        faults: what to do instead of taking the chunk, by the number of the PATCH from 0 on.
        keep: how many bytes of a chunk with a fault are kept all the same.
    """

    faults: dict[int, Behaviour] = field(default_factory=dict)
    keep: int = 0
    data: bytearray = field(default_factory=bytearray)
    chunks: list[str] = field(default_factory=list)
    begun: int = 0
    whole: bool = False

    def install(self, server: HostileServer) -> None:
        server.script(PLACE, self.exists)
        server.script(UPLOADS, self.begin)
        server.script("/up", self.take)
        server.script(CLOSING, self.close)

    def exists(self, exchange: Exchange) -> None:
        headers = {"Content-Length": str(len(self.data))} if self.whole else {"Content-Length": "0"}
        exchange.head(200 if self.whole else 404, headers)

    def begin(self, exchange: Exchange) -> None:
        self.begun += 1
        self.data.clear()
        self.answer(exchange, 202)

    def take(self, exchange: Exchange) -> None:
        seen = exchange.hostile.seen[-1]
        if seen.method == "GET":
            self.answer(exchange, 204)
            return
        number = len(self.chunks)
        self.chunks.append(seen.headers["content-range"])
        found = re.fullmatch(r"(\d+)-(\d+)", self.chunks[-1])
        assert found
        assert int(found[2]) - int(found[1]) + 1 == len(seen.body)
        if int(found[1]) != len(self.data):
            exchange.head(416, {"Content-Length": "0"})
        elif number in self.faults:
            self.data += seen.body[: self.keep]
            self.faults[number](exchange)
        else:
            self.data += seen.body
            self.answer(exchange, 202)

    def close(self, exchange: Exchange) -> None:
        self.whole = Digest.of(bytes(self.data)) == BLOB.digest
        exchange.head(201 if self.whole else 400, {"Content-Length": "0"})

    def answer(self, exchange: Exchange, code: int) -> None:
        span = {"Range": f"0-{max(0, len(self.data) - 1)}", "Location": "/up"}
        exchange.head(code, {"Content-Length": "0", **span})


@pytest.fixture
def client(server: HostileServer) -> Iterator[RegistryClient]:
    reference = Reference.parse(f"{server.host}/team/app")
    with RegistryClient(
        reference,
        environment={},
        home=Path("/nonexistent"),
        plain_http=True,
        deadlines=PATIENT,
        chunk=CHUNK,
    ) as found:
        yield found


def upload(client: RegistryClient, data: bytes = LARGE, **options: object) -> Placed:
    return client.upload(BLOB, lambda: io.BytesIO(data), **options)  # type: ignore[arg-type] # options of upload


def test_a_large_blob_goes_in_chunks(server: HostileServer, client: RegistryClient) -> None:
    uploads = Uploads()
    uploads.install(server)
    told: list[int] = []
    assert upload(client, sent=told.append) is Placed.SENT
    assert bytes(uploads.data) == LARGE
    spans = [f"{at}-{min(at + CHUNK, BLOB.size) - 1}" for at in range(0, BLOB.size, CHUNK)]
    assert uploads.chunks == spans
    assert told == sorted(told)
    assert told[-1] == BLOB.size
    assert upload(client) is Placed.THERE
    assert uploads.begun == 1


@pytest.mark.parametrize("fault", [servers.reset(), servers.status(503), servers.status(429)])
@pytest.mark.parametrize("keep", [0, 1000, CHUNK])
def test_what_the_registry_has_is_not_sent_again(
    server: HostileServer, client: RegistryClient, fault: Behaviour, keep: int
) -> None:
    uploads = Uploads({1: fault}, keep)
    uploads.install(server)
    assert upload(client) is Placed.SENT
    assert bytes(uploads.data) == LARGE
    assert uploads.begun == 1
    assert uploads.chunks[2].partition("-")[0] == str(CHUNK + keep)


def test_patience_begins_anew_with_each_chunk(
    server: HostileServer, client: RegistryClient
) -> None:
    """A large blob over a bad line fails more often than any small one may."""
    broken = {number: servers.reset() for number in range(1, 8)}
    uploads = Uploads(dict(broken), keep=CHUNK // 8)
    uploads.install(server)
    assert upload(client) is Placed.SENT
    assert bytes(uploads.data) == LARGE
    assert len(broken) > PATIENT.attempts
    assert len(uploads.chunks) > len(broken)


def test_an_upload_that_was_forgotten_begins_again(
    server: HostileServer, client: RegistryClient
) -> None:
    uploads = Uploads()
    forgetful = Uploads({2: servers.status(404)})
    forgetful.install(server)
    server.script("/up", *[forgetful.take] * 3, servers.status(404), uploads.take)
    server.script(UPLOADS, forgetful.begin, uploads.begin)
    server.script(CLOSING, uploads.close)
    assert upload(client) is Placed.SENT
    assert (forgetful.begun, uploads.begun) == (1, 1)
    assert bytes(uploads.data) == LARGE


def test_a_registry_that_always_forgets_is_given_up(
    server: HostileServer, client: RegistryClient
) -> None:
    Uploads({number: servers.status(404) for number in range(100)}).install(server)
    chunks = Uploads()
    server.script(UPLOADS, chunks.begin)

    def forget(exchange: Exchange) -> None:
        exchange.head(404, {"Content-Length": "0"})

    server.script("/up", forget)
    with pytest.raises(PublishError):
        upload(client)
    assert 1 < chunks.begun <= 5


@pytest.mark.parametrize(
    "text", [f"0-{BLOB.size}", "0-99999999999999", "5-9", "junk", "0-" + "9" * 99]
)
def test_a_registry_that_has_what_was_not_sent_is_caught(
    server: HostileServer, client: RegistryClient, text: str
) -> None:
    Uploads().install(server)
    server.script("/up", servers.status(202, {"Location": "/up", "Range": text}))
    with pytest.raises(PublishError, match="was not sent"):
        upload(client)


@pytest.mark.parametrize("lead", ["http://127.0.0.1:1/up", "https://evil.example/up", ""])
def test_a_chunk_is_not_led_elsewhere(
    server: HostileServer, client: RegistryClient, lead: str
) -> None:
    Uploads().install(server)
    server.script("/up", servers.status(202, {"Location": lead} if lead else {}))
    with pytest.raises(PublishError, match="leads the upload elsewhere"):
        upload(client)


@pytest.mark.parametrize(
    "change",
    [lambda data: b"!" + data[1:], lambda data: data[:-1] + b"!", lambda data: data + b"!"],
    ids=["first", "last", "longer"],
)
def test_a_blob_that_changed_is_not_closed(
    server: HostileServer, client: RegistryClient, change: Callable[[bytes], bytes]
) -> None:
    uploads = Uploads()
    uploads.install(server)
    with pytest.raises(IntegrityError, match="changed while it was sent"):
        upload(client, change(LARGE))
    assert not server.count(CLOSING)
    with pytest.raises(IntegrityError):
        upload(client, LARGE[:-1])
    assert not uploads.whole


def test_a_small_blob_that_changed_is_not_sent(
    server: HostileServer, client: RegistryClient
) -> None:
    server.script(UPLOADS, servers.status(202, {"Location": "/up"}))
    with pytest.raises(IntegrityError):
        client.upload(Blob(Digest.of(b"a"), 1), lambda: io.BytesIO(b"b"))
    assert "PUT" not in {each.method for each in server.seen}


def test_the_answer_to_the_end_may_be_lost(server: HostileServer, client: RegistryClient) -> None:
    """The registry has all of it and nobody heard it say so: it is asked, nothing goes twice."""
    uploads = Uploads()
    uploads.install(server)

    def deaf(exchange: Exchange) -> None:
        uploads.whole = True
        exchange.reset()

    server.script(CLOSING, deaf)
    assert upload(client) is Placed.SENT
    assert server.count(CLOSING) == 1
    assert len(uploads.chunks) == 4


def test_a_blob_of_another_size_is_sent_again(
    server: HostileServer, client: RegistryClient
) -> None:
    uploads = Uploads()
    uploads.install(server)
    server.script(PLACE, servers.status(200, {"Content-Length": "3"}))
    assert upload(client) is Placed.SENT
    assert uploads.whole


def test_a_blob_is_mounted(server: HostileServer, client: RegistryClient) -> None:
    mount = f"{UPLOADS}?mount=sha256%3A{BLOB.digest.hex}&from="
    refused = servers.status(202, {"Location": "/up"})
    taken = servers.status(201, {"Docker-Content-Digest": str(BLOB.digest)})
    server.script(f"{mount}team%2Fold", refused)
    server.script(f"{mount}team%2Fbase", taken)
    assert upload(client, mounts=["team/old", "team/base"]) is Placed.MOUNTED
    assert [each.method for each in server.seen] == ["HEAD", "POST", "POST"]
    server.script(f"{mount}team%2Fbase", servers.status(201, {"Docker-Content-Digest": "x"}))
    with pytest.raises(IntegrityError):
        upload(client, mounts=["team/base"])


@pytest.mark.parametrize("code", [202, 401, 403])
def test_what_cannot_be_mounted_is_sent(
    server: HostileServer, client: RegistryClient, code: int
) -> None:
    uploads = Uploads()
    uploads.install(server)
    mount = f"{UPLOADS}?mount=sha256%3A{BLOB.digest.hex}&from=team%2Fsecret"
    answers: dict[int, Behaviour] = {
        202: uploads.begin,
        401: servers.status(401, {"WWW-Authenticate": "Basic"}),
        403: servers.status(403),
    }
    server.script(mount, answers[code])
    assert upload(client, mounts=["team/secret"]) is Placed.SENT
    assert uploads.begun == 1


def test_a_registry_may_ask_for_larger_chunks(
    server: HostileServer, client: RegistryClient
) -> None:
    uploads = Uploads()
    uploads.install(server)

    def begin(exchange: Exchange) -> None:
        exchange.head(
            202,
            {"Content-Length": "0", "Location": "/up", "OCI-Chunk-Min-Length": str(3 * CHUNK)},
        )

    server.script(UPLOADS, begin)
    assert upload(client) is Placed.SENT
    assert len(uploads.chunks) == 2


def test_a_registry_that_does_not_answer_is_given_up(server: HostileServer) -> None:
    Uploads({number: servers.silence() for number in range(9)}).install(server)
    reference = Reference.parse(f"{server.host}/team/app")
    with (
        RegistryClient(
            reference,
            environment={},
            home=Path("/nonexistent"),
            plain_http=True,
            deadlines=HASTY,
            chunk=CHUNK,
        ) as client,
        pytest.raises(PublishError, match="no answer"),
    ):
        upload(client)


def test_a_refusal_is_told_with_what_the_registry_says(
    server: HostileServer, client: RegistryClient
) -> None:
    body = b'{"errors":[{"code":"DENIED","message":"quota of team exceeded"}]}'
    server.script(UPLOADS, servers.status(403, body=body))
    with pytest.raises(PublishError, match="DENIED: quota of team exceeded"):
        upload(client)


def test_asking_sends_nothing(server: HostileServer, client: RegistryClient) -> None:
    assert not client.has(BLOB)
    server.script(PLACE, servers.status(200, {"Content-Length": str(BLOB.size)}))
    assert client.has(BLOB)
    server.script(PLACE, servers.status(403))
    with pytest.raises(FetchError):
        client.has(BLOB)
    assert {each.method for each in server.seen} == {"HEAD"}
