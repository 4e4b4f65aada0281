"""cosign, skopeo and openssl verify what hps signed; with another key each of them refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.oci.attachment import fallback_tag, signature_subject
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.dsse import Envelope, pae
from hps.trust.simple_signing import SimpleSignature
from hps.trust.verification import verify_layout
from tests.interop.clients import PACKAGES, Clients
from tests.interop.commands import EVERY, FILES, LAYOUT, PULL, REGISTRY, SKOPEO, Command, each
from tests.interop.private_apt import NEWEST, OLDER
from tests.interop.site import Site, codes

pytestmark = pytest.mark.network

DOCS = Path(__file__).parents[2] / "docs/explanation/interop.md"


def test_the_clients_and_their_versions(
    clients: Clients, capfd: pytest.CaptureFixture[str]
) -> None:
    found = {name: clients.get(name).version for name in PACKAGES}
    assert found["cosign3"].startswith("3.")
    assert found["cosign2"].startswith("2.")
    with capfd.disabled():
        text = ", ".join(f"{name} {version}" for name, version in found.items())
        print(f"\nclients of {NEWEST} and {OLDER}: {text}", file=sys.stderr)


def test_the_docs_show_every_command() -> None:
    text = DOCS.read_text()
    things = {
        word: word.upper()
        for word in (
            "bundle config digest file folder image key layout pem place policy predicate prefix "
            "private registries repository root statement tag"
        ).split()
    }
    missing = [line for one in EVERY if (line := one.line.format(**things)) not in text]
    assert not missing


@each(LAYOUT)
def test_layout(command: Command, clients: Clients, site: Site, layout: Path) -> None:
    assert command.run(clients, site.home, key=site.public, layout=layout) is None
    said = command.run(clients, site.home, key=site.strange, layout=layout)
    assert said is not None
    assert "signature" in said


@each(REGISTRY)
def test_registry(command: Command, clients: Clients, site: Site, published: str) -> None:
    things: dict[str, str | Path] = {"image": published, "root": site.root}
    assert command.run(clients, site.home, key=site.public, **things) is None
    said = command.run(clients, site.home, key=site.strange, **things)
    assert said is not None
    assert "signature" in said


def test_the_registry_asks_who_is_there(
    clients: Clients, site: Site, published: str, tmp_path: Path
) -> None:
    (tmp_path / "ca.crt").write_bytes((site.home / "ca.crt").read_bytes())
    said = REGISTRY[0].run(clients, tmp_path, key=site.public, image=published)
    assert said is not None
    assert "UNAUTHORIZED" in said


def skopeo_said(clients: Clients, site: Site, folder: Path, image: str, key: Path) -> str | None:
    """Copy an image under a policy that asks for this key and for the name in the signature."""
    asked = {
        "type": "sigstoreSigned",
        "keyPath": str(key),
        "signedIdentity": {"type": "matchRepoDigestOrExact"},
    }
    docker = {site.registry.host: [asked]}
    policy = {"default": [{"type": "reject"}], "transports": {"docker": docker}}
    (folder / "policy.json").write_text(json.dumps(policy))
    registries = folder / "registries.d"
    registries.mkdir()
    where = {"docker": {site.registry.host: {"use-sigstore-attachments": True}}}
    (registries / "registry.yaml").write_text(json.dumps(where))  # JSON is YAML
    return SKOPEO.run(
        clients,
        site.home,
        policy=folder / "policy.json",
        registries=registries,
        image=image,
        folder=folder / "copy",
    )


def test_skopeo_copies_what_is_signed(
    clients: Clients, site: Site, published: str, tmp_path: Path
) -> None:
    assert skopeo_said(clients, site, tmp_path, published, site.public) is None
    copied = (tmp_path / "copy/manifest.json").read_bytes()
    assert Digest.of(copied) == site.image.digest


def test_skopeo_copies_by_digest(
    clients: Clients, site: Site, published: str, tmp_path: Path
) -> None:
    image = f"{published.removesuffix(':1')}@{site.image.digest}"
    assert skopeo_said(clients, site, tmp_path, image, site.public) is None


def test_skopeo_refuses_another_key(
    clients: Clients, site: Site, published: str, tmp_path: Path
) -> None:
    said = skopeo_said(clients, site, tmp_path, published, site.strange)
    assert said is not None
    assert "signature verification failed" in said


def test_skopeo_refuses_another_name(clients: Clients, site: Site, tmp_path: Path) -> None:
    image = site.carry(clients, "renamed", site.signed("named"))
    said = skopeo_said(clients, site, tmp_path, image, site.public)
    assert said is not None
    assert f'Signature for identity \\"{site.name("named")}\\" is not accepted' in said


def test_skopeo_refuses_an_image_without_the_older_signature(
    clients: Clients, site: Site, tmp_path: Path
) -> None:
    bundles = [one for one in site.signed("bundles") if one.tag is None]
    image = site.carry(clients, "bundles", bundles)
    said = skopeo_said(clients, site, tmp_path, image, site.public)
    assert said is not None
    assert "A signature was required, but no signature exists" in said


def test_oras_and_crane_see_the_image_and_what_speaks_of_it(
    clients: Clients, site: Site, published: str
) -> None:
    crane = clients.get("crane")
    done = crane.run("digest", published, home=site.home)
    assert done.stdout.strip() == str(site.image.digest)
    done = crane.run("ls", published.removesuffix(":1"), home=site.home)
    fallback = fallback_tag(site.image.digest)
    assert set(done.stdout.split()) == {"1", fallback, f"{fallback}.sig"}
    done = clients.get("oras").run("discover", "--format", "json", published, home=site.home)
    listed = json.loads(done.stdout)["referrers"]
    assert [one["artifactType"] for one in listed] == [BUNDLE_TYPE] * 3


def test_an_image_that_oras_fetched_is_good(
    clients: Clients, site: Site, published: str, tmp_path: Path
) -> None:
    """Referrers come along; the older signature does not, and is not needed."""
    folder = tmp_path / "layout"
    assert PULL.run(clients, site.home, image=published, layout=folder) is None
    assert codes(verify_layout(folder, site.check)) == set()


@pytest.fixture
def file(site: Site, tmp_path: Path) -> Path:
    """A file with its bundle beside it."""
    return site.signed_file(tmp_path)


@each(FILES)
def test_file(command: Command, clients: Clients, site: Site, file: Path) -> None:
    bundle = f"{file}.sigstore.json"
    things: dict[str, str | Path] = {"root": site.root, "file": file, "bundle": bundle}
    assert command.run(clients, site.home, key=site.public, **things) is None
    assert command.run(clients, site.home, key=site.strange, **things) is not None
    file.write_bytes(b"other bytes\n")
    assert command.run(clients, site.home, key=site.public, **things) is not None


def openssl_accepts(folder: Path, key: Path, signature: bytes, message: bytes) -> bool:
    (folder / "signature").write_bytes(signature)
    (folder / "message").write_bytes(message)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", key, "-signature", "signature", "message"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_openssl(site: Site, tmp_path: Path) -> None:
    """What is signed can be put together by hand: PAE of an envelope, or the payload itself."""
    attachments = site.signed("by-hand")
    signed = []
    for one in attachments:
        if one.tag is None:
            content = Bundle.from_bytes(one.blobs[1]).content
            assert isinstance(content, Envelope)
            message = pae(content.payload_type, content.payload)
            signed.append((content.signature, message))
        elif signature_subject(one.tag):
            (layer,) = json.loads(one.manifest)["layers"]
            (annotation,) = layer["annotations"].values()
            signed.append((SimpleSignature.read(one.blobs[1], annotation).signature, one.blobs[1]))
    assert len(signed) == 4
    for signature, message in signed:
        assert openssl_accepts(tmp_path, site.public, signature, message)
        assert not openssl_accepts(tmp_path, site.strange, signature, message)
        assert not openssl_accepts(tmp_path, site.public, signature, message + b" ")
