"""The decision: which statements about a subject count, and whether they are enough. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hps.digest import Digest
from hps.errors import IntegrityError, LimitError, MalformedError
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.encoding import to_base64
from hps.trust.policy import Policy, Requirement, TrustedKey
from hps.trust.predicates import PAYLOAD_TYPE, PROVENANCE, SIGNATURE
from hps.trust.simple_signing import SimpleSignature
from hps.trust.statement import Statement
from hps.trust.verdict import Accepted, Form, Reason

MOST_EVIDENCE = 300  # documents that are looked at for one subject: 100 referrers, 200 signatures


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signed document that was found beside a subject.

    Args:
        where: how people find it again.
        document: as it was read, or why it could not be.
        digest: of the bytes of the bundle or envelope, or of the payload of a simple signature.
        alone: the envelope of the bundle was found without one, as older clients keep it.
    """

    where: str
    document: Bundle | SimpleSignature | MalformedError
    digest: Digest | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """Statements that count, why they are not enough, and what did not count."""

    accepted: tuple[Accepted, ...]
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...]


def judge(
    evidence: Sequence[Evidence], subject: Digest, policy: Policy, *, now: datetime
) -> Judgement:
    """Decide whether what was found is what the policy asks for.

    Evidence that does not count makes nothing bad as long as the rest is enough: anybody who may
    write to a registry can lay a document beside an image.

    Args:
        evidence: everything that was found, in any order.
        subject: digest of what it must speak of.
        policy: whom to trust.
        now: against which the end of a statement's validity is held.
    """
    accepted: list[Accepted] = []
    refused: list[Reason] = []
    for one in evidence[:MOST_EVIDENCE]:
        found = _weigh(one, subject, policy, now)
        if isinstance(found, Accepted):
            accepted.append(found)
        else:
            refused.append(found)
    if len(evidence) > MOST_EVIDENCE:
        text = f"{len(evidence)} documents, {MOST_EVIDENCE} were looked at"
        refused.append(Reason("limit-exceeded", "evidence", text))
    if not evidence and policy.allow_unsigned:
        note = Reason("unsigned", "evidence", "nothing is signed, which the policy allows")
        return Judgement((), (), (note,))
    unmet = [reason for one in policy.requirements for reason in _unmet(one, accepted, evidence)]
    if not policy.requirements or not policy.keys:
        unmet.append(Reason("key-untrusted", "policy", "the policy trusts no key or asks nothing"))
    if unmet:
        return Judgement(tuple(accepted), (*unmet, *refused), ())
    return Judgement(tuple(accepted), (), tuple(refused))


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a document says, whatever its form."""

    predicate_type: str
    about: tuple[Digest, ...]
    builder: str | None = None
    late: str | None = None


def _weigh(evidence: Evidence, subject: Digest, policy: Policy, now: datetime) -> Accepted | Reason:
    document, where = evidence.document, evidence.where
    try:
        if isinstance(document, MalformedError):
            raise document
        key = _signer(document, subject, policy.keys)
        if key is None:
            return _stranger(where, document, policy.keys)
        claim = _claim(document, now)
    except MalformedError as error:
        return malformed(error, where)
    if claim.predicate_type not in key.predicates:
        text = f"the key {key.name} may not make statements of the kind {claim.predicate_type}"
        return Reason("predicate-not-allowed", where, text)
    if subject not in claim.about:
        text = f"it is about {claim.about[0]}, not about {subject}"
        return Reason("subject-mismatch", where, text)
    if claim.late is not None:
        return Reason("expired", where, claim.late)
    return Accepted(
        claim.predicate_type,
        key.name,
        key.public.fingerprint,
        claim.builder,
        "attestation" if evidence.alone else _form(document),
        where,
        evidence.digest,
    )


def _form(document: Bundle | SimpleSignature) -> Form:
    if isinstance(document, SimpleSignature):
        return "simple-signing"
    return "bundle" if isinstance(document.content, Envelope) else "message-signature"


def malformed(error: IntegrityError, where: str) -> Reason:
    """Which reason an error of reading is: damaged bytes, or a document that is none."""
    found = [error.got] if error.got and error.got not in error.message else []
    text = "; ".join([error.message, *error.details, *found])
    if isinstance(error, LimitError):
        return Reason("limit-exceeded", where, text)
    if isinstance(error, MalformedError):
        return Reason("document-malformed", where, text)
    return Reason("blob-damaged", where, text)


def _claim(document: Bundle | SimpleSignature, now: datetime) -> _Claim:
    if isinstance(document, SimpleSignature):
        return _Claim(SIGNATURE, (document.digest,))
    if not isinstance(document.content, Envelope):
        return _Claim(SIGNATURE, (document.content.digest,))
    if document.content.payload_type != PAYLOAD_TYPE:
        raise MalformedError("the payload is no statement", got=document.content.payload_type)
    statement = Statement.from_bytes(document.content.payload)
    about = tuple(one.digest for one in statement.subjects)
    return _Claim(statement.predicate_type, about, _builder(statement), _expired(statement, now))


def _signer(
    document: Bundle | SimpleSignature, subject: Digest, keys: Iterable[TrustedKey]
) -> TrustedKey | None:
    for key in keys:
        if isinstance(document, SimpleSignature):
            if document.verified_by(key.public):
                return key
        elif document.verified_by(key.public, subject):
            return key
    return None


def _stranger(where: str, document: Bundle | SimpleSignature, keys: Iterable[TrustedKey]) -> Reason:
    hint = document.hint if isinstance(document, Bundle) else ""
    for key in keys:
        if hint and hint == to_base64(bytes.fromhex(key.public.fingerprint)):
            text = f"it names the key {key.name}, which did not make it"
            return Reason("signature-invalid", where, text)
    if isinstance(document, Bundle) and document.certified:
        return Reason("key-untrusted", where, "it carries a certificate; hps trusts bare keys")
    return Reason("key-untrusted", where, "no key of the policy made it")


def _builder(statement: Statement) -> str | None:
    """Who built it (SLSA provenance v1, runDetails.builder.id)."""
    if statement.predicate_type != PROVENANCE:
        return None
    found: object = statement.predicate
    for name in ("runDetails", "builder", "id"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def _expired(statement: Statement, now: datetime) -> str | None:
    """Why a statement no longer holds; those that name no end hold for ever."""
    own = statement.predicate.get("hps")
    end = own.get("expires") if isinstance(own, dict) else None
    if end is None:
        return None
    try:
        until = datetime.strptime(end, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (ValueError, TypeError):
        return f"the end of its validity cannot be read: {end!r}"
    return None if now < until else f"it was valid until {end}"


def _unmet(
    requirement: Requirement, accepted: Iterable[Accepted], evidence: Sequence[Evidence]
) -> list[Reason]:
    kind = requirement.predicate_type
    if not evidence:
        return [Reason("unsigned", kind, "nothing is signed")]
    of_kind = [
        one for one in accepted if one.predicate_type == kind and one.key in requirement.keys
    ]
    allowed = [
        one for one in of_kind if not requirement.builders or one.builder in requirement.builders
    ]
    # By key and not by signature: one signature has a twin that is as good (r, n - s).
    count = len({one.fingerprint for one in allowed})
    if count >= requirement.threshold:
        return []
    if count or requirement.threshold > 1:
        text = f"{count} of {requirement.threshold} different keys"
        found = [Reason("threshold", kind, text)]
    else:
        found = [Reason("predicate-missing", kind, "no trusted key made such a statement")]
    strange = sorted({one.builder or "none" for one in of_kind if one not in allowed})
    return found + [
        Reason("builder-not-allowed", kind, f"the builder is {name}") for name in strange
    ]
