"""Pushing to a registry that leads astray, breaks off and lies."""

import io
import json

import pytest

from hps.digest import Blob, Digest
from hps.errors import (
    HpsError,
    IntegrityError,
    PublishError,
)
from hps.oci.attachment import Subject, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.registry import ManifestDocument, Placed
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import merged_index
from tests import servers
from tests.oci.registry_lab import BLOB, GOOD, GOOD_DIGEST, INDEX, KIND, TAG_PATH, descriptor, entry
from tests.servers import HostileServer

UPLOADS = "/v2/team/app/blobs/uploads/"


def push(registry: RegistryClient) -> Placed:
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


def test_short_answers_that_nobody_reads_cost_no_connection(
    server: HostileServer, registry: RegistryClient
) -> None:
    target = f"/up?digest=sha256%3A{Digest.of(BLOB).hex}"
    server.script(UPLOADS, servers.status(202, {"Location": "/up"}, b"{}"))
    server.script(target, servers.status(201, body=b"{}"))
    assert push(registry)
    assert [each.method for each in server.seen] == ["HEAD", "POST", "PUT"]
    # The first request finds out whether the server speaks TLS.
    assert server.connections <= 2
