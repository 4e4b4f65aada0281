"""The older form of image signatures, the only one that Podman, skopeo and CRI-O read.

containers/image, docs/containers-signature.5.md ("simple signing"), kept at the tag
`sha256-<hex>.sig` as cosign 1 and 2 do (sigstore/cosign, specs/SIGNATURE_SPEC.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from hps import canonical
from hps.digest import Digest
from hps.errors import MalformedError
from hps.oci.attachment import Attachment
from hps.oci.image import CONFIG_TYPE, MANIFEST_TYPE
from hps.oci.shape import fields, text
from hps.trust.authorised import AuthorisedSigner
from hps.trust.encoding import to_base64, unbase64
from hps.trust.predicates import SIGNATURE
from hps.trust.public_key import PublicKey

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
_KIND = "cosign container image signature"
_LARGEST = 64 << 10  # bytes of a payload
_NO_TIME = "0001-01-01T00:00:00Z"  # what cosign writes where a time would be


@dataclass(frozen=True, slots=True)
class SimpleSignature:
    """A signature over an image's digest and the name under which it may be used.

    Args:
        payload: the signed bytes.
        signature: DER.
        reference: registry, name and tag; Podman refuses the image under another name.
        digest: of the signed manifest or index.
    """

    payload: bytes
    signature: bytes
    reference: str
    digest: Digest

    @classmethod
    def sign(cls, digest: Digest, reference: str, signer: AuthorisedSigner) -> Self:
        """Sign an image's digest together with its name.

        Raises:
            KeyUnusableError: the key may not sign images, or cannot be reached.
        """
        payload = canonical.dumps(
            {
                "critical": {
                    "identity": {"docker-reference": reference},
                    "image": {"docker-manifest-digest": str(digest)},
                    "type": _KIND,
                },
                "optional": None,
            }
        )
        return cls(payload, signer.signer(SIGNATURE).sign(payload), reference, digest)

    @classmethod
    def read(cls, payload: bytes, signature: str) -> Self:
        """Read a payload and the annotation beside it; nothing is verified.

        Raises:
            MalformedError: it does not follow the specification.
        """
        try:
            found = fields(
                canonical.loads(payload, max_bytes=_LARGEST), "payload", ("critical", "optional")
            )
            critical = fields(found["critical"], "critical", ("identity", "image", "type"))
            identity = fields(critical["identity"], "identity", ("docker-reference",))
            image = fields(critical["image"], "image", ("docker-manifest-digest",))
            if critical["type"] != _KIND:
                raise ValueError(f"another type of signature: {critical['type']!r}")  # noqa: TRY301
            return cls(
                payload,
                unbase64(signature),
                text(identity["docker-reference"], "docker-reference"),
                Digest.parse(text(image["docker-manifest-digest"], "docker-manifest-digest")),
            )
        except ValueError as error:
            raise MalformedError("a simple signature cannot be read", got=error) from error

    def verified_by(self, key: PublicKey) -> bool:
        """Whether this key has signed the payload."""
        return key.verify(self.signature, self.payload)


def signature_tag(subject: Digest) -> str:
    """The tag at which signatures of a subject are kept."""
    return f"sha256-{subject.hex}.sig"


def signature_manifest(subject: Digest, signatures: Sequence[SimpleSignature]) -> Attachment:
    """The manifest at that tag: one layer for each signature."""
    config = canonical.dumps(
        {
            "architecture": "",
            "created": _NO_TIME,
            "history": [{"created": _NO_TIME} for _ in signatures],
            "os": "",
            "rootfs": {
                "type": "layers",
                "diff_ids": [str(Digest.of(one.payload)) for one in signatures],
            },
            "config": {},
        }
    )
    manifest = canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": str(Digest.of(config)),
                "size": len(config),
            },
            "layers": [_layer(one) for one in signatures],
        }
    )
    blobs = (config, *(one.payload for one in signatures))
    return Attachment(manifest, blobs=blobs, tag=signature_tag(subject))


def _layer(one: SimpleSignature) -> dict[str, Any]:
    return {
        "mediaType": PAYLOAD_TYPE,
        "digest": str(Digest.of(one.payload)),
        "size": len(one.payload),
        "annotations": {SIGNATURE_ANNOTATION: to_base64(one.signature)},
    }
