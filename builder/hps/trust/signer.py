"""The port to a private key: whatever holds it, it signs messages and shows its public half."""

from typing import Protocol

from hps.trust.public_key import PublicKey


class Signer(Protocol):
    """A private key somewhere: in a file, in a hardware token."""

    @property
    def public(self) -> PublicKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """A DER signature over the sha256 of the message (ECDSA, P-256).

        Raises:
            KeyUnusableError: the key cannot be reached.
        """
        ...
