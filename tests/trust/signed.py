"""Signed images for tests: keys, layouts and archives, and ways to tamper with them."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.oci.archive import write_archive
from hps.oci.attachment import Attachment, Subject
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, Image, descriptor
from hps.oci.index import ImageIndex
from hps.oci.layout import write_layout
from hps.trust.attachments import Claim, sign_image
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.policy import Policy
from hps.trust.predicates import PROVENANCE, ROLES, SBOM, SIGNATURE
from hps.trust.statement import About, Statement
from hps.trust.verdict import Verdict
from hps.trust.verification import Check
from tests.oci.images import Blobs, small_image

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, SECOND, STRANGER = (FileKey.generate() for _ in range(3))
NAME = "registry.example/team/demo:cpu"
BUILDER = "urn:example:builder"


def signer(key: FileKey = KEY, role: str = "build") -> AuthorisedSigner:
    return AuthorisedSigner(key, ROLES[role], name="test", builder=BUILDER)


def trusting(*keys: FileKey) -> Policy:
    return Policy.of_keys({f"key {n}": key.public for n, key in enumerate(keys or (KEY,))})


def policy(text: str, **keys: FileKey) -> Policy:
    """A policy with keys by name, and further text."""
    found = [
        f"[keys.{name}]\npublic = '''{key.public.pem.decode()}'''" for name, key in keys.items()
    ]
    return Policy.parse(
        "\n".join(["version = 1", *found, text]).encode(), "policy.toml", lambda name: name.encode()
    )


def check(trusted: Policy | None = None, **fields: Any) -> Check:
    return Check(trusted or trusting(), NOW, **fields)


@dataclass(frozen=True)
class Signed:
    """An image with what speaks of it."""

    image: Image
    blobs: Blobs
    attachments: tuple[Attachment, ...]

    @classmethod
    def make(
        cls,
        folder: Path,
        *,
        key: FileKey | None = KEY,
        claims: Sequence[Claim] | None = None,
        reference: str = "demo:cpu",
        **fields: Any,
    ) -> "Signed":
        blobs = Blobs(folder / "blobs-of-tests")
        image = small_image(blobs, reference, **fields)
        attachments: tuple[Attachment, ...] = ()
        if key is not None:
            attachments = sign_image(subject(image), NAME, default_claims(claims), signer(key))
        return cls(image, blobs, attachments)

    def layout(self, folder: Path, *extra: Attachment) -> Path:
        write_layout(folder, [self.image], self.blobs.path, (*self.attachments, *extra))
        return folder

    def archive(self, path: Path) -> Path:
        write_archive(path, [self.image], self.blobs.path, epoch=0, attachments=self.attachments)
        return path


def index_layout(folder: Path, images: Sequence[Signed], *, key: FileKey | None = KEY) -> Path:
    """A layout of one index, as `skopeo copy --all` writes it; each image has its own signer."""
    platforms = [{"os": "linux", "architecture": f"arch{n}"} for n in range(len(images))]
    entries = [
        {**descriptor(MANIFEST_TYPE, one.image.digest, len(one.image.manifest)), "platform": each}
        for one, each in zip(images, platforms, strict=True)
    ]
    data = canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
    index = ImageIndex("demo:many", data, tuple(one.image for one in images))
    attachments = [each for one in images for each in one.attachments]
    if key is not None:
        about = Subject(INDEX_TYPE, index.digest, len(data))
        attachments += sign_image(about, NAME, [], signer(key))
    write_layout(folder, [], images[0].blobs.path, attachments, [index])
    return folder


def subject(image: Image) -> Subject:
    return Subject(MANIFEST_TYPE, image.digest, len(image.manifest))


def default_claims(claims: Sequence[Claim] | None) -> Sequence[Claim]:
    if claims is not None:
        return claims
    return [
        Claim(PROVENANCE, {"runDetails": {"builder": {"id": BUILDER}}}),
        Claim(SBOM, {"bomFormat": "CycloneDX"}),
    ]


def sign_bytes(
    path: Path,
    data: bytes,
    *,
    key: FileKey = KEY,
    predicate: Mapping[str, Any] | None = None,
    predicate_type: str = SIGNATURE,
    about: Digest | None = None,
) -> Path:
    """A file with a bundle beside it."""
    path.write_bytes(data)
    said = Statement((About(path.name, about or Digest.of(data)),), predicate_type, predicate or {})
    every = AuthorisedSigner(key, (predicate_type,))
    path.with_name(f"{path.name}.sigstore.json").write_bytes(Bundle.sign(said, every).as_bytes())
    return path


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file that may be a hard link to another: the other stays as it is."""
    data = change(path.read_bytes())
    path.unlink()
    path.write_bytes(data)


def reindex(layout: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the index of a layout."""
    document = json.loads((layout / "index.json").read_bytes())
    change(document)
    (layout / "index.json").write_bytes(canonical.dumps(document))


def put_blob(layout: Path, data: bytes) -> dict[str, Any]:
    """Lay a blob into a layout; gives its digest and size as descriptors have them."""
    digest = Digest.of(data)
    place = layout / "blobs" / "sha256" / digest.hex
    if not os.path.lexists(place):
        place.write_bytes(data)
    return {"digest": str(digest), "size": len(data)}


def codes(verdicts: Sequence[Verdict]) -> set[str]:
    return {reason.code for verdict in verdicts for reason in verdict.reasons}
