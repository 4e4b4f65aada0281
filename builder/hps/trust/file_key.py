"""Private keys in files: PKCS#8 in PEM, encrypted or not."""

from collections.abc import Callable
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hps.errors import KeyUnusableError
from hps.trust.public_key import PublicKey

_LARGEST = 16 << 10  # bytes of a file that may hold a key


class FileKey:
    """A private key that this process holds in memory.

    Signatures are deterministic (RFC 6979): the same key and message give the same bytes, so that
    an image that is built again carries the same bundles.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        public = key.public_key()
        self._public = PublicKey(
            public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )

    @classmethod
    def generate(cls) -> Self:
        """A new key from the system's random numbers."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, data: bytes, passphrase: Callable[[], bytes]) -> Self:
        """Read a PEM block `PRIVATE KEY` or `ENCRYPTED PRIVATE KEY` (RFC 5958, RFC 7468).

        Args:
            data: the file.
            passphrase: asked only when the key is encrypted.

        Raises:
            KeyUnusableError: it is none, of another kind than P-256, or the passphrase is wrong.
        """
        if len(data) > _LARGEST or data.count(b"-----BEGIN ") != 1:
            raise _unusable("it is not one PEM block PRIVATE KEY")
        encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data
        if not encrypted and b"-----BEGIN PRIVATE KEY-----" not in data:
            raise _unusable("it is not in PKCS#8", hint="openssl pkcs8 -topk8 converts it")
        secret = passphrase() if encrypted else None
        try:
            key = load_pem_private_key(data, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            fault = "the passphrase is wrong, or it is damaged" if encrypted else "it is damaged"
            raise _unusable(fault) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise _unusable(f"it is a key of another kind ({type(key).__name__})")
        return cls(key)

    def pem(self, passphrase: bytes | None) -> bytes:
        """As PKCS#8 in PEM, encrypted when there is a passphrase."""
        protection: KeySerializationEncryption = (
            BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        )
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """See Signer."""
        return self._key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def _unusable(fault: str, hint: str | None = None) -> KeyUnusableError:
    return KeyUnusableError(
        f"a private key cannot be used: {fault}",
        expected="one ECDSA key over P-256 in PKCS#8, as PEM",
        hint=hint,
    )
