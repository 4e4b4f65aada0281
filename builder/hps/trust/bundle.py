"""Sigstore bundles, version 0.3: a signature with what is needed to check it.

sigstore/protobuf-specs, sigstore_bundle.proto. hps writes bundles for bare keys with a DSSE
envelope; it reads those and the `messageSignature` that `cosign sign-blob` writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hps import canonical
from hps.digest import Digest
from hps.errors import MalformedError
from hps.oci.shape import fields, items, text
from hps.trust.authorised import AuthorisedSigner
from hps.trust.dsse import Envelope
from hps.trust.encoding import to_base64, unbase64
from hps.trust.predicates import PAYLOAD_TYPE
from hps.trust.public_key import PublicKey
from hps.trust.statement import Statement

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
LARGEST = 64 << 20  # bytes; one that holds a large SBOM has a few
_MOST_LOG_ENTRIES = 32
_SHA256 = "SHA2_256"


@dataclass(frozen=True, slots=True)
class MessageSignature:
    """A signature over bytes that are elsewhere, known by their digest."""

    digest: Digest
    signature: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signature, and whose it claims to be.

    Args:
        content: an envelope, or the signature of a file.
        hint: names the key; nobody has signed it, so it selects nothing and is shown only.
        certified: the bundle carries a certificate instead of naming a key.
        log_entries: how many entries of transparency logs it carries; they are not checked here.
    """

    content: Envelope | MessageSignature
    hint: str = ""
    certified: bool = False
    log_entries: int = 0

    @classmethod
    def sign(cls, statement: Statement, signer: AuthorisedSigner) -> Self:
        """Sign a statement; the hint is what cosign writes: base64 of the key's sha256.

        Raises:
            KeyUnusableError: the key may not sign such a statement, or cannot be reached.
        """
        key = signer.signer(statement.predicate_type)
        envelope = Envelope.sign(PAYLOAD_TYPE, statement.as_bytes(), key)
        return cls(envelope, to_base64(bytes.fromhex(signer.public.fingerprint)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a bundle; nothing is verified.

        Raises:
            MalformedError: it does not follow the specification, or is too large.
        """
        try:
            return cls._parsed(canonical.loads(data, max_bytes=LARGEST))
        except ValueError as error:
            raise MalformedError("a bundle cannot be read", got=error) from error

    @classmethod
    def _parsed(cls, value: object) -> Self:
        found = fields(
            value,
            "bundle",
            ("mediaType", "verificationMaterial"),
            ("dsseEnvelope", "messageSignature"),
        )
        if found["mediaType"] != BUNDLE_TYPE:
            raise ValueError(f"another type of bundle: {found['mediaType']!r}")
        if ("dsseEnvelope" in found) == ("messageSignature" in found):
            raise ValueError("a bundle holds either an envelope or a message signature")
        material = fields(
            found["verificationMaterial"],
            "verificationMaterial",
            (),
            (
                "publicKey",
                "certificate",
                "x509CertificateChain",
                "tlogEntries",
                "timestampVerificationData",
            ),
        )
        key = fields(material.get("publicKey", {}), "publicKey", (), ("hint",))
        entries = items(material.get("tlogEntries", []), "tlogEntries", most=_MOST_LOG_ENTRIES)
        content: Envelope | MessageSignature = (
            Envelope.from_json(found["dsseEnvelope"])
            if "dsseEnvelope" in found
            else _message_signature(found["messageSignature"])
        )
        return cls(
            content,
            text(key.get("hint", ""), "hint"),
            certified="certificate" in material or "x509CertificateChain" in material,
            log_entries=len(entries),
        )

    def as_bytes(self) -> bytes:
        """The one form in which hps writes it.

        Raises:
            TypeError: it is not one that hps writes: without an envelope, or with a certificate.
        """
        if not isinstance(self.content, Envelope) or self.certified:
            raise TypeError("hps writes bundles with an envelope and a bare key")
        document: Mapping[str, Any] = {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": self.content.as_json(),
        }
        return canonical.dumps(document)

    def verified_by(self, key: PublicKey, message: Digest | None = None) -> bool:
        """Whether this key has signed the content.

        A message signature is over the bytes of a file: `message` is their digest, computed from
        the bytes and not taken from the bundle.
        """
        if isinstance(self.content, Envelope):
            return self.content.verified_by(key)
        if message is None or message != self.content.digest:
            return False
        return key.verify_digest(self.content.signature, message)


def _message_signature(value: object) -> MessageSignature:
    found = fields(value, "messageSignature", ("messageDigest", "signature"))
    digest = fields(found["messageDigest"], "messageDigest", ("algorithm", "digest"))
    if digest["algorithm"] != _SHA256:
        raise ValueError(f"another digest algorithm: {digest['algorithm']!r}")
    return MessageSignature(Digest(unbase64(digest["digest"]).hex()), unbase64(found["signature"]))
