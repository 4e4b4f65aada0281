"""Images of several platforms: the signature of an index covers none of them."""

from pathlib import Path

import pytest

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Subject
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, descriptor
from hps.oci.registry import ManifestDocument
from hps.oci.registry_push import push_referrers
from hps.trust.attachments import Claim, bundle_referrer
from hps.trust.predicates import SIGNATURE
from hps.trust.public_key import PublicKey
from tests.interop.clients import Clients
from tests.interop.commands import REGISTRY, SIGN, SIGN_ALL
from tests.interop.site import Site, check, codes, subject_of

pytestmark = pytest.mark.network


def put_index(clients: Clients, site: Site, repository: str) -> tuple[Subject, str]:
    """An index of one unsigned image, in the place of the image; gives its name by digest."""
    site.carry(clients, repository, ())
    entry = descriptor(MANIFEST_TYPE, site.image.digest, len(site.image.manifest))
    platform = {"os": "linux", "architecture": "amd64"}
    data = canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [{**entry, "platform": platform}],
        }
    )
    with site.client(repository) as registry:
        registry.put(ManifestDocument(INDEX_TYPE, data), "1")
    subject = Subject(INDEX_TYPE, Digest.of(data), len(data))
    return subject, f"{site.registry.host}/{repository}@{subject.digest}"


def test_cosign_signs(
    clients: Clients, site: Site, things: dict[str, Path], key: PublicKey
) -> None:
    _, image = put_index(clients, site, "index-by-cosign")
    said = SIGN[0].run(clients, site.home, image=image, **things)
    assert said is None, said
    public = site.home / "cosign.pub"
    assert REGISTRY[0].run(clients, site.home, key=public, image=image) is None
    index, child = site.verified("index-by-cosign", check(key, SIGNATURE))
    assert index.good
    assert codes([child]) == {"unsigned"}
    said = SIGN_ALL.run(clients, site.home, image=image, **things)
    assert said is None, said
    assert codes(site.verified("index-by-cosign", check(key, SIGNATURE))) == set()


def test_hps_signs(clients: Clients, site: Site) -> None:
    subject, index = put_index(clients, site, "index-by-hps")
    image = f"{site.registry.host}/index-by-hps@{site.image.digest}"
    with site.client("index-by-hps") as registry:
        for each in (subject, subject_of(site.image)):
            assert REGISTRY[0].run(clients, site.home, key=site.public, image=image) is not None
            bundle = bundle_referrer(each, Claim(SIGNATURE, {}), site.signer)
            push_referrers(registry, each.digest, [bundle])
    for name in (index, image):
        assert REGISTRY[0].run(clients, site.home, key=site.public, image=name) is None
        assert REGISTRY[0].run(clients, site.home, key=site.strange, image=name) is not None
    assert codes(site.verified("index-by-hps", check(site.signer.public, SIGNATURE))) == set()
