"""Public keys: ECDSA over NIST P-256 with SHA-256, the one kind that every client takes."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from hps.digest import Digest
from hps.errors import KeyUnusableError
from hps.trust.encoding import unbase64

_PEM = re.compile(
    rb"-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PUBLIC KEY-----\s*"
)
_LARGEST = 8192  # bytes of a file that may hold a key; a P-256 key takes 178
_ALGORITHM = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class PublicKey:
    """A public key, compared and named by its DER form.

    Args:
        der: SubjectPublicKeyInfo (RFC 5280, 4.1.2.7; RFC 5480), in the one form that cryptography
            writes: uncompressed point, named curve.
    """

    der: bytes

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Read SubjectPublicKeyInfo.

        Raises:
            KeyUnusableError: it is none, or of another kind than P-256.
        """
        try:
            key = load_der_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _unusable("it is no public key") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise _unusable(f"it is a key of another kind ({type(key).__name__})")
        return cls(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @classmethod
    def from_pem(cls, data: bytes) -> Self:
        """Read one PEM block `PUBLIC KEY` (RFC 7468, section 13), and nothing beside it.

        Raises:
            KeyUnusableError: it is none, several, a private key, or of another kind than P-256.
        """
        if b"PRIVATE KEY-----" in data[:_LARGEST]:
            raise _unusable("it is a private key", hint="hps key export NAME gives the public one")
        found = _PEM.fullmatch(data.strip() + b"\n") if len(data) <= _LARGEST else None
        if found is None:
            raise _unusable("it is not one PEM block PUBLIC KEY")
        try:
            der = unbase64(b"".join(found[1].split()).decode("ascii"))
        except ValueError as error:
            raise _unusable("its base64 is damaged") from error
        return cls.from_der(der)

    @property
    def pem(self) -> bytes:
        """As a PEM block `PUBLIC KEY`."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """The hexadecimal sha256 of the DER form: the name by which a key is counted."""
        return Digest.of(self.der).hex

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether a DER signature (RFC 3279, 2.2.3) over the sha256 of the message is good."""
        try:
            self._key.verify(signature, message, _ALGORITHM)
        except InvalidSignature:
            return False
        return True

    def verify_digest(self, signature: bytes, digest: Digest) -> bool:
        """As `verify`, for a message that is known by its sha256."""
        algorithm = ec.ECDSA(Prehashed(hashes.SHA256()))
        try:
            self._key.verify(signature, bytes.fromhex(digest.hex), algorithm)
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> ec.EllipticCurvePublicKey:
        key = load_der_public_key(self.der)
        if not isinstance(key, ec.EllipticCurvePublicKey):  # pragma: no cover - from_der saw to it
            raise TypeError("not a key over an elliptic curve")
        return key


def _unusable(fault: str, hint: str | None = None) -> KeyUnusableError:
    return KeyUnusableError(
        f"a public key cannot be used: {fault}",
        expected="one ECDSA key over P-256, as PEM block PUBLIC KEY",
        hint=hint or "hps key generate makes such a key; openssl pkey -pubin -text shows a key",
    )
