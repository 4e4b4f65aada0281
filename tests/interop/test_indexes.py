"""Images of several platforms: the signature of an index covers none of them."""

from pathlib import Path

import pytest

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Subject
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, descriptor
from hps.oci.index import platform_index
from hps.oci.layout import write_layout
from hps.oci.registry import ManifestDocument
from hps.oci.registry_push import push_referrers
from hps.trust.attachments import Claim, bundle_referrer, sign_index
from hps.trust.predicates import SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.verdict import Verdict
from hps.trust.verification import verify_archive, verify_layout
from tests.interop.clients import Clients
from tests.interop.commands import COPY_INDEX, LAYOUT, REGISTRY, SIGN, SIGN_ALL, Command, each
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


def copied(clients: Clients, site: Site, command: Command, folder: Path, image: str) -> Path:
    """A copy of an index on this machine."""
    place = folder / "copy"
    said = command.run(clients, site.home, image=image, place=place)
    assert said is None, said
    return place


def judged(place: Path, key: PublicKey) -> list[Verdict]:
    held = check(key, SIGNATURE)
    return verify_layout(place, held) if place.is_dir() else verify_archive(place, held)


@each(COPY_INDEX)
def test_a_copy_of_an_index_without_its_signatures(
    command: Command, clients: Clients, site: Site, tmp_path: Path
) -> None:
    """Verified as far as it goes: whole, and signed by nobody."""
    subject, image = put_index(clients, site, "index-copied")
    place = copied(clients, site, command, tmp_path, image)
    index, child = judged(place, site.signer.public)
    assert (index.digest, child.digest) == (subject.digest, site.image.digest)
    assert codes([index, child]) == {"unsigned"}


def test_oras_copies_what_cosign_signed(
    clients: Clients, site: Site, things: dict[str, Path], key: PublicKey, tmp_path: Path
) -> None:
    subject, image = put_index(clients, site, "index-carried")
    command = next(one for one in COPY_INDEX if one.client == "oras")
    said = SIGN[0].run(clients, site.home, image=image, **things)
    assert said is None, said
    index, child = judged(copied(clients, site, command, tmp_path, image), key)
    assert index.good
    assert codes([child]) == {"unsigned"}

    said = SIGN_ALL.run(clients, site.home, image=image, **things)
    assert said is None, said
    (tmp_path / "all").mkdir()
    place = copied(clients, site, command, tmp_path / "all", image)
    assert codes(judged(place, key)) == set()
    assert codes(judged(place, site.signer.public)) >= {"key-untrusted"}
    (place / "blobs/sha256" / site.image.layers[0].digest.hex).unlink()
    index, child = judged(place, key)
    assert codes([index, child]) == {"blob-missing"}
    assert index.digest == subject.digest


def test_cosign_verifies_a_layout_of_an_index_that_hps_signed(
    clients: Clients, site: Site, tmp_path: Path
) -> None:
    index = platform_index("demo:many", [site.image])
    signed = sign_index(index, site.name("index-laid-out"), lambda _: [], site.signer)
    write_layout(tmp_path / "layout", [], site.blobs.path, signed, [index])
    assert codes(judged(tmp_path / "layout", site.signer.public)) == set()
    for command in LAYOUT[:2]:
        things = {"layout": tmp_path / "layout"}
        assert command.run(clients, site.home, key=site.public, **things) is None, command
        assert command.run(clients, site.home, key=site.strange, **things) is not None, command
