"""Lists of referrers that lead astray, flood and hide."""

import json

import pytest

from hps.digest import Digest
from hps.errors import (
    FetchError,
    MalformedError,
)
from hps.oci.attachment import Subject, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import merged_index
from tests import servers
from tests.oci.registry_lab import (
    FALLBACK_PATH,
    GOOD,
    GOOD_DIGEST,
    INDEX,
    KIND,
    REFERRERS_PATH,
    entry,
    listed,
    manifest,
)
from tests.servers import Behaviour, HostileServer


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
