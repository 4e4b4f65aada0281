"""The registry client against a registry that lies, floods, stalls and leads astray."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import (
    FetchError,
    HpsError,
    IntegrityError,
    MalformedError,
    NotFoundError,
    PublishError,
)
from hps.oci.attachment import Subject, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import DOCKER_INDEX_TYPE, DOCKER_MANIFEST_TYPE, ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import merged_index
from hps.store.retry import Deadlines
from tests import servers
from tests.oci.registry_server import docker_config
from tests.servers import Behaviour, Exchange, HostileServer

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
# Only for servers that are silent: a busy machine can be silent that long as well.
HASTY = replace(PATIENT, idle=0.2, headers=0.4)
KIND = "application/vnd.example.note+json"
BLOB = bytes(range(256)) * 5_000


def descriptor(data: bytes, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json"),
    "layers": [descriptor(BLOB)],
}
GOOD = canonical.dumps(MANIFEST)
GOOD_DIGEST = Digest.of(GOOD)
BLOB_PATH = f"/v2/team/app/blobs/{Digest.of(BLOB)}"
TAG_PATH = "/v2/team/app/manifests/1.0"
DIGEST_PATH = f"/v2/team/app/manifests/{GOOD_DIGEST}"
REFERRERS_PATH = f"/v2/team/app/referrers/{GOOD_DIGEST}"
FALLBACK_PATH = f"/v2/team/app/manifests/sha256-{GOOD_DIGEST.hex}"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@contextlib.contextmanager
def connect(
    server: HostileServer, deadlines: Deadlines = PATIENT, folder: Path | None = None
) -> Iterator[RegistryClient]:
    with RegistryClient(
        Reference.parse(f"{server.host}/team/app"),
        environment={} if folder is None else {"DOCKER_CONFIG": str(folder)},
        home=Path("/nonexistent"),
        plain_http=True,
        deadlines=deadlines,
    ) as client:
        yield client


@pytest.fixture
def registry(server: HostileServer) -> Iterator[RegistryClient]:
    with connect(server) as client:
        yield client


@pytest.fixture
def hasty(server: HostileServer) -> Iterator[RegistryClient]:
    with connect(server, HASTY) as client:
        yield client


def manifest(
    body: bytes = GOOD, media_type: str = MANIFEST_TYPE, headers: dict[str, str] | None = None
) -> Behaviour:
    return servers.fine(body, media_type=media_type, headers=headers)


def pull(registry: RegistryClient, blob: Blob | None = None) -> bytes:
    taken: list[bytes] = []
    registry.stream(blob or Blob(Digest.of(BLOB), len(BLOB)), taken.append, taken.clear)
    return b"".join(taken)


# --- bytes -------------------------------------------------------------------------------------


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


# --- what it is --------------------------------------------------------------------------------


def changed(**fields: object) -> bytes:
    return json.dumps(
        {key: value for key, value in {**MANIFEST, **fields}.items() if value is not None}
    ).encode()


INDEX = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}


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


# --- referrers ---------------------------------------------------------------------------------


def listed(*entries: object) -> bytes:
    return json.dumps({**INDEX, "manifests": list(entries)}).encode()


def entry(number: int, kind: str | None = KIND, **fields: object) -> dict[str, object]:
    found = {**descriptor(b"%d" % number, MANIFEST_TYPE), "artifactType": kind, **fields}
    return {key: value for key, value in found.items() if value is not None}


def page(*entries: object, link: str | None = None) -> Behaviour:
    return manifest(listed(*entries), INDEX_TYPE, {} if link is None else {"Link": link})


def test_the_api_is_used_page_by_page(server: HostileServer, registry: RegistryClient) -> None:
    query = "?artifactType=application%2Fvnd.example.note%2Bjson"
    server.script(
        REFERRERS_PATH + query, page(entry(1), link=f'<{REFERRERS_PATH}?n=1>; rel="next"')
    )
    server.script(
        REFERRERS_PATH + "?n=1",
        page(entry(2), entry(1), link=f"<{server.url}{REFERRERS_PATH}?n=2>;rel=next"),
    )
    server.script(REFERRERS_PATH + "?n=2", page(entry(3), entry(4, "application/other")))
    found = registry.referrers(GOOD_DIGEST, KIND)
    assert [each.digest for each in found.descriptors] == [Digest.of(b"%d" % n) for n in (1, 2, 3)]
    assert not found.left_out
    assert not server.count(FALLBACK_PATH)


@pytest.mark.parametrize(
    "link",
    [
        f'<{REFERRERS_PATH}>; rel="next"',
        f'<{REFERRERS_PATH}?n=1>; rel="next"',
        f'<http://127.0.0.1:1{REFERRERS_PATH}?n=1>; rel="next"',
        '<https://evil.example/>; rel="next"',
        '<file:///etc/passwd>; rel="next"',
        '</v2/other/secret/manifests/1.0>; rel="next"',
        '<//evil.example/>; rel="next"',
        '</v2/../x>; rel="next"',
        f'<{REFERRERS_PATH}?n=1>; rel="prev"',
        "junk",
        "<",
    ],
)
def test_a_link_that_leads_astray_is_not_followed(
    server: HostileServer, registry: RegistryClient, link: str
) -> None:
    server.script(REFERRERS_PATH, page(entry(1), link=link))
    server.script(
        REFERRERS_PATH + "?n=1", page(entry(2), link=f'<{REFERRERS_PATH}?n=1>; rel="next"')
    )
    with pytest.raises(FetchError, match="cannot be listed"):
        registry.referrers(GOOD_DIGEST)
    assert all(each.path.startswith(REFERRERS_PATH) for each in server.seen)


def test_pages_without_an_end_are_cut_off(server: HostileServer, registry: RegistryClient) -> None:
    for number in range(30):
        link = f'<{REFERRERS_PATH}?n={number + 1}>; rel="next"'
        server.script(REFERRERS_PATH + (f"?n={number}" if number else ""), page(link=link))
    assert registry.referrers(GOOD_DIGEST).left_out
    assert len(server.seen) == 20


def test_three_hundred_junk_referrers_cost_no_more_than_a_hundred(
    server: HostileServer, registry: RegistryClient
) -> None:
    junk = [entry(number) for number in range(300)]
    server.script(REFERRERS_PATH, page(*junk))
    found = registry.referrers(GOOD_DIGEST)
    assert len(found.descriptors) == 100
    assert found.left_out


def test_junk_of_other_kinds_hides_nothing(server: HostileServer, registry: RegistryClient) -> None:
    """Filtering is done here: the registry's word for it (OCI-Filters-Applied) proves nothing."""
    junk: list[object] = [entry(number, "application/junk") for number in range(300)]
    unsaid = [entry(number, None) for number in range(300, 500)]
    broken: list[object] = [
        7, None, [], {}, entry(1, digest="sha1:" + "0" * 40), entry(1, digest="x"), entry(1, size=-1),
        entry(1, size="1"), entry(1, size=True), entry(1, annotations=[]),
        entry(1, mediaType=None), entry(1, mediaType="text/html"), entry(1, artifactType=7),
    ]  # fmt: skip
    server.script(REFERRERS_PATH, servers.status(404))
    body = json.dumps({**INDEX, "manifests": [*junk, *unsaid, *broken, entry(999)]})
    server.script(FALLBACK_PATH, manifest(body.encode(), INDEX_TYPE))
    server.script(
        REFERRERS_PATH + "?artifactType=application%2Fvnd.example.note%2Bjson", servers.status(404)
    )
    found = registry.referrers(GOOD_DIGEST, KIND)
    assert found.descriptors[0].digest == Digest.of(b"999")
    assert {each.artifact_type for each in found.descriptors[1:]} == {None}
    assert found.left_out


@pytest.mark.parametrize(
    "absent",
    [servers.status(404), servers.status(405), servers.status(501), servers.fine(b"<html>", media_type="text/html")],
    ids=["404", "405", "501", "html"],
)  # fmt: skip
def test_without_the_api_the_tag_is_read(
    server: HostileServer, registry: RegistryClient, absent: Behaviour
) -> None:
    server.script(REFERRERS_PATH, absent)
    assert registry.referrers(GOOD_DIGEST).descriptors == ()
    server.script(FALLBACK_PATH, manifest(listed(entry(1)), INDEX_TYPE))
    assert len(registry.referrers(GOOD_DIGEST).descriptors) == 1
    server.script(FALLBACK_PATH, manifest())
    with pytest.raises(MalformedError, match="is not an index of referrers"):
        registry.referrers(GOOD_DIGEST)


def test_oci_subject_is_not_believed(server: HostileServer, registry: RegistryClient) -> None:
    """A registry that sends it without having the API still gets the fallback tag."""
    from hps.oci.registry_push import push_referrers

    subject = Subject(MANIFEST_TYPE, GOOD_DIGEST, len(GOOD))
    attachment = referrer(subject, KIND, b"{}", {})
    server.script(
        f"/v2/team/app/blobs/{Digest.of(b'{}')}", servers.status(200, {"Content-Length": "2"})
    )
    headers = {"OCI-Subject": str(GOOD_DIGEST)}
    server.script(f"/v2/team/app/manifests/{attachment.digest}", servers.status(201, headers))
    index = merged_index(None, [attachment])
    server.script(
        FALLBACK_PATH,
        servers.status(404),
        servers.status(404),
        servers.status(404),
        servers.status(201),
        manifest(index.data, INDEX_TYPE),
    )
    push_referrers(registry, GOOD_DIGEST, [attachment])
    put = [each for each in server.seen if each.method == "PUT"]
    assert [each.path for each in put][1:] == [FALLBACK_PATH]
    assert put[1].body == index.data


# --- who we are --------------------------------------------------------------------------------


def login(server: HostileServer, tmp_path: Path) -> Path:
    return docker_config(tmp_path / "docker", server.host, "ann", "hidden-password")


BASIC = servers.status(401, {"WWW-Authenticate": 'Basic realm="r"'})


def needs_login(good: Behaviour) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        (good if exchange.headers.get("Authorization") else BASIC)(exchange)

    return behave


def test_credentials_stay_with_the_registry(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a redirect to another port, nor one that comes back, carries them; nor does netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login netrc password netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(BLOB_PATH, needs_login(servers.redirect(elsewhere.url + "/there")))
    elsewhere.script("/there", servers.redirect(server.url + "/back"))
    server.script("/back", servers.fine(BLOB))
    with connect(server, folder=login(server, tmp_path)) as registry:
        assert pull(registry) == BLOB
    assert [each.path for each in server.seen] == [BLOB_PATH, BLOB_PATH, "/back"]
    assert ["authorization" in each.headers for each in server.seen] == [False, True, False]
    assert ["authorization" in each.headers for each in elsewhere.seen] == [False]


def test_a_401_after_a_redirect_gets_no_answer(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    server.script(BLOB_PATH, servers.redirect(elsewhere.url + "/there"))
    elsewhere.script("/there", BASIC)
    with (
        connect(server, folder=login(server, tmp_path)) as registry,
        pytest.raises(FetchError, match="401"),
    ):
        pull(registry)
    assert ["authorization" in each.headers for each in elsewhere.seen] == [False]


@pytest.mark.parametrize(
    "target", ["http://registry.example/x", "file:///etc/passwd", "ftp://a.example/x"]
)
def test_a_redirect_out_of_this_machine_stays_on_https(
    server: HostileServer, registry: RegistryClient, target: str
) -> None:
    server.script(BLOB_PATH, servers.redirect(target))
    with pytest.raises(FetchError):
        pull(registry)
    assert server.count(BLOB_PATH) == 1


def test_redirects_in_a_circle_end(server: HostileServer, registry: RegistryClient) -> None:
    server.script(BLOB_PATH, servers.redirect(BLOB_PATH))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        pull(registry)


def test_a_registry_that_never_has_enough_is_left(server: HostileServer, tmp_path: Path) -> None:
    server.script(TAG_PATH, BASIC)
    with (
        connect(server, folder=login(server, tmp_path)) as registry,
        pytest.raises(FetchError, match="401") as caught,
    ):
        registry.manifest("1.0")
    assert server.count(TAG_PATH) == 2
    assert "hidden" not in str(caught.value)
    bearer = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.script(TAG_PATH, servers.status(401, bearer))
    server.script(TOKEN_PATH, servers.fine(b'{"token":"t"}'))
    with connect(server) as registry, pytest.raises(FetchError, match="401"):
        registry.manifest("1.0")
    assert server.count(TOKEN_PATH) == 1


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "neither Bearer nor Basic"),
        ("Negotiate", "neither Bearer nor Basic"),
        ('Bearer realm="', "cannot follow"),
        ('Bearer realm="file:///etc/passwd"', "no address of a token server"),
        ('Bearer realm="http://auth.example/"', "does not speak https"),
        ("Bearer service=x", "no address of a token server"),
        ('Bearer realm="a", realm="b"', "given twice"),
    ],
)  # fmt: skip
def test_a_challenge_that_cannot_be_met_is_told(
    server: HostileServer, registry: RegistryClient, header: str | None, told: str
) -> None:
    server.script(
        TAG_PATH, servers.status(401, {} if header is None else {"WWW-Authenticate": header})
    )
    with pytest.raises(FetchError, match=told):
        registry.manifest("1.0")
    assert len(server.seen) == 1


TOKEN_PATH = "/token?scope=repository%3Ateam%2Fapp%3Apull"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (servers.fine(b"<html>\x1b[31mLog in</html>", media_type="text/html"), "of no use"),
        (servers.fine(b'{"token":"a\\u001b[2J"}'), "holds no token"),
        (servers.fine(b"{}"), "holds no token"),
        (servers.endless(), "wrong size"),
        (servers.announce(b"", 1 << 40), "wrong size"),
        (servers.status(403), "403"),
        (servers.status(404), "does not exist"),
        (servers.status(500), "500"),
        (servers.reset(), "Connection reset"),
        (servers.redirect("http://evil.example/token"), "refused a redirect"),
    ],
    ids=["html", "escape", "empty", "endless", "huge", "403", "404", "500", "reset", "redirect"],
)
def test_a_token_server_that_misbehaves_is_told(
    server: HostileServer, registry: RegistryClient, answer: Behaviour, told: str
) -> None:
    bearer = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.script(TAG_PATH, servers.status(401, bearer))
    server.script(TOKEN_PATH, answer)
    with pytest.raises(HpsError, match=told) as caught:
        registry.manifest("1.0")
    assert "\x1b" not in str(caught.value)
    assert server.count(TAG_PATH) == 1


def test_the_token_goes_to_the_registry_only(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    bearer = servers.status(401, {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'})
    server.script(TOKEN_PATH, servers.redirect(elsewhere.url + "/token"))
    elsewhere.script("/token", servers.fine(b'{"token":"t"}'))
    server.script(BLOB_PATH, bearer, servers.redirect(elsewhere.url + "/blob"))
    elsewhere.script("/blob", servers.fine(BLOB))
    with connect(server, folder=login(server, tmp_path)) as registry:
        assert pull(registry) == BLOB
    assert [each.headers.get("authorization", "").split(" ")[0] for each in server.seen] == [
        "",
        "Basic",
        "Bearer",
    ]
    assert not any("authorization" in each.headers for each in elsewhere.seen)


# --- what it says ------------------------------------------------------------------------------


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


# --- pushing -----------------------------------------------------------------------------------

UPLOADS = "/v2/team/app/blobs/uploads/"


def push(registry: RegistryClient) -> bool:
    return registry.upload(Blob(Digest.of(BLOB), len(BLOB)), lambda: io.BytesIO(BLOB))


@pytest.mark.parametrize(
    "location",
    [
        None,
        "https://evil.example/up",
        "http://127.0.0.1:1/up",
        "//evil.example/up",
        "file:///tmp/x",
    ],
)
def test_an_upload_is_not_led_elsewhere(
    server: HostileServer, registry: RegistryClient, location: str | None
) -> None:
    server.script(UPLOADS, servers.status(202, {} if location is None else {"Location": location}))
    with pytest.raises(HpsError) as caught:
        push(registry)
    assert caught.value.exit_code == PublishError.exit_code
    assert [each.method for each in server.seen] == ["HEAD", "POST"]


def test_an_upload_begins_again_when_it_breaks(
    server: HostileServer, registry: RegistryClient
) -> None:
    target = f"/up?state=x&digest=sha256%3A{Digest.of(BLOB).hex}"
    server.script(UPLOADS, servers.status(202, {"Location": "/up?state=x"}))
    server.script(target, servers.reset(), servers.status(503), servers.status(201))
    assert push(registry)
    bodies = [each.body for each in server.seen if each.path == target]
    assert bodies == [BLOB] * 3


def test_a_registry_that_keeps_other_bytes_is_caught(
    server: HostileServer, registry: RegistryClient
) -> None:
    lie = {"Docker-Content-Digest": "sha256:" + "0" * 64}
    server.script(UPLOADS, servers.status(202, {"Location": "/up"}))
    server.script(f"/up?digest=sha256%3A{Digest.of(BLOB).hex}", servers.status(201, lie))
    with pytest.raises(IntegrityError):
        push(registry)
    server.script(TAG_PATH, servers.status(201, lie))
    with pytest.raises(IntegrityError):
        registry.put(ManifestDocument(MANIFEST_TYPE, GOOD), "1.0")


@pytest.mark.parametrize("code", [200, 202, 307, 400, 403, 404, 405, 413])
def test_a_manifest_that_is_not_taken_is_told(
    server: HostileServer, registry: RegistryClient, code: int
) -> None:
    server.script(TAG_PATH, servers.status(code, {"Location": "/elsewhere"}))
    with pytest.raises(PublishError, match=str(code)):
        registry.put(ManifestDocument(MANIFEST_TYPE, GOOD), "1.0")
    assert not server.count("/elsewhere")


def test_entries_of_others_stay_in_the_index() -> None:
    subject = Subject(MANIFEST_TYPE, GOOD_DIGEST, len(GOOD))
    ours = referrer(subject, KIND, b"{}", {"a": "b"})
    wrong = {**descriptor(ours.manifest, MANIFEST_TYPE), "artifactType": "application/wrong"}
    foreign = {**entry(1), "future": {"field": [1]}}
    before = ManifestDocument(
        INDEX_TYPE,
        json.dumps(
            {**INDEX, "manifests": [foreign, wrong, "junk"], "annotations": {"x": "y"}}
        ).encode(),
    )
    after = merged_index(before, [ours])
    assert after.as_json()["manifests"] == [foreign, "junk", ours.descriptor()]
    assert after.as_json()["annotations"] == {"x": "y"}
    assert merged_index(after, [ours]) is after
    with pytest.raises(PublishError, match="something else than an index"):
        merged_index(ManifestDocument(MANIFEST_TYPE, GOOD), [ours])
