"""Registries that lie, and strangers who may push: what `hps verify` makes of it."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import FetchError, NotFoundError
from hps.oci.attachment import Attachment, Subject, fallback_tag, referrer
from hps.oci.image import INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE
from hps.oci.registry_client import RegistryClient
from hps.store.retry import Deadlines
from hps.trust.attachments import sign_image
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.registry_verification import verify_registry
from hps.trust.simple_signing import signature_tag
from hps.trust.verdict import Verdict
from tests import servers
from tests.oci.registry_lab import connect
from tests.servers import HostileServer
from tests.trust.shelf import PREFIX, Shelf
from tests.trust.signed import NAME, STRANGER, Signed, check, codes, signer, subject


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def registry(server: HostileServer) -> Iterator[RegistryClient]:
    with connect(server) as client:
        yield client


@pytest.fixture
def shelf(server: HostileServer) -> Shelf:
    return Shelf(server)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed.make(tmp_path)


def verdicts(registry: RegistryClient, wanted: Digest | str = "1.0") -> list[Verdict]:
    return verify_registry(registry, wanted, check())


def test_an_honest_registry(registry: RegistryClient, shelf: Shelf, signed: Signed) -> None:
    digest = shelf.publish(signed)
    for wanted in ("1.0", digest):
        (found,) = verdicts(registry, wanted)
        assert found.good
        assert found.hashed
        assert found.digest == digest
    (found,) = verify_registry(registry, "1.0", check(), signatures_only=True)
    assert found.good
    assert not found.hashed


def test_another_digest_than_asked_for(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    found = verify_registry(registry, "1.0", check(), asked=Digest.of(b"other"))
    assert codes(found) == {"subject-mismatch"}


def test_no_such_image_is_not_a_verdict(registry: RegistryClient) -> None:
    with pytest.raises(NotFoundError):
        verdicts(registry)


# 23: bytes


def test_wrong_bytes_for_a_layer(registry: RegistryClient, shelf: Shelf, signed: Signed) -> None:
    shelf.publish(signed)
    layer = signed.image.layers[0]
    wrong = bytes(layer.size)
    shelf.server.script(f"{PREFIX}/blobs/{layer.digest}", servers.fine(wrong))
    assert codes(verdicts(registry)) == {"blob-damaged"}


def test_wrong_bytes_for_a_manifest_by_digest(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    digest = shelf.publish(signed)
    path = f"{PREFIX}/manifests/{digest}"
    other = signed.image.manifest.replace(b"sha256", b"sha256 ")
    shelf.server.script(path, servers.fine(other, media_type=MANIFEST_TYPE))
    assert codes(verdicts(registry, digest)) == {"blob-damaged"}


def test_a_lie_in_docker_content_digest(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    lie = {"Docker-Content-Digest": str(Digest.of(b"lie"))}
    shelf.manifest(signed.image.manifest, "1.0", **lie)
    assert codes(verdicts(registry)) == {"blob-damaged"}


@pytest.mark.parametrize("more", [-1, 1])
def test_a_wrong_content_length(
    registry: RegistryClient, shelf: Shelf, signed: Signed, more: int
) -> None:
    shelf.publish(signed)
    layer = signed.image.layers[1]
    data = signed.blobs.path(layer.digest).read_bytes()
    data = data[:more] if more < 0 else data + b"x"
    shelf.server.script(f"{PREFIX}/blobs/{layer.digest}", servers.fine(data))
    assert codes(verdicts(registry)) <= {"blob-damaged", "document-malformed", "limit-exceeded"}
    assert codes(verdicts(registry))


def test_a_layer_without_end(registry: RegistryClient, shelf: Shelf, signed: Signed) -> None:
    shelf.publish(signed)
    layer = signed.image.layers[0]
    shelf.server.script(f"{PREFIX}/blobs/{layer.digest}", servers.endless())
    assert codes(verdicts(registry)) <= {"blob-damaged", "document-malformed", "limit-exceeded"}
    assert codes(verdicts(registry))


def test_a_layer_that_is_gone(registry: RegistryClient, shelf: Shelf, signed: Signed) -> None:
    shelf.publish(signed)
    path = f"{PREFIX}/blobs/{signed.image.layers[0].digest}"
    shelf.server.script(path, servers.status(404))
    assert codes(verdicts(registry)) == {"blob-missing"}


def test_a_silent_server_does_not_delay_what_ends_it(
    shelf: Shelf, server: HostileServer, signed: Signed
) -> None:
    """One blob cannot be had; whoever waits for the other is woken (its own patience: an hour)."""
    shelf.publish(signed)
    one, other = (f"{PREFIX}/blobs/{layer.digest}" for layer in signed.image.layers)
    server.script(one, servers.silence())
    server.script(other, servers.status(403))
    patient = Deadlines(attempts=1, headers=3600, idle=3600)
    with connect(server, patient) as registry, pytest.raises(FetchError, match="403"):
        verdicts(registry)


def test_blobs_are_fetched_side_by_side(shelf: Shelf, signed: Signed) -> None:
    """Four wait for each other on the server; what is wrong with them is told in their order."""
    layers = [signed.blobs.add(b"layer %d" % number) for number in range(4)]
    image = image_with(
        signed,
        lambda it: it.update(
            layers=[
                {"mediaType": LAYER_TYPE, "digest": str(one.digest), "size": one.size}
                for one in layers
            ]
        ),
    )
    meeting = threading.Barrier(4, timeout=30)

    def together(layer: Blob) -> servers.Behaviour:
        def answer(exchange: servers.Exchange) -> None:
            meeting.wait()
            servers.fine(b"x" * layer.size)(exchange)

        return answer

    shelf.publish(signed)
    sign_manifest(shelf, image)
    for layer in layers:
        shelf.server.script(f"{PREFIX}/blobs/{layer.digest}", together(layer))
    with connect(shelf.server) as registry:
        (found,) = verdicts(registry)
    assert [one.code for one in found.reasons] == ["blob-damaged"] * 4
    assert [one.where.partition("@")[2] for one in found.reasons] == [
        str(layer.digest) for layer in layers
    ]


def test_a_tag_that_moves_between_resolving_and_pulling(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    good = shelf.publish(signed)
    evil = signed.image.manifest.replace(b"demo", b"evil")
    shelf.server.script(
        f"{PREFIX}/manifests/1.0",
        servers.fine(signed.image.manifest, media_type=MANIFEST_TYPE),
        servers.fine(evil, media_type=MANIFEST_TYPE),
    )
    (found,) = verdicts(registry)
    assert found.digest == good
    assert shelf.server.count(f"{PREFIX}/manifests/1.0") == 1, "from then on by digest"


def image_with(signed: Signed, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(signed.image.manifest)
    change(document)
    return canonical.dumps(document)


def sign_manifest(shelf: Shelf, data: bytes, tag: str = "1.0") -> None:
    """Even the right key does not make such a manifest good."""
    for one in sign_image(Subject(MANIFEST_TYPE, Digest.of(data), len(data)), NAME, [], signer()):
        shelf.attach(one)
    shelf.manifest(data, tag)


@pytest.mark.parametrize("digest", ["sha1:" + "0" * 40, "", "sha512:" + "0" * 128, "md5:0", "none"])
def test_a_weaker_digest_algorithm(
    registry: RegistryClient, shelf: Shelf, signed: Signed, digest: str
) -> None:
    shelf.publish(signed)
    sign_manifest(shelf, image_with(signed, lambda it: it["layers"][0].update(digest=digest)))
    assert codes(verdicts(registry)) == {"document-malformed"}


def test_foreign_layers_are_not_fetched_from_elsewhere(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    with HostileServer() as elsewhere:
        elsewhere.script("/layer", servers.fine(b"x"))
        foreign = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": str(Digest.of(b"x")),
            "size": 1,
            "urls": [f"{elsewhere.url}/layer"],
        }
        sign_manifest(shelf, image_with(signed, lambda it: it["layers"].append(foreign)))
        assert codes(verdicts(registry)) == {"blob-missing"}
        assert not elsewhere.seen


def test_a_manifest_that_is_an_index_too(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    sign_manifest(shelf, image_with(signed, lambda it: it.update(manifests=[])))
    assert codes(verdicts(registry)) == {"document-malformed"}


@pytest.mark.parametrize("media_type", [INDEX_TYPE, "text/html", "application/json", ""])
def test_a_manifest_served_as_something_else(
    registry: RegistryClient, shelf: Shelf, signed: Signed, media_type: str
) -> None:
    shelf.publish(signed)
    shelf.manifest(signed.image.manifest, "1.0", media_type=media_type)
    assert codes(verdicts(registry)) == {"document-malformed"}


def test_pages_of_referrers_in_a_circle_cannot_be_checked(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    digest = shelf.publish(signed)
    (path,) = [one for one in shelf.server._scripts if one.startswith(f"{PREFIX}/referrers/")]
    circle = {"Link": f'<{path}>; rel="next"'}
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}).encode()
    shelf.server.script(path, servers.fine(body, media_type=INDEX_TYPE, headers=circle))
    with pytest.raises(FetchError):
        verdicts(registry, digest)


# 24: an index


def test_a_signed_index_of_signed_images(
    registry: RegistryClient, shelf: Shelf, signed: Signed, tmp_path: Path
) -> None:
    other = Signed.make(tmp_path, reference="demo:gpu", labels={"a": "b"})
    shelf.publish(signed)
    shelf.publish(other, "gpu")
    shelf.index([signed, other])
    found = verdicts(registry, "many")
    assert [one.good for one in found] == [True] * 3
    assert [one.hashed for one in found] == [False, True, True], "an index has no blobs"


def test_an_unsigned_image_in_a_signed_index(
    registry: RegistryClient, shelf: Shelf, signed: Signed, tmp_path: Path
) -> None:
    unsigned = Signed.make(tmp_path, key=None, reference="demo:gpu", labels={"a": "b"})
    shelf.publish(signed)
    shelf.publish(unsigned, "gpu")
    shelf.index([signed, unsigned])
    found = verdicts(registry, "many")
    assert [sorted(codes([one])) for one in found] == [[], [], ["unsigned"]]


def test_an_unsigned_index_of_signed_images(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    shelf.index([signed], key=None)
    assert codes(verdicts(registry, "many")) == {"unsigned"}


def test_platforms_that_were_swapped(
    registry: RegistryClient, shelf: Shelf, signed: Signed, tmp_path: Path
) -> None:
    """The swapped index is another one, and nobody has signed that."""
    other = Signed.make(tmp_path, reference="demo:gpu", labels={"a": "b"})
    shelf.publish(signed)
    shelf.publish(other, "gpu")
    shelf.index([signed, other])
    shelf.index([other, signed], key=None)
    assert codes(verdicts(registry, "many")) == {"unsigned"}


def test_a_child_with_another_type_than_listed(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    inner = shelf.index([signed], "inner")
    entry = {"mediaType": INDEX_TYPE, "digest": str(inner), "size": 1}
    outer = canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]})
    shelf.manifest(outer, "outer", media_type=INDEX_TYPE)
    assert codes(verdicts(registry, "outer")) == {"document-malformed"}


# 25, 5: strangers who may push


def bundles(signed: Signed) -> list[Attachment]:
    return [one for one in signed.attachments if one.artifact_type == BUNDLE_TYPE]


def older(signed: Signed) -> list[Attachment]:
    return [one for one in signed.attachments if one.tag == signature_tag(signed.image.digest)]


def junk(signed: Signed, data: bytes) -> Attachment:
    return referrer(subject(signed.image), BUNDLE_TYPE, data, {})


@pytest.mark.parametrize(
    "data", [b"{}", b"", b"\xff", b"[" * 100_000, b'{"mediaType":1}', b"x" * (1 << 20)]
)
def test_a_junk_bundle_hides_neither_a_bundle_nor_an_older_signature(
    registry: RegistryClient, shelf: Shelf, signed: Signed, data: bytes
) -> None:
    for good in (bundles(signed), older(signed)):
        shelf.listed.clear()
        shelf.publish(signed, attachments=[junk(signed, data), *good])
        (found,) = verdicts(registry)
        assert found.good
        assert [note.code for note in found.notes] == ["document-malformed"]


def test_three_hundred_junk_bundles_hide_no_signature(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed, attachments=older(signed))
    for number in range(300):
        shelf.attach(junk(signed, b"%d" % number))
    (found,) = verdicts(registry)
    assert found.good
    assert "limit-exceeded" in {note.code for note in found.notes}
    assert sum("/blobs/" in one.path for one in shelf.server.seen) < 120


def test_bundles_of_strangers_hide_nothing(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    strange = sign_image(subject(signed.image), NAME, [], signer(STRANGER))
    shelf.publish(signed, attachments=[*strange, *bundles(signed)])
    (found,) = verdicts(registry)
    assert found.good
    assert {note.code for note in found.notes} == {"key-untrusted"}
    shelf.listed.clear()
    shelf.publish(signed, attachments=strange)
    assert codes(verdicts(registry)) == {"key-untrusted", "predicate-missing"}


def test_a_large_bundle_uses_up_no_allowance(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    """It says that it has 64 MiB: small ones are read before it."""
    large = {"mediaType": BUNDLE_TYPE, "digest": str(Digest.of(b"")), "size": 64 << 20}
    for number in range(5):
        document = json.loads(junk(signed, b"%d" % number).manifest)
        document |= {"layers": [large], "annotations": {"n": str(number)}}
        data = canonical.dumps(document)
        shelf.manifest(data)
        entry = {"mediaType": MANIFEST_TYPE, "digest": str(Digest.of(data)), "size": len(data)}
        shelf.list(signed.image.digest, {**entry, "artifactType": BUNDLE_TYPE})
    shelf.publish(signed, attachments=bundles(signed))
    (found,) = verdicts(registry)
    assert found.good
    assert {note.code for note in found.notes} == {"document-malformed", "limit-exceeded"}


def test_a_fallback_tag_that_was_overwritten_hides_no_older_signature(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed, attachments=older(signed))
    shelf.manifest(signed.image.manifest, fallback_tag(signed.image.digest))
    (found,) = verdicts(registry)
    assert found.good
    assert [note.code for note in found.notes] == ["document-malformed"]


def test_an_older_signature_that_was_overwritten_hides_no_bundle(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed, attachments=bundles(signed))
    shelf.manifest(b"{}", signature_tag(signed.image.digest))
    (found,) = verdicts(registry)
    assert found.good
    assert [note.code for note in found.notes] == ["document-malformed"]


def test_signatures_that_were_removed(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed, attachments=[])
    assert codes(verdicts(registry)) == {"unsigned"}


def test_a_referrer_of_another_image_is_listed(
    registry: RegistryClient, shelf: Shelf, signed: Signed, tmp_path: Path
) -> None:
    other = Signed.make(tmp_path, reference="demo:gpu", labels={"a": "b"})
    shelf.publish(signed, attachments=[])
    for one in bundles(other):
        shelf.attach(one)
        shelf.list(signed.image.digest, one.descriptor())
    assert codes(verdicts(registry)) == {"document-malformed", "predicate-missing"}


def test_layers_of_an_image_that_nobody_signed_are_not_fetched(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed, attachments=[])
    verdicts(registry)
    assert not any("/blobs/" in one.path for one in shelf.server.seen)


def test_what_a_registry_says_does_not_reach_the_terminal(
    registry: RegistryClient, shelf: Shelf, signed: Signed
) -> None:
    shelf.publish(signed)
    escape = json.dumps({"errors": [{"code": "X", "message": "\x1b[2J\x1b]0;owned\x07"}]})
    path = f"{PREFIX}/manifests/1.0"
    shelf.server.script(path, servers.status(403, body=escape.encode()))
    with pytest.raises(FetchError) as error:
        verdicts(registry)
    assert "\x1b" not in str(error.value)
