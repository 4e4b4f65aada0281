"""DSSE envelopes: signed bytes together with what they are (secure-systems-lab/dsse, v1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hps import canonical
from hps.errors import MalformedError
from hps.oci.shape import fields, items, text
from hps.trust.encoding import to_base64, unbase64
from hps.trust.public_key import PublicKey
from hps.trust.signer import Signer

# The layers of older attestations (sigstore/cosign, specs/ATTESTATION_SPEC.md).
ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
LARGEST = 64 << 20  # bytes; one that holds a large SBOM has a few


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed (DSSE protocol.md, "Signature Definition", PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type and one signature.

    More than one signature is refused: sigstore bundles allow one, and a threshold is counted over
    bundles. Key ids are hints that nobody signed; they are neither written nor looked at.
    """

    payload_type: str
    payload: bytes
    signature: bytes

    @classmethod
    def sign(cls, payload_type: str, payload: bytes, signer: Signer) -> Self:
        """Sign a payload."""
        return cls(payload_type, payload, signer.sign(pae(payload_type, payload)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an envelope that stands alone; nothing is verified.

        Raises:
            MalformedError: it does not follow the specification, or is too large.
        """
        try:
            return cls.from_json(canonical.loads(data, max_bytes=LARGEST))
        except ValueError as error:
            raise MalformedError("an envelope cannot be read", got=error) from error

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read an envelope that `canonical.loads` gave; raises ValueError."""
        found = fields(value, "envelope", ("payload", "payloadType", "signatures"))
        signatures = items(found["signatures"], "signatures", most=1, least=1)
        signature = fields(signatures[0], "signature", ("sig",), ("keyid",))
        text(signature.get("keyid", ""), "keyid")
        return cls(
            text(found["payloadType"], "payloadType"),
            unbase64(found["payload"]),
            unbase64(signature["sig"]),
        )

    def as_json(self) -> Mapping[str, Any]:
        """As it stands in a bundle."""
        return {
            "payload": to_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"sig": to_base64(self.signature)}],
        }

    def verified_by(self, key: PublicKey) -> bool:
        """Whether this key has signed the payload under its type."""
        return key.verify(self.signature, pae(self.payload_type, self.payload))
