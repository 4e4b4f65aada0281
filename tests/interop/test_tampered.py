"""Tampered images fail in hps, whether other clients notice or not."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.oci.attachment import Attachment, fallback_index, referrer
from hps.oci.registry_push import push_attachment
from hps.trust.attachments import Claim, bundle_referrer, sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.predicates import PROVENANCE, SBOM, SIGNATURE
from hps.trust.verdict import exit_code
from hps.trust.verification import verify_layout
from tests.interop.clients import Clients
from tests.interop.commands import LAYOUT, REGISTRY
from tests.interop.site import CLAIMS, Site, check, codes, subject_of
from tests.oci.images import small_image

pytestmark = pytest.mark.network

REVOKED = "https://example.org/revoked/v1"


@dataclass(frozen=True)
class Damage:
    """Something done to the files of a layout, and what hps says to it."""

    do: Callable[[Path, Site], object]
    reason: str


def blob(layout: Path, digest: Digest) -> Path:
    path = layout / "blobs/sha256" / digest.hex
    path.chmod(0o644)
    return path


def overwrite_layer(layout: Path, site: Site) -> None:
    path = blob(layout, site.image.layers[-1].digest)
    path.write_bytes(bytes(path.stat().st_size))


def extend_layer(layout: Path, site: Site) -> None:
    with blob(layout, site.image.layers[0].digest).open("ab") as file:
        file.write(b"more")


DAMAGES = {
    "layer overwritten": Damage(overwrite_layer, "blob-damaged"),
    "layer extended": Damage(extend_layer, "blob-damaged"),
    "layer missing": Damage(
        lambda layout, site: blob(layout, site.image.layers[0].digest).unlink(), "blob-missing"
    ),
    "blob too many": Damage(
        lambda layout, _: (layout / "blobs/sha256" / Digest.of(b"extra").hex).write_bytes(b"extra"),
        "blob-extra",
    ),
    "configuration overwritten": Damage(
        lambda layout, site: blob(layout, site.image.image_id).write_bytes(
            site.image.config.replace(b"/", b"_")
        ),
        "blob-damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_that_cosign_passes(
    damage: Damage, clients: Clients, site: Site, layout: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "layout"
    shutil.copytree(layout, copy)
    assert codes(verify_layout(copy, site.check)) == set()
    damage.do(copy, site)
    assert codes(verify_layout(copy, site.check)) == {damage.reason}
    assert exit_code(verify_layout(copy, site.check)) == 64
    for command in LAYOUT:
        assert command.run(clients, site.home, key=site.public, layout=copy) is None


def relisted(site: Site, attachments: Sequence[Attachment]) -> list[Attachment]:
    """Other attachments, with the index that lists them."""
    subject = site.image.digest
    kept = [one for one in attachments if one.tag is None or one.tag.endswith(".sig")]
    return [*kept, fallback_index(subject, [one for one in kept if one.subject == subject])]


def predicate_of(attachment: Attachment) -> str:
    return attachment.annotations.get("dev.sigstore.bundle.predicateType", "")


def test_a_swapped_sbom(clients: Clients, site: Site, tmp_path: Path) -> None:
    """The SBOM that the same builder signed for another image."""
    other = small_image(site.blobs, "other:cpu", entrypoint=["/other"])
    theirs = bundle_referrer(subject_of(other), CLAIMS[1], site.signer)
    swapped = referrer(subject_of(site.image), BUNDLE_TYPE, theirs.blobs[1], theirs.annotations)
    ours = [one for one in site.signed("swapped") if predicate_of(one) != SBOM]
    layout = site.layout(tmp_path / "layout", relisted(site, [*ours, swapped]))
    assert codes(verify_layout(layout, site.check)) == {"predicate-missing", "subject-mismatch"}
    assert LAYOUT[0].run(clients, site.home, key=site.public, layout=layout) is None
    assert LAYOUT[3].run(clients, site.home, key=site.public, layout=layout) is not None


@pytest.mark.parametrize("stripped", [PROVENANCE, SBOM])
def test_a_stripped_statement(stripped: str, clients: Clients, site: Site, tmp_path: Path) -> None:
    """cosign cannot know what should be there; a policy does."""
    ours = [one for one in site.signed("stripped") if predicate_of(one) != stripped]
    layout = site.layout(tmp_path / "layout", relisted(site, ours))
    found = verify_layout(layout, site.check)
    assert codes(found) == {"predicate-missing"}
    assert exit_code(found) == 32
    assert LAYOUT[0].run(clients, site.home, key=site.public, layout=layout) is None


def test_all_stripped(clients: Clients, site: Site, tmp_path: Path) -> None:
    layout = site.layout(tmp_path / "layout", ())
    found = verify_layout(layout, site.check)
    assert codes(found) == {"unsigned"}
    assert exit_code(found) == 16
    for command in LAYOUT[:2]:
        assert command.run(clients, site.home, key=site.public, layout=layout) is not None


@pytest.mark.parametrize("kind", [REVOKED, PROVENANCE])
def test_a_statement_of_another_kind_is_no_signature(
    kind: str, clients: Clients, site: Site, tmp_path: Path
) -> None:
    """cosign 3 takes a statement of any kind for a signature, even one that says: revoked."""
    signer = AuthorisedSigner(site.signer.key, (kind,))
    only = bundle_referrer(subject_of(site.image), Claim(kind, {"a": 1}), signer)
    layout = site.layout(tmp_path / "layout", relisted(site, [only]))
    expected = {"predicate-missing"} | ({"predicate-not-allowed"} if kind == REVOKED else set())
    assert codes(verify_layout(layout, check(site.signer.public, SIGNATURE))) == expected
    assert LAYOUT[0].run(clients, site.home, key=site.public, layout=layout) is None


def junk(site: Site) -> Attachment:
    """What anybody may lay beside an image: a bundle that no trusted key signed."""
    return bundle_referrer(subject_of(site.image), Claim(SIGNATURE, {}), site.stranger)


def test_junk_beside_bundles(clients: Clients, site: Site, tmp_path: Path) -> None:
    ours = site.signed("junk")
    layout = site.layout(tmp_path / "layout", relisted(site, [*ours, junk(site)]))
    (verdict,) = verify_layout(layout, site.check)
    assert verdict.good
    assert [note.code for note in verdict.notes] == ["key-untrusted"]
    assert LAYOUT[0].run(clients, site.home, key=site.public, layout=layout) is None


def test_junk_hides_the_older_signature_from_cosign_3(clients: Clients, site: Site) -> None:
    """hps counts the good signature; cosign 3 looks at no `.sig` where it sees a bundle."""
    older = [one for one in site.signed("hidden") if one.tag and one.tag.endswith(".sig")]
    asked = check(site.signer.public, SIGNATURE)
    image = site.carry(clients, "hidden", relisted(site, older))
    for command in REGISTRY[:2]:
        assert command.run(clients, site.home, key=site.public, image=image) is None
    assert codes(site.verified("hidden", asked)) == set()
    site.carry(clients, "hidden", relisted(site, [*older, junk(site)]))
    assert REGISTRY[0].run(clients, site.home, key=site.public, image=image) is not None
    assert REGISTRY[1].run(clients, site.home, key=site.public, image=image) is None
    assert codes(site.verified("hidden", asked)) == set()


def test_a_signature_of_a_stranger(clients: Clients, site: Site, tmp_path: Path) -> None:
    """Everything is there and well formed, and signed by nobody who counts."""
    theirs = sign_image(subject_of(site.image), "example.org/app:1", CLAIMS, site.stranger)
    layout = site.layout(tmp_path / "layout", theirs)
    found = verify_layout(layout, site.check)
    assert codes(found) == {"predicate-missing", "key-untrusted"}
    assert exit_code(found) == 16 | 32
    for command in LAYOUT:
        assert command.run(clients, site.home, key=site.public, layout=layout) is not None


def test_layer_exchanged_in_the_registry(clients: Clients, site: Site) -> None:
    """The registry serves other bytes for a layer: cosign does not look at layers."""
    image = site.carry(clients, "exchanged", site.signed("exchanged"))
    assert codes(site.verified("exchanged", site.check)) == set()
    path = site.registry.blob_path(site.image.layers[0].digest.hex)
    genuine = path.read_bytes()
    path.write_bytes(bytes(len(genuine)))
    try:
        assert codes(site.verified("exchanged", site.check)) == {"blob-damaged"}
        for command in REGISTRY[:2]:
            assert command.run(clients, site.home, key=site.public, image=image) is None
    finally:
        path.write_bytes(genuine)


def test_referrers_of_another_image_are_listed(clients: Clients, site: Site) -> None:
    """An index at the fallback tag whose entries speak of another image."""
    other = small_image(site.blobs, "other:cpu", entrypoint=["/other"])
    theirs = bundle_referrer(subject_of(other), Claim(SIGNATURE, {}), site.signer)
    image = site.carry(clients, "foreign", ())
    with site.client("foreign") as registry:
        push_attachment(registry, theirs)
        push_attachment(registry, fallback_index(site.image.digest, [theirs]))
    asked = check(site.signer.public, SIGNATURE)
    assert codes(site.verified("foreign", asked)) == {"predicate-missing", "document-malformed"}
    assert REGISTRY[0].run(clients, site.home, key=site.public, image=image) is not None
