"""The registry client against Debian's docker-registry: anonymous, TLS and Basic, tokens."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import (
    FetchError,
    IntegrityError,
    LimitError,
    NotFoundError,
    PublishError,
    UsageError,
)
from hps.oci.attachment import Subject, fallback_tag, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument, Placed, WritableRegistry
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import push_referrers
from hps.store.retry import Deadlines
from tests.oci.registry_server import Authority, RegistryServer, TokenServer, docker_config
from tests.servers import HostileServer

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
USERS = {"ann": "pass:word ü"}
BODY = bytes(range(256)) * 12_000  # three pieces of 1 MiB
KIND = "application/vnd.example.note+json"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("plain")) as server:
        yield server


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[RegistryServer]:
    folder = tmp_path_factory.mktemp("secure")
    with RegistryServer.start(folder, authority=authority, users=USERS) as server:
        yield server


def client(
    server: RegistryServer,
    repository: str = "team/app",
    *,
    folder: Path | None = None,
    authority: Authority | None = None,
) -> RegistryClient:
    authority = authority or server.authority
    return RegistryClient(
        Reference.parse(f"{server.host}/{repository}"),
        environment={} if folder is None else {"DOCKER_CONFIG": str(folder)},
        home=Path("/nonexistent"),
        authority=None if authority is None else authority.path,
        deadlines=PATIENT,
    )


@pytest.fixture
def registry(plain: RegistryServer, request: pytest.FixtureRequest) -> Iterator[RegistryClient]:
    name = request.node.name.partition("[")[0].replace("_", "-")
    with client(plain, f"tests/{name}") as found:
        yield found


def blob_of(data: bytes) -> Blob:
    return Blob(Digest.of(data), len(data))


def push_image(registry: WritableRegistry, tag: str | None, body: bytes = b"layer") -> Subject:
    config = b'{"architecture":"amd64","os":"linux"}'
    for data in (config, body):
        registry.upload(blob_of(data), lambda data=data: io.BytesIO(data))  # type: ignore[misc] # see registry_push
    manifest = ManifestDocument(MANIFEST_TYPE, canonical.dumps(image_manifest(config, body)))
    registry.put(manifest, tag)
    return Subject(MANIFEST_TYPE, manifest.digest, len(manifest.data))


def image_manifest(config: bytes, body: bytes) -> dict[str, object]:
    def descriptor(kind: str, data: bytes) -> dict[str, object]:
        return {"mediaType": kind, "digest": str(Digest.of(data)), "size": len(data)}

    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", body)],
    }


def test_what_is_pushed_can_be_pulled_by_tag_and_digest(registry: RegistryClient) -> None:
    subject = push_image(registry, "1.0", BODY)
    by_tag = registry.manifest("1.0")
    assert (by_tag.media_type, by_tag.digest) == (MANIFEST_TYPE, subject.digest)
    assert registry.manifest(subject.digest) == by_tag
    pieces: list[bytes] = []
    registry.stream(blob_of(BODY), pieces.append, pieces.clear)
    assert b"".join(pieces) == BODY
    assert max(map(len, pieces)) == 1 << 20
    assert registry.read(blob_of(b'{"architecture":"amd64","os":"linux"}'), 100)[:2] == b'{"'


def test_a_blob_is_sent_once(registry: RegistryClient) -> None:
    assert registry.upload(blob_of(BODY), lambda: io.BytesIO(BODY)) is Placed.SENT

    def never() -> io.BytesIO:
        raise AssertionError("the registry has it")

    assert registry.upload(blob_of(BODY), never) is Placed.THERE


def test_a_file_and_an_empty_blob_are_sent(registry: RegistryClient, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(BODY[:100_000])
    assert registry.upload(blob_of(BODY[:100_000]), lambda: path.open("rb")) is Placed.SENT
    assert registry.read(blob_of(BODY[:100_000]), 1 << 20) == BODY[:100_000]
    assert registry.upload(blob_of(b""), lambda: io.BytesIO(b"")) is Placed.SENT
    assert registry.read(blob_of(b""), 0) == b""


def test_other_bytes_than_announced_are_not_kept(registry: RegistryClient) -> None:
    with pytest.raises(IntegrityError, match="changed while it was sent"):
        registry.upload(blob_of(b"good"), lambda: io.BytesIO(b"evil"))
    with pytest.raises(NotFoundError):
        registry.read(blob_of(b"good"), 10)


def test_what_does_not_exist_is_told_by_its_name(
    registry: RegistryClient, plain: RegistryServer
) -> None:
    with pytest.raises(NotFoundError) as caught:
        registry.manifest("none")
    assert caught.value.message.startswith(f"{registry.name}:none does not exist")
    assert "http" not in str(caught.value)
    digest = Digest.of(b"none")
    with pytest.raises(NotFoundError, match=f"{registry.name}@{digest} does not exist"):
        registry.manifest(digest)
    with pytest.raises(NotFoundError, match=f"the blob {digest} of {registry.name}"):
        registry.read(Blob(digest, 4), 10)
    assert registry.referrers(digest).descriptors == ()
    data = canonical.dumps(image_manifest(b"never sent", b"nor this"))
    with pytest.raises(PublishError, match="MANIFEST_BLOB_UNKNOWN"):
        registry.put(ManifestDocument(MANIFEST_TYPE, data), "bad")


@pytest.mark.parametrize("tag", ["a/b", "../x", "", "-x", "a" * 129, "x?y=1", "x%2fy"])
def test_what_is_no_tag_is_never_asked_for(registry: RegistryClient, tag: str) -> None:
    with pytest.raises(UsageError, match="is no tag"):
        registry.manifest(tag)
    with pytest.raises(UsageError, match="is no tag"):
        registry.put(ManifestDocument(MANIFEST_TYPE, b"{}"), tag)


def test_bytes_that_changed_on_the_registry_are_refused(
    registry: RegistryClient, plain: RegistryServer
) -> None:
    subject = push_image(registry, "1.0", BODY)
    layer = plain.blob_path(Digest.of(BODY).hex)
    layer.write_bytes(BODY[:-1] + b"!")
    with pytest.raises(IntegrityError) as caught:
        registry.stream(blob_of(BODY), lambda _: None, lambda: None)
    assert caught.value.expected == str(Digest.of(BODY))
    layer.unlink()  # other tests share the registry's blobs
    manifest = plain.blob_path(subject.digest.hex)
    manifest.write_bytes(
        manifest.read_bytes().replace(b"amd", b"arm").replace(b'"size":', b'"size" :')
    )
    for wanted in (subject.digest, "1.0"):
        # docker-registry notices by itself for manifests, and says so with 404 or 500.
        with pytest.raises((IntegrityError, FetchError)):
            registry.manifest(wanted)


def test_a_small_blob_says_how_large_it_is(registry: RegistryClient) -> None:
    registry.upload(blob_of(b"12345"), lambda: io.BytesIO(b"12345"))
    with pytest.raises(LimitError):
        registry.read(blob_of(b"12345"), 4)
    for size in (4, 6):
        with pytest.raises(IntegrityError, match="wrong size"):
            registry.read(Blob(Digest.of(b"12345"), size), 10)


def test_referrers_are_found_by_the_fallback_tag(registry: RegistryClient) -> None:
    """docker-registry 2.8 has no referrers API, as many have not."""
    subject = push_image(registry, "1.0")
    first, second = (
        referrer(subject, KIND, canonical.dumps({"n": n}), {"n": str(n)}) for n in (1, 2)
    )
    other = referrer(subject, "application/vnd.example.other", b"{}", {})
    push_referrers(registry, subject.digest, [first])
    push_referrers(registry, subject.digest, [second, other])
    found = registry.referrers(subject.digest, KIND)
    assert [each.digest for each in found.descriptors] == [first.digest, second.digest]
    assert not found.left_out
    assert found.descriptors[0].annotations == {"n": "1"}
    assert len(registry.referrers(subject.digest).descriptors) == 3
    manifest = registry.manifest(first.digest).as_json()
    assert manifest["subject"] == subject.as_json()
    before = registry.manifest(fallback_tag(subject.digest))
    push_referrers(registry, subject.digest, [first])
    assert registry.manifest(fallback_tag(subject.digest)) == before


def test_a_tag_that_changes_meanwhile_is_changed_on_top(registry: RegistryClient) -> None:
    """Between reading and writing, somebody else writes: both changes are there afterwards."""

    def listing(digests: list[str]) -> ManifestDocument:
        entries = [{"mediaType": MANIFEST_TYPE, "digest": d, "size": 1} for d in digests]
        document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
        return ManifestDocument(INDEX_TYPE, canonical.dumps(document))

    def names(document: ManifestDocument | None) -> list[str]:
        return [] if document is None else [e["digest"] for e in document.as_json()["manifests"]]

    ours, theirs = (str(push_image(registry, None, body).digest) for body in (b"a", b"b"))
    seen: list[list[str]] = []

    def add(before: ManifestDocument | None) -> ManifestDocument:
        seen.append(names(before))
        if len(seen) == 1:
            registry.put(listing([theirs]), "list")
        return listing([*names(before), ours])

    after = registry.update("list", add)
    assert seen == [[], [theirs]]
    assert names(after) == [theirs, ours] == names(registry.manifest("list"))
    assert registry.update("list", lambda now: now or listing([])) == after

    def fight(before: ManifestDocument | None) -> ManifestDocument:
        changed = [*names(before), ours]
        registry.put(listing(changed), "list")
        return listing([*changed, theirs])

    with pytest.raises(PublishError, match="somebody else keeps changing it"):
        registry.update("list", fight)


# --- who we are --------------------------------------------------------------------------------


def test_tls_and_basic_with_dockers_configuration(secure: RegistryServer, tmp_path: Path) -> None:
    folder = docker_config(tmp_path, secure.host, "ann", USERS["ann"])
    with client(secure, folder=folder) as registry:
        subject = push_image(registry, "1.0", BODY)
        assert registry.manifest("1.0").digest == subject.digest
        assert registry.read(blob_of(BODY), len(BODY)) == BODY


def test_without_credentials_nothing_is_given(secure: RegistryServer) -> None:
    with client(secure) as registry, pytest.raises(FetchError) as caught:
        registry.manifest("1.0")
    assert caught.value.got == "no credentials for it"
    assert f"docker login {secure.host}" in (caught.value.hint or "")


def test_a_wrong_password_is_refused_once(secure: RegistryServer, tmp_path: Path) -> None:
    folder = docker_config(tmp_path, secure.host, "ann", "wrong-secret")
    with client(secure, folder=folder) as registry:
        with pytest.raises(FetchError, match="401 Unauthorized") as caught:
            registry.manifest("1.0")
        assert "wrong-secret" not in str(caught.value)
        with pytest.raises(PublishError, match="401 Unauthorized"):
            registry.upload(blob_of(b"x"), lambda: io.BytesIO(b"x"))


def test_an_unknown_authority_is_refused(
    secure: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority.make(tmp_path)
    with client(secure, authority=other) as registry, pytest.raises(FetchError, match="TLS failed"):
        registry.manifest("1.0")
    assert secure.authority is not None
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # these win over SSL_CERT_FILE
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.path))
    # The two are trusted side by side: it gets as far as the question who we are.
    with client(secure, authority=other) as registry, pytest.raises(FetchError) as caught:
        registry.manifest("1.0")
    assert caught.value.got == "no credentials for it"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_named(
    secure: RegistryServer, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "own.pem"
    if content is not None:
        path.write_text(content)
    reference = Reference.parse(f"{secure.host}/a/b:1")
    with (
        RegistryClient(reference, environment={}, authority=path) as registry,
        pytest.raises(UsageError, match=r"own\.pem cannot be used"),
    ):
        registry.manifest("1")


@pytest.fixture(scope="module")
def token_server(authority: Authority) -> TokenServer:
    return TokenServer(authority, USERS, identity="identity-of-ann")


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, token_server: TokenServer
) -> Iterator[tuple[RegistryServer, HostileServer]]:
    class Tokens(HostileServer):
        def next_behaviour(self, request):  # type: ignore[no-untyped-def] # every query is answered
            super().next_behaviour(request)
            return token_server.answer()

    folder = tmp_path_factory.mktemp("guarded")
    with (
        Tokens() as tokens,
        RegistryServer.start(folder, authority=authority, realm=tokens.url + "/token") as server,
    ):
        yield server, tokens


def test_tokens_are_asked_for_once_per_scope(
    guarded: tuple[RegistryServer, HostileServer], token_server: TokenServer, tmp_path: Path
) -> None:
    server, _ = guarded
    token_server.scopes.clear()
    folder = docker_config(tmp_path, server.host, "ann", USERS["ann"])
    with client(server, folder=folder) as registry:
        push_image(registry, "1.0", BODY)
        registry.manifest("1.0")
        assert registry.read(blob_of(BODY), len(BODY)) == BODY
    assert token_server.scopes == ["repository:team/app:pull,push", "repository:team/app:pull"]


def test_an_identity_token_buys_tokens(
    guarded: tuple[RegistryServer, HostileServer], tmp_path: Path
) -> None:
    server, tokens = guarded
    config = {"auths": {server.host: {"auth": "", "identitytoken": "identity-of-ann"}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with client(server, "team/other", folder=tmp_path) as registry:
        push_image(registry, "1.0")
        assert registry.manifest("1.0").media_type == MANIFEST_TYPE
    assert tokens.seen[-1].method == "POST"


def test_a_token_server_that_refuses_is_named(
    guarded: tuple[RegistryServer, HostileServer], tmp_path: Path
) -> None:
    server, _ = guarded
    folder = docker_config(tmp_path, server.host, "ann", "wrong")
    with client(server, folder=folder) as registry, pytest.raises(FetchError) as caught:
        registry.manifest("1.0")
    assert f"a token for {registry.name}: the server answered 401" in caught.value.message


def test_an_expired_token_is_replaced(
    guarded: tuple[RegistryServer, HostileServer],
    authority: Authority,
    tmp_path: Path,
) -> None:
    server, tokens = guarded
    folder = docker_config(tmp_path, server.host, "ann", USERS["ann"])
    with client(server, "team/late", folder=folder) as registry:
        push_image(registry, "1.0")
        registry.manifest("1.0")
        before = len(tokens.seen)
        # The clock is the registry's: a token that it never accepted is as good as an expired one.
        registry._connection._known["repository:team/late:pull"] = "Bearer stale"
        assert registry.manifest("1.0").media_type == MANIFEST_TYPE
        assert len(tokens.seen) == before + 1


def test_skopeo_reads_what_was_pushed(
    secure: RegistryServer, authority: Authority, tmp_path: Path
) -> None:
    folder = docker_config(tmp_path / "docker", secure.host, "ann", USERS["ann"])
    with client(secure, "team/skopeo", folder=folder) as registry:
        subject = push_image(registry, "1.0")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").write_bytes(authority.path.read_bytes())
    shown = subprocess.run(
        [
            *("skopeo", "inspect", "--raw", f"--cert-dir={certificates}"),
            *(f"--creds=ann:{USERS['ann']}", f"docker://{secure.host}/team/skopeo:1.0"),
        ],
        check=True,
        capture_output=True,
    )
    assert Digest.of(shown.stdout) == subject.digest
