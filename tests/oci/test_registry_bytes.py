"""The registry client against a registry that lies, floods and stalls."""

import json
import threading

import pytest

from hps import canonical
from hps.digest import Digest
from hps.errors import (
    FetchError,
    IntegrityError,
    MalformedError,
    NotFoundError,
)
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.registry import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE
from hps.oci.registry_client import RegistryClient
from hps.store.cancellation import Cancelled
from tests import servers
from tests.oci.registry_lab import (
    BLOB,
    BLOB_PATH,
    DIGEST_PATH,
    GOOD,
    GOOD_DIGEST,
    INDEX,
    MANIFEST,
    TAG_PATH,
    manifest,
    pull,
)
from tests.servers import Behaviour, Exchange, HostileServer


def test_wrong_bytes_for_a_digest_are_refused_at_once(
    server: HostileServer, registry: RegistryClient
) -> None:
    other = canonical.dumps({**MANIFEST, "annotations": {"a": "b"}})
    server.script(DIGEST_PATH, manifest(other))
    with pytest.raises(IntegrityError) as caught:
        registry.manifest(GOOD_DIGEST)
    assert caught.value.message.startswith(f"{registry.name}@{GOOD_DIGEST}: the bytes are not")
    assert (caught.value.expected, caught.value.got) == (str(GOOD_DIGEST), str(Digest.of(other)))
    server.script(BLOB_PATH, servers.fine(BLOB[:-1] + b"!"))
    with pytest.raises(IntegrityError):
        pull(registry)
    assert server.count(DIGEST_PATH) == server.count(BLOB_PATH) == 1  # never retried


@pytest.mark.parametrize(
    "lie",
    ["sha256:" + "0" * 64, "sha1:" + "0" * 40, "none", "sha512:" + "0" * 128, GOOD_DIGEST.hex, "\x1b[2J"],
)  # fmt: skip
def test_a_lie_in_docker_content_digest_is_refused(
    server: HostileServer, registry: RegistryClient, lie: str
) -> None:
    for path, wanted in ((TAG_PATH, "1.0"), (DIGEST_PATH, GOOD_DIGEST)):
        server.script(path, manifest(headers={"Docker-Content-Digest": lie}))
        with pytest.raises(IntegrityError) as caught:
            registry.manifest(wanted)
        assert server.count(path) == 1
        assert "\x1b" not in str(caught.value)
    server.script(TAG_PATH, manifest(headers={"Docker-Content-Digest": str(GOOD_DIGEST)}))
    assert registry.manifest("1.0").digest == GOOD_DIGEST


def test_more_bytes_than_a_manifest_may_have_are_not_read(
    server: HostileServer, registry: RegistryClient
) -> None:
    server.script(TAG_PATH, servers.announce(b"", 10 << 30))
    with pytest.raises(IntegrityError, match="wrong size") as caught:
        registry.manifest("1.0")
    assert caught.value.expected == f"at most {4 << 20} bytes"
    server.script(TAG_PATH, servers.endless())
    with pytest.raises(IntegrityError, match="wrong size"):
        registry.manifest("1.0")


def test_a_blob_ends_where_it_was_announced(
    server: HostileServer, registry: RegistryClient
) -> None:
    longer = BLOB + b"surplus"
    server.script(BLOB_PATH, servers.announce(longer, len(BLOB)))
    assert pull(registry) == BLOB  # the rest is not even looked at
    for bad in (
        servers.fine(longer),
        servers.endless(),
        servers.fine(BLOB[:-1]),
        servers.chunked(longer),
    ):
        server.script(BLOB_PATH, bad)
        with pytest.raises(IntegrityError, match="wrong size"):
            pull(registry)


@pytest.mark.parametrize(
    "bad",
    [
        servers.reset(), servers.hang_up(), servers.truncate(BLOB, 70_000), servers.status(500),
        servers.status(429, {"Retry-After": "86400"}), servers.status(503, {"Retry-After": "0"}),
        servers.reset(BLOB[:1000], announced=len(BLOB)),
    ],
    ids=["reset", "hang-up", "truncated", "500", "429", "503", "reset-in-body"],
)  # fmt: skip
def test_passing_faults_are_outlived_and_lasting_ones_told(
    server: HostileServer, registry: RegistryClient, bad: Behaviour
) -> None:
    server.script(BLOB_PATH, bad, bad, servers.fine(BLOB))
    assert pull(registry) == BLOB
    server.script(BLOB_PATH, bad)
    with pytest.raises(FetchError) as caught:
        pull(registry)
    assert caught.value.got == "4 failed attempts"
    assert caught.value.message.startswith(
        f"cannot fetch the blob {Digest.of(BLOB)} of {registry.name}"
    )
    assert "http://" not in caught.value.message


def test_an_interrupted_blob_is_carried_on(server: HostileServer, registry: RegistryClient) -> None:
    server.script(
        BLOB_PATH, servers.truncate(BLOB, 70_000, etag='"x"'), servers.fine(BLOB, etag='"x"')
    )
    assert pull(registry) == BLOB
    assert server.seen[1].headers["range"] == "bytes=70000-"


@pytest.mark.parametrize(
    "bad", [servers.silence(), servers.stall(b"{"), servers.dripping_head(0.05)]
)
def test_silence_is_told(server: HostileServer, hasty: RegistryClient, bad: Behaviour) -> None:
    server.script(TAG_PATH, bad)
    with pytest.raises(FetchError) as caught:
        hasty.manifest("1.0")
    assert caught.value.got == "4 failed attempts"


def test_the_wall_time_of_a_block_is_bounded(
    server: HostileServer, registry: RegistryClient
) -> None:
    """A server that drips within every other limit; the pauses here are real, the assertion not."""
    server.script(TAG_PATH, servers.dribble(b" " * 10_000, 1, 0.02))
    with (
        pytest.raises(FetchError, match=r"gave up on the test: not done within 0\.3 s"),
        registry.within(0.3, "the test"),
    ):
        registry.manifest("1.0")
    server.script(TAG_PATH, servers.without_length(GOOD), manifest())
    with pytest.raises(MalformedError):
        registry.manifest("1.0")  # no media type
    assert registry.manifest("1.0").digest == GOOD_DIGEST


def test_limits_of_two_threads_are_two(server: HostileServer, registry: RegistryClient) -> None:
    """What one thread ends does not set the other's limit aside, and both can be called off."""
    reached = threading.Event()

    def silent(exchange: Exchange) -> None:
        reached.set()
        exchange.wait()

    server.script(DIGEST_PATH, silent)
    server.script(TAG_PATH, manifest())
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            registry.manifest(GOOD_DIGEST)
        except (FetchError, Cancelled) as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert reached.wait(20)
    assert registry.manifest("1.0").digest == GOOD_DIGEST
    registry.abandon()
    thread.join(20)  # the server itself would be waited for longer
    assert len(ended) == 1


def changed(**fields: object) -> bytes:
    return json.dumps(
        {key: value for key, value in {**MANIFEST, **fields}.items() if value is not None}
    ).encode()


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (MANIFEST_TYPE, changed(manifests=[])),  # CVE-2021-41190
        (INDEX_TYPE, json.dumps({**INDEX, "layers": []}).encode()),
        (INDEX_TYPE, json.dumps({**INDEX, "config": {}}).encode()),
        (INDEX_TYPE, GOOD),
        (MANIFEST_TYPE, json.dumps(INDEX).encode()),
        (DOCKER_MANIFEST_TYPE, GOOD),
        (MANIFEST_TYPE, changed(mediaType=INDEX_TYPE)),
        (INDEX_TYPE, changed(mediaType=None)),
        (MANIFEST_TYPE, changed(mediaType=7)),
        (MANIFEST_TYPE, changed(fsLayers=[])),
        (MANIFEST_TYPE, changed(schemaVersion=1)),
        (MANIFEST_TYPE, changed(layers={})),
        (MANIFEST_TYPE, changed(config=None)),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", GOOD),
        ("application/json", GOOD),
        ("text/html", b"<html>"),
        ("", GOOD),
        (MANIFEST_TYPE, b""),
        (MANIFEST_TYPE, b"[]"),
        (MANIFEST_TYPE, GOOD + b"{}"),
        (MANIFEST_TYPE, b"\xef\xbb\xbf" + GOOD),
        (MANIFEST_TYPE, GOOD.replace(b'"config"', b'"layers":[],"config"')),
        (MANIFEST_TYPE, b'{"a":' * 100_000),
        (MANIFEST_TYPE, changed(annotations={"a": [[[[]]]] * 3, "b": json.loads("[" * 40 + "]" * 40)})),
    ],
)  # fmt: skip
def test_a_manifest_that_can_be_taken_for_something_else_is_refused(
    server: HostileServer, registry: RegistryClient, media_type: str, body: bytes
) -> None:
    server.script(TAG_PATH, manifest(body, media_type))
    with pytest.raises(MalformedError) as caught:
        registry.manifest("1.0")
    assert caught.value.message.startswith(f"{registry.name}:1.0 is not an image manifest")


@pytest.mark.parametrize(
    "media_type", [MANIFEST_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE, DOCKER_INDEX_TYPE]
)
def test_the_four_kinds_are_asked_for_and_understood(
    server: HostileServer, registry: RegistryClient, media_type: str
) -> None:
    plain = INDEX if "index" in media_type or "list" in media_type else MANIFEST
    for inside in (media_type, None):
        body = json.dumps(
            {k: v for k, v in {**plain, "mediaType": inside}.items() if v is not None}
        )
        server.script(TAG_PATH, manifest(body.encode(), f"{media_type}; charset=utf-8"))
        found = registry.manifest("1.0")
        assert (found.media_type, found.data) == (media_type, body.encode())
    assert set(server.seen[0].headers["accept"].split(", ")) >= {media_type}


def test_what_a_registry_says_is_cleaned(server: HostileServer, registry: RegistryClient) -> None:
    message = "no\x1b[31m\r\n\x07red\u202e" + "x" * 100_000
    for size, told in ((100, "DENIED: no[31mredxxx"), (100_000, "the server answered 403")):
        body = json.dumps({"errors": [{"code": "DENIED", "message": message[:size]}]}).encode()
        server.script(TAG_PATH, servers.status(403, {}, body))
        with pytest.raises(FetchError) as caught:
            registry.manifest("1.0")
        shown = str(caught.value)
        assert told in shown
        assert len(shown) < 1000
        assert all(each.isprintable() or each == "\n" for each in shown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"errors":[]}',
        b'{"errors":7}',
        b'{"errors":[{"code":null}]}',
        b"\xff",
    ],
)
def test_an_error_without_a_readable_body_is_told_by_its_status(
    server: HostileServer, registry: RegistryClient, body: bytes
) -> None:
    server.script(TAG_PATH, servers.status(404, {}, body))
    with pytest.raises(NotFoundError, match="the server answered 404 Not Found"):
        registry.manifest("1.0")


def test_an_error_body_without_an_end_is_not_read_to_it(
    server: HostileServer, registry: RegistryClient
) -> None:
    def endless_refusal(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.head(403, {"Connection": "close"})
        while not exchange.hostile.stopping.is_set():
            exchange.body(b"x" * 65536)

    server.script(TAG_PATH, endless_refusal)
    with pytest.raises(FetchError, match="403"):
        registry.manifest("1.0")
