"""The decision: which of the traces that were found is believed. Pure.

Who counts is policy (docs/reference/policy.md): its keys that may make traces, and what it requires
of the kind `trace`; without such a requirement one of these keys is enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hps.cache.documents import stated_outputs
from hps.cache.expectation import Outputs
from hps.digest import Blob, Digest
from hps.errors import MalformedError
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.evidence import bundle_evidence
from hps.trust.judge import judge, malformed
from hps.trust.policy import Policy, Requirement, TrustedKey
from hps.trust.predicates import TRACE
from hps.trust.statement import Statement
from hps.trust.verdict import Reason

_Said = frozenset[tuple[str, Blob]]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed trace as it was found.

    Args:
        where: how people find it again.
        data: the bundle.
    """

    where: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a derivation came out as somebody says.

    Args:
        outputs: what is believed; None when nothing is.
        signers: names of the keys that say so.
        documents: the bundles that say so, to be looked at again when the policy has changed.
        reasons: why others do not count, or why nothing is believed.
    """

    outputs: Outputs | None
    signers: tuple[str, ...] = ()
    documents: tuple[bytes, ...] = ()
    reasons: tuple[Reason, ...] = ()


def requirements_of(policy: Policy) -> tuple[Requirement, ...]:
    """What a policy asks of traces; empty when none of its keys may make one."""
    able = tuple(key.name for key in policy.keys if TRACE in key.predicates)
    return () if not able else policy.traces or (Requirement(TRACE, able),)


def keys_of(policy: Policy) -> tuple[TrustedKey, ...]:
    """The keys whose traces are looked for."""
    named = {name for one in requirements_of(policy) for name in one.keys}
    return tuple(key for key in policy.keys if key.name in named and TRACE in key.predicates)


def decide(
    derivation: Digest, found: Sequence[Signed], policy: Policy, *, now: datetime
) -> Decision:
    """Believe what the policy asks for, if all who count say the same.

    Signatures are verified before anything is read. Two answers that both meet the policy are
    believed neither: one of them is wrong, and nobody here knows which.

    Args:
        derivation: what it must be about.
        found: in any order.
        policy: whom to trust.
        now: against which the end of a statement's validity is held.
    """
    requirements = requirements_of(policy)
    if not requirements:
        text = "no key of the policy may make traces"
        return Decision(None, reasons=(Reason("key-untrusted", "policy", text),))
    one_is_enough = replace(
        policy, requirements=(Requirement(TRACE, tuple(key.name for key in policy.keys)),)
    )
    said: dict[_Said, dict[str, Signed]] = {}
    refused: list[Reason] = []
    for one in found:
        weighed = _weigh(derivation, one, one_is_enough, now)
        if isinstance(weighed, Reason):
            refused.append(weighed)
            continue
        outputs, signer = weighed
        said.setdefault(frozenset(outputs.items()), {})[signer] = one
    enough = [outputs for outputs, by in said.items() if _meets(requirements, by)]
    if len(enough) == 1:
        by = said[enough[0]]
        others = tuple(
            Reason("threshold", signed.where, "it says something else than the others")
            for outputs, signers in said.items()
            if outputs != enough[0]
            for signed in signers.values()
        )
        documents = tuple(signed.data for signed in by.values())
        return Decision(dict(sorted(enough[0])), tuple(by), documents, (*refused, *others))
    return Decision(None, reasons=(*refused, *_unmet(said, enough)))


def _weigh(
    derivation: Digest, one: Signed, policy: Policy, now: datetime
) -> tuple[Outputs, str] | Reason:
    evidence = bundle_evidence(one.where, one.data)
    judgement = judge([evidence], derivation, policy, now=now)
    accepted = next((each for each in judgement.accepted if each.predicate_type == TRACE), None)
    if accepted is None or judgement.reasons:
        # The last one is about this document, those before it about what the policy then misses.
        return judgement.reasons[-1]
    document = evidence.document
    content = document.content if isinstance(document, Bundle) else None
    if not isinstance(content, Envelope):
        return Reason("predicate-not-allowed", one.where, "it is no statement")
    try:
        return stated_outputs(Statement.from_bytes(content.payload)), accepted.key
    except MalformedError as error:
        return malformed(error, one.where)


def _meets(requirements: Iterable[Requirement], by: Mapping[str, Signed]) -> bool:
    return all(len(by.keys() & set(one.keys)) >= one.threshold for one in requirements)


def _unmet(
    said: Mapping[_Said, Mapping[str, Signed]], enough: Sequence[_Said]
) -> tuple[Reason, ...]:
    if len(enough) > 1:
        signers = sorted({name for outputs in enough for name in said[outputs]})
        text = f"{', '.join(signers)} say different things, and each would be enough"
        return (Reason("threshold", "trace", text),)
    if said:
        count = max(len(by) for by in said.values())
        return (Reason("threshold", "trace", f"{count} keys say the same, which is too few"),)
    return ()
