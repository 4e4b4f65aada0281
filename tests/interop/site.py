"""A signed image, its keys, and a registry with TLS and users, for tests with other clients."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.oci.attachment import Attachment, Subject, signature_subject
from hps.oci.image import MANIFEST_TYPE, Image
from hps.oci.layout import write_layout
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_push import push_attachment, push_referrers
from hps.release.file_signing import BUNDLE_ENDING, sign_file, write_bundle
from hps.trust.attachments import Claim, sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.file_key import FileKey
from hps.trust.policy import Policy, Requirement, TrustedKey
from hps.trust.predicates import PROVENANCE, ROLES, SBOM, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.registry_verification import verify_registry
from hps.trust.simple_signing import signature_tag
from hps.trust.verdict import Verdict
from hps.trust.verification import Check
from tests.interop.clients import Clients
from tests.interop.commands import GENERATE_KEY, PUSH_REFERRERS, PUSH_SIGNATURE, SIGNING_CONFIG
from tests.oci.images import Blobs, small_image
from tests.oci.registry_server import Authority, RegistryServer, docker_config

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PREDICATE = {
    "buildDefinition": {
        "buildType": "https://example.org/build/v1",
        "externalParameters": {"target": "cpu"},
    },
    "runDetails": {"builder": {"id": "https://example.org/builder"}},
}
CLAIMS = [
    Claim(PROVENANCE, PREDICATE),
    Claim(SBOM, {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}),
]
_EMPTY_ROOT = {
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [],
    "certificateAuthorities": [],
    "ctlogs": [],
    "timestampAuthorities": [],
}


@dataclass(frozen=True)
class Site:
    """What the tests share.

    Args:
        home: of the clients: credentials, keys, and whatever they write.
        registry: wants TLS and a password.
        signer: the key of the builder.
        stranger: another key of the same kind, which nobody trusts.
    """

    home: Path
    registry: RegistryServer
    blobs: Blobs
    image: Image
    signer: AuthorisedSigner
    stranger: AuthorisedSigner

    @property
    def public(self) -> Path:
        return self.home / "build.pub"

    @property
    def strange(self) -> Path:
        return self.home / "stranger.pub"

    @property
    def root(self) -> Path:
        """A trusted root that lists nothing."""
        return self.home / "trusted-root.json"

    @property
    def check(self) -> Check:
        """The builder's key must have signed the image, its provenance and its SBOM."""
        return check(self.signer.public, SIGNATURE, PROVENANCE, SBOM)

    def name(self, repository: str) -> str:
        """An image of the registry, as it is called in signatures."""
        return f"{self.registry.host}/{repository}:1"

    def signed(
        self,
        repository: str,
        claims: Sequence[Claim] = CLAIMS,
        signer: AuthorisedSigner | None = None,
    ) -> tuple[Attachment, ...]:
        """The image's attachments, under the name of a repository."""
        subject = subject_of(self.image)
        return sign_image(subject, self.name(repository), claims, signer or self.signer)

    def signed_file(self, folder: Path) -> Path:
        """A file, and its bundle beside it."""
        path = folder / "file"
        path.write_bytes(b"some bytes\n")
        bundle = sign_file(path, self.signer)
        write_bundle(bundle, path.with_name(path.name + BUNDLE_ENDING))
        return path

    def layout(self, folder: Path, attachments: Sequence[Attachment]) -> Path:
        """A layout of the image with these attachments."""
        write_layout(folder, [self.image], self.blobs.path, attachments)
        return folder

    def verified(self, repository: str, held: Check) -> list[Verdict]:
        """What hps thinks of the image in a repository."""
        with self.client(repository) as registry:
            return verify_registry(registry, "1", held)

    def client(self, repository: str) -> RegistryClient:
        """hps's own client of a repository."""
        return RegistryClient(
            Reference.parse(self.name(repository)),
            environment={},
            home=self.home,
            authority=self.registry.authority.path if self.registry.authority else None,
        )

    def carry(self, clients: Clients, repository: str, attachments: Sequence[Attachment]) -> str:
        """Push the image and what speaks of it with oras and skopeo; gives the name."""
        folder = self.layout(self.home / "carried" / repository, attachments)
        image, digest = self.name(repository), str(self.image.digest)
        said = PUSH_REFERRERS.run(clients, self.home, layout=folder, digest=digest, image=image)
        assert said is None, said
        tag = signature_tag(self.image.digest)
        if any(one.tag == tag for one in attachments):
            target = image.removesuffix(":1")
            said = PUSH_SIGNATURE.run(clients, self.home, layout=folder, tag=tag, repository=target)
            assert said is None, said
        return image

    def push(self, repository: str, attachments: Sequence[Attachment]) -> str:
        """Push the image and what speaks of it with hps; gives the name."""
        with self.client(repository) as registry:
            for layer in self.image.layers:
                path = self.blobs.path(layer.digest)
                registry.upload(layer, lambda path=path: path.open("rb"))  # type: ignore[misc] # mypy infers no type for a default of a lambda
            config = self.image.config
            registry.upload(Blob(Digest.of(config), len(config)), lambda: io.BytesIO(config))
            registry.put(ManifestDocument(MANIFEST_TYPE, self.image.manifest), "1")
            referrers = [one for one in attachments if one.subject == self.image.digest]
            push_referrers(registry, self.image.digest, referrers)
            for one in attachments:
                if one.tag is not None and signature_subject(one.tag) is not None:
                    push_attachment(registry, one)
        return self.name(repository)


def subject_of(image: Image) -> Subject:
    """How a statement names an image."""
    return Subject(MANIFEST_TYPE, image.digest, len(image.manifest))


def check(key: PublicKey, *predicates: str) -> Check:
    """One trusted key, of a builder; these statements must be there."""
    trusted = TrustedKey("build", key, ROLES["build"])
    required = tuple(Requirement(one, ("build",)) for one in predicates)
    return Check(Policy((trusted,), required), NOW)


def codes(verdicts: Iterable[Verdict]) -> set[str]:
    """Why something is bad; empty when it is good."""
    return {reason.code for one in verdicts for reason in one.reasons}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The image, the keys and a running registry."""
    home = tmp_path_factory.mktemp("home")
    authority = Authority.make(home)
    blobs = Blobs(home / "blobs")
    users = {"ann": "secret"}
    with (
        pytest.MonkeyPatch.context() as environment,
        RegistryServer.start(home / "registry", authority=authority, users=users) as server,
    ):
        # The one authority that is needed; reading the machine's hundreds takes a while each time.
        environment.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
        docker_config(home / ".docker", server.host, "ann", "secret")
        keys = [AuthorisedSigner(FileKey.generate(), ROLES["build"]) for _ in range(2)]
        found = Site(home, server, blobs, small_image(blobs), *keys)
        found.public.write_bytes(keys[0].public.pem)
        found.strange.write_bytes(keys[1].public.pem)
        found.root.write_text(json.dumps(_EMPTY_ROOT))
        yield found


@pytest.fixture(scope="module")
def layout(site: Site) -> Path:
    """A layout of the signed image; tests that change it copy it."""
    return site.layout(site.home / "layout", site.signed("by-oras"))


@pytest.fixture(scope="module", params=["oras", "hps"])
def published(request: pytest.FixtureRequest, site: Site, clients: Clients) -> str:
    """The signed image in the registry, pushed by other programs or by hps."""
    if request.param == "hps":
        return site.push("by-hps", site.signed("by-hps"))
    return site.carry(clients, "by-oras", site.signed("by-oras"))


@pytest.fixture(scope="module")
def things(clients: Clients, site: Site) -> dict[str, Path]:
    """A key pair of cosign's own, and what it wants beside that."""
    prefix = site.home / "cosign"
    said = GENERATE_KEY.run(clients, site.home, prefix=prefix)
    assert said is None, said
    config, predicate = site.home / "signing-config.json", site.home / "predicate.json"
    said = SIGNING_CONFIG.run(clients, site.home, config=config)
    assert said is None, said
    predicate.write_text(json.dumps(PREDICATE))
    return {
        "private": prefix.with_suffix(".key"),
        "config": config,
        "root": site.root,
        "predicate": predicate,
    }


@pytest.fixture(scope="module")
def key(site: Site, things: dict[str, Path]) -> PublicKey:
    """The public half."""
    return PublicKey.from_pem((site.home / "cosign.pub").read_bytes())
