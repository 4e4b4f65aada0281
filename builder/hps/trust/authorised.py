"""A key together with what it may sign: the only way in which hps signs anything."""

from dataclasses import dataclass

from hps.errors import KeyUnusableError
from hps.trust.public_key import PublicKey
from hps.trust.signer import Signer


@dataclass(frozen=True, slots=True)
class AuthorisedSigner:
    """A key that signs nothing but statements of the kinds on its list.

    It is no Signer itself, so that no bytes can be signed without saying what they are.

    Args:
        key: the private key.
        predicates: URIs of the statements that it may sign.
        name: what its owner calls it.
        builder: the builder that it speaks for (SLSA provenance, `builder.id`).
    """

    key: Signer
    predicates: tuple[str, ...]
    name: str = ""
    builder: str = ""

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self.key.public

    @property
    def builder_id(self) -> str:
        """The builder that it speaks for; without a name of its own, called after the key."""
        return self.builder or default_builder(self.public)

    def signer(self, predicate_type: str) -> Signer:
        """The key, for statements of this kind.

        Raises:
            KeyUnusableError: it may not sign such statements.
        """
        if predicate_type not in self.predicates:
            name = self.name or self.public.fingerprint[:16]
            raise KeyUnusableError(
                f"the key {name} may not sign statements of the kind {predicate_type}",
                expected="one of: " + (", ".join(self.predicates) or "none"),
                hint="use a key of another role; hps key list shows what each may sign",
            )
        return self.key


def default_builder(key: PublicKey) -> str:
    """What a builder is called when its owner gave it no name."""
    return f"urn:hps:builder:{key.fingerprint}"
