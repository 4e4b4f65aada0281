"""Why a model is refused: reasons with codes that are stable."""

from dataclasses import dataclass
from enum import StrEnum

from hps.trust.verdict import CONTENT, FRESHNESS, MALFORMED, POLICY, SIGNATURE


class Reason(StrEnum):
    """Why a release is refused; a label of metrics and of `history`, and stable."""

    MALFORMED = "manifest-malformed"  # no manifest, or one that contradicts itself
    UNSIGNED = "unsigned"
    UNTRUSTED_KEY = "untrusted-key"
    WRONG_ROLE = "wrong-role"  # a trusted key that may not sign model releases
    REVOKED_KEY = "revoked-key"
    THRESHOLD = "threshold-not-met"
    UNSEQUENCED = "unsequenced"  # signed by other tools, without name and number
    NO_CHECKSUMS = "no-checksums"
    WRONG_MODEL = "wrong-model"
    WRONG_CHANNEL = "wrong-channel"
    UNFIT_RUNTIME = "unfit-runtime"
    GROUP_INCOMPLETE = "group-incomplete"
    ROLLBACK = "rollback"  # older than what was seen
    EQUIVOCATION = "equivocation"  # the number of another release
    FAST_FORWARD = "fast-forward"  # a number that leaves no room, or leaps
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    CLOCK_BEHIND = "clock-behind"  # this machine's clock has been later than it is
    SET_MISMATCH = "set-mismatch"  # a file is missing or too much
    DIGEST_MISMATCH = "digest-mismatch"
    MODE_MISMATCH = "mode-mismatch"
    UNSAFE_FILE = "unsafe-file"  # a link, device or name that no model needs

    @property
    def bit(self) -> int:
        """Its part of the exit code of `hps model verify`, as in `hps verify`."""
        return _BITS[self]


_BITS = {
    **dict.fromkeys(Reason, POLICY),
    Reason.MALFORMED: MALFORMED,
    Reason.UNSIGNED: SIGNATURE,
    Reason.UNTRUSTED_KEY: SIGNATURE,
    Reason.REVOKED_KEY: SIGNATURE,
    Reason.THRESHOLD: SIGNATURE,
    Reason.NO_CHECKSUMS: SIGNATURE,
    Reason.ROLLBACK: FRESHNESS,
    Reason.EQUIVOCATION: FRESHNESS,
    Reason.FAST_FORWARD: FRESHNESS,
    Reason.EXPIRED: FRESHNESS,
    Reason.NOT_YET_VALID: FRESHNESS,
    Reason.CLOCK_BEHIND: FRESHNESS,
    Reason.SET_MISMATCH: CONTENT,
    Reason.DIGEST_MISMATCH: CONTENT,
    Reason.MODE_MISMATCH: CONTENT,
    Reason.UNSAFE_FILE: CONTENT,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that is wrong.

    Args:
        reason: the kind of it.
        text: what was found, in one line.
        path: the file of the model that it is about, if it is about one.
    """

    reason: Reason
    text: str
    path: str = ""

    def as_json(self) -> dict[str, str]:
        """For `--json` and the journal."""
        return {"reason": str(self.reason), "path": self.path, "text": self.text}
