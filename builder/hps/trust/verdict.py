"""What a verification found: reasons with codes, and one exit code that is their sum."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hps.digest import Digest
from hps.errors import UntrustedError
from hps.store.foreign_text import printable

# The exit code of `hps verify` is the sum of the bits that occur. Smaller codes mean that it could
# not be checked at all: usage 2, fetching 4, a bug 1.
MALFORMED = 8
SIGNATURE = 16
POLICY = 32
CONTENT = 64
FRESHNESS = 128
_MOST_REASONS = 20  # that one error lists; anybody can lay documents beside an image

# A statement in the envelope of a bundle or in one that stands alone, a bare signature of a file,
# or a simple signature of an image.
Form = Literal["bundle", "attestation", "message-signature", "simple-signing"]


class Kind(NamedTuple):
    """What a reason code stands for."""

    bit: int  # its part of the exit code
    meaning: str
    advice: str  # what to do next


REASONS: dict[str, Kind] = {
    "document-malformed": Kind(
        MALFORMED,
        "a document does not follow its specification",
        "do not use it; ask who made it for another copy",
    ),
    "limit-exceeded": Kind(
        MALFORMED,
        "something is larger, slower or more than any honest one",
        "do not use it; --timeout allows more time",
    ),
    "unsigned": Kind(
        SIGNATURE,
        "nothing is signed",
        "ask who made it for its signature; your own: hps build --key NAME, hps sign FILE",
    ),
    "key-untrusted": Kind(
        SIGNATURE,
        "no key of the policy made a signature",
        "get the key from its owner by another way, and name it in the policy",
    ),
    "signature-invalid": Kind(
        SIGNATURE,
        "a signature that names a trusted key is not its own",
        "somebody forged or damaged it: do not use it, and tell the owner of the key",
    ),
    "threshold": Kind(
        SIGNATURE,
        "fewer different keys than the policy asks for have signed",
        "wait for the others, for instance with hps rebuild --attest",
    ),
    "predicate-missing": Kind(
        POLICY,
        "a statement that the policy asks for is not there",
        "ask who made it for the statement, or change what the policy requires",
    ),
    "predicate-not-allowed": Kind(
        POLICY,
        "a key signed a kind of statement that it may not sign",
        "ask the owner of the key why; allow it in the policy only if that is meant",
    ),
    "subject-mismatch": Kind(
        POLICY,
        "it is, or a statement is about, something else than was asked for",
        "compare the digest with the one that its maker published",
    ),
    "builder-not-allowed": Kind(
        POLICY,
        "a builder that the policy does not allow made it",
        "build it where the policy wants it, or allow the builder",
    ),
    "blob-damaged": Kind(
        CONTENT,
        "bytes are not what their digest says",
        "do not use it; copy or build it again",
    ),
    "blob-missing": Kind(
        CONTENT,
        "something that is named is not there",
        "copy or build it again",
    ),
    "blob-extra": Kind(
        CONTENT,
        "something is there that nothing names",
        "find out who put it there; remove it, or copy or build it again",
    ),
    "expired": Kind(
        FRESHNESS,
        "a statement is no longer valid",
        "get a newer one; look whether this machine's clock is right",
    ),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong, or noteworthy.

    Args:
        code: one of `REASONS`.
        where: which document, blob or key.
        text: what was found there.
    """

    code: str
    where: str
    text: str

    @property
    def bit(self) -> int:
        """Its part of the exit code."""
        return REASONS[self.code].bit

    def as_json(self) -> dict[str, str]:
        """For `--json`."""
        return {"code": self.code, "where": self.where, "text": self.text}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A statement that a trusted key made about the subject, and may make."""

    predicate_type: str
    key: str  # its name in the policy
    fingerprint: str
    builder: str | None = None
    form: Form = "bundle"
    where: str = ""  # how people find the document again
    document: Digest | None = None  # of the bundle, envelope, or simple payload

    @property
    def older(self) -> bool:
        """Whether it is a simple signature."""
        return self.form == "simple-signing"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "predicate": self.predicate_type,
            "key": self.key,
            "fingerprint": self.fingerprint,
            "builder": self.builder,
            "form": self.form,
            "where": self.where,
            "document": None if self.document is None else str(self.document),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found about one subject.

    Args:
        subject: what was asked about: a path or a reference.
        digest: of the manifest or file, when it could be computed.
        accepted: statements that count.
        reasons: why it is bad; none when it is good.
        notes: what was refused without making it bad, such as a stranger's signature.
        hashed: whether every byte of it was read; what nobody trusted has signed is not.
        listed_by: the index that lists it, when that was asked about and not the image itself.
    """

    subject: str
    digest: Digest | None
    accepted: tuple[Accepted, ...] = ()
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Reason, ...] = ()
    hashed: bool = False
    listed_by: Digest | None = None

    @property
    def good(self) -> bool:
        """Whether it may be used."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "subject": self.subject,
            "digest": None if self.digest is None else str(self.digest),
            "verdict": "good" if self.good else "bad",
            "hashed": self.hashed,
            "index": None if self.listed_by is None else str(self.listed_by),
            "reasons": [reason.as_json() for reason in self.reasons],
            "accepted": [one.as_json() for one in self.accepted],
            "notes": [note.as_json() for note in self.notes],
        }


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """The sum of the bits of all reasons; 0 when all is good."""
    code = 0
    for verdict in verdicts:
        for reason in verdict.reasons:
            code |= reason.bit
    return code


def require_good(verdicts: Iterable[Verdict], what: str) -> None:
    """Refuse what is not good in every part.

    Args:
        verdicts: about all of it.
        what: for the error: `the image registry.example.org/app:1`.

    Raises:
        UntrustedError: lists every reason, and advises about the first.
    """
    bad = [(one, reason) for one in verdicts for reason in one.reasons]
    if bad:
        raise UntrustedError(
            f"{what} is not what the policy trusts",
            details=tuple(
                printable(f"{one.subject}: {reason.code} ({reason.where}): {reason.text}", 500)
                for one, reason in bad[:_MOST_REASONS]
            ),
            hint=REASONS[bad[0][1].code].advice,
        )
