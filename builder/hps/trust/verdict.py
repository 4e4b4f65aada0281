"""What a verification found: reasons with codes, and one exit code that is their sum."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hps.digest import Digest

# The exit code of `hps verify` is the sum of the bits that occur. Smaller codes mean that it could
# not be checked at all: usage 2, fetching 4, a bug 1.
MALFORMED = 8
SIGNATURE = 16
POLICY = 32
CONTENT = 64
FRESHNESS = 128

REASONS: dict[str, tuple[int, str]] = {
    "document-malformed": (MALFORMED, "a document does not follow its specification"),
    "limit-exceeded": (MALFORMED, "something is larger or more than any honest one"),
    "unsigned": (SIGNATURE, "nothing is signed"),
    "key-untrusted": (SIGNATURE, "no key of the policy made a signature"),
    "signature-invalid": (SIGNATURE, "a signature that names a trusted key is not its own"),
    "threshold": (SIGNATURE, "fewer different keys than the policy asks for have signed"),
    "predicate-missing": (POLICY, "a statement that the policy asks for is not there"),
    "predicate-not-allowed": (POLICY, "a key signed a kind of statement that it may not sign"),
    "subject-mismatch": (POLICY, "a statement is about something else"),
    "builder-not-allowed": (POLICY, "a builder that the policy does not allow made it"),
    "blob-damaged": (CONTENT, "bytes are not what their digest says"),
    "blob-missing": (CONTENT, "a blob that is named is not there"),
    "blob-extra": (CONTENT, "something is there that nothing names"),
    "expired": (FRESHNESS, "a statement is no longer valid"),
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
        return REASONS[self.code][0]

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
    older: bool = False  # a simple signature

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "predicate": self.predicate_type,
            "key": self.key,
            "fingerprint": self.fingerprint,
            "builder": self.builder,
            "form": "simple-signing" if self.older else "bundle",
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
    """

    subject: str
    digest: Digest | None
    accepted: tuple[Accepted, ...] = ()
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Reason, ...] = ()

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
