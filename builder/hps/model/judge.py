"""The decision: whether a release may go live, and if not, why. Pure.

Nothing is read here and nobody is asked the time: what was signed, what was accepted before, the
rules and the clock come in as values. The order of releases and their end follow The Update
Framework 1.0, section 1.5.2 (rollback, fast-forward, freeze and mix-and-match attacks).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hps.model.manifest import Signed
from hps.model.policy import Allowance, Known, ModelPolicy, Trust
from hps.model.refusal import Reason, Refusal
from hps.model.release import ModelRelease, fits, time_text
from hps.trust.predicates import MODEL

# Half of what numbers can be (RFC 7493, 2.2): room is left above any release that is accepted.
HIGHEST_SEQUENCE = 2**52
# What an operator's word makes good: an older release, one that has ended. Nothing else.
_WAIVED = frozenset({Reason.ROLLBACK, Reason.EXPIRED})


class Change(StrEnum):
    """What going live with a release means for the model."""

    NEW = "new"
    SAME = "same"  # the one that was accepted last
    OPERATOR_ROLLBACK = "operator-rollback"
    UNKNOWN = "unknown"  # nobody trusted has given it a number


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided.

    Args:
        refusals: why not; none when the release is accepted.
        change: what it means.
        notes: what people should know of an accepted release, a line each.
        known: what to remember once it is live; as before when it is refused.
    """

    refusals: tuple[Refusal, ...]
    change: Change
    notes: tuple[str, ...]
    known: Known

    @property
    def accepted(self) -> bool:
        """Whether the release may go on; its files are held against it next."""
        return not self.refusals


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model brought along.

    Args:
        signed: what its manifests say; None when it has none.
        listed: whether there are checksums of it.
        group: the releases of the other models that are offered at the same time.
        fault: why its manifests or checksums cannot be read.
    """

    signed: Signed | None = None
    listed: bool = False
    group: Sequence[ModelRelease] = ()
    fault: str = ""


def judge(
    offer: Offer,
    policy: ModelPolicy,
    known: Known,
    *,
    now: datetime,
    allowance: Allowance | None = None,
) -> Judgement:
    """Decide whether what is offered may go live, before a byte of its files is looked at.

    All reasons are given; but of a release that too few trusted keys have signed nothing is
    believed, so nothing more is said of it.

    Args:
        offer: what was found.
        policy: the rules.
        known: what was accepted before.
        now: this machine's clock, in UTC.
        allowance: an operator's word for this very release.
    """
    if policy.trust is not Trust.SIGNATURE:
        return _judge_unsigned(offer, policy, known)
    refusals = tuple(_signature_refusals(offer, policy))
    if refusals or offer.signed is None or offer.signed.release is None:
        return Judgement(refusals, Change.UNKNOWN, (), known)
    before, notes = _remembered(known, policy)
    case = _Case(offer.signed.release, policy, before, now)
    refusals = (*case.refusals(), *group_refusals(case.release, offer.group))
    if allowance is not None and allowance.identity == case.release.identity:
        waived = [one for one in refusals if one.reason in _WAIVED]
        refusals = tuple(one for one in refusals if one.reason not in _WAIVED)
        notes += [f"{one.text}; {allowance.by} allows it" for one in waived]
    if refusals:
        return Judgement(refusals, case.change, (), known)
    return Judgement((), case.change, (*notes, *case.notes()), case.after(offer.signed))


def group_refusals(release: ModelRelease, others: Sequence[ModelRelease]) -> Iterator[Refusal]:
    """Why the models of a group cannot go live together: one is missing, or another release."""
    if release.group is None:
        return
    offered = {(one.name, one.member_digest) for one in others if one.group == release.group}
    for member in release.group.members:
        if member.name != release.name and (member.name, member.digest) not in offered:
            told = f"the group {release.group.name} needs another release of {member.name}"
            yield Refusal(Reason.GROUP_INCOMPLETE, told)


def _judge_unsigned(offer: Offer, policy: ModelPolicy, known: Known) -> Judgement:
    nothing = policy.trust is Trust.NONE
    if policy.trust is Trust.OFFERED:
        nothing = not offer.listed and not offer.fault
    if nothing:
        note = "nothing is asked of it: nobody says whose it is, or that it is whole"
        return Judgement((), Change.UNKNOWN, (note,), known)
    if offer.fault or not offer.listed:
        told = offer.fault or "there are no checksums of it"
        return Judgement((Refusal(Reason.NO_CHECKSUMS, told),), Change.UNKNOWN, (), known)
    note = "it is held against checksums that nobody has signed"
    return Judgement((), Change.UNKNOWN, (note,), known)


def _signature_refusals(offer: Offer, policy: ModelPolicy) -> Iterator[Refusal]:
    signed = offer.signed
    if offer.fault:
        yield Refusal(Reason.MALFORMED, offer.fault)
        return
    if signed is None or not (signed.keys or signed.strange):
        yield Refusal(Reason.UNSIGNED, "it has no manifest")
        return
    count = sum(policy.counts(key) for key in signed.keys)
    needed = max(1, policy.threshold)
    if count >= needed:
        return
    for key in signed.keys:
        if key.public.fingerprint in policy.revoked:
            yield Refusal(Reason.REVOKED_KEY, f"the key {key.name} signed it and is revoked")
        elif MODEL not in key.predicates:
            told = f"the key {key.name} signed it and may not sign model releases"
            yield Refusal(Reason.WRONG_ROLE, told)
    if not signed.keys:
        yield Refusal(Reason.UNTRUSTED_KEY, "no key of the policy has signed it")
    elif needed > 1:
        told = f"{count} of {needed} different keys have signed it"
        yield Refusal(Reason.THRESHOLD, told)


def _remembered(known: Known, policy: ModelPolicy) -> tuple[Known, list[str]]:
    """What still counts of what is remembered."""
    if not policy.forget_with_keys or not known.keys or known.keys & policy.counting:
        return known, []
    note = f"the sequence number {known.sequence} is forgotten: its keys are trusted no more"
    return Known(floor=known.floor), [note]


@dataclass(frozen=True, slots=True)
class _Case:
    """A release that enough trusted keys have signed, and what it is held against."""

    release: ModelRelease
    policy: ModelPolicy
    before: Known
    now: datetime

    def refusals(self) -> tuple[Refusal, ...]:
        if not self.release.sequenced:
            return tuple(self._unsequenced())
        return (*self._identity(), *self._time(), *self._order())

    def notes(self) -> Iterator[str]:
        """What is to be known of it although it is accepted."""
        if not self.release.sequenced:
            yield "it has no name, number or end: an older one could pass for it"
        end = self.release.expires
        if end is not None and self._latest >= end:
            yield f"it ended at {time_text(end)}"

    @property
    def change(self) -> Change:
        """What going live with it means."""
        if self.release.sequence is None:
            return Change.UNKNOWN
        if self.release.identity == self.before.identity:
            return Change.SAME
        if self.release.sequence < self.before.sequence:
            return Change.OPERATOR_ROLLBACK
        return Change.NEW

    def after(self, signed: Signed) -> Known:
        """What to remember; an operator's rollback makes nothing older acceptable."""
        if self.change not in (Change.NEW, Change.SAME) or self.release.sequence is None:
            return self.before
        signers = frozenset(
            key.public.fingerprint for key in signed.keys if self.policy.counts(key)
        )
        floor = max(filter(None, (self.before.floor, self.release.issued)), default=None)
        return Known(self.release.sequence, self.release.identity, signers, floor)

    @property
    def _latest(self) -> datetime:
        """The time, by this clock or by what was signed, whichever is later."""
        return max(self.now, self.before.floor or self.now)

    def _unsequenced(self) -> Iterator[Refusal]:
        if not self.policy.unsequenced:
            told = "its manifest is not one of hps: it has no name, number or end"
            yield Refusal(Reason.UNSEQUENCED, told)
        elif self.before.sequence:
            told = f"it has no number, and release {self.before.sequence} was accepted before"
            yield Refusal(Reason.UNSEQUENCED, told)

    def _identity(self) -> Iterator[Refusal]:
        release, policy = self.release, self.policy
        if policy.name is not None and release.name != policy.name:
            yield Refusal(Reason.WRONG_MODEL, f"it is {release.name}, not {policy.name}")
        if policy.channel is not None and release.channel != policy.channel:
            told = f"it is for the channel {release.channel}, not for {policy.channel}"
            yield Refusal(Reason.WRONG_CHANNEL, told)
        if policy.runtime is None:
            return
        for key, needed in release.runtime.items():
            here = policy.runtime.get(key)
            if here is None or not fits(needed, here):
                told = f"it needs {key} {needed}, here is {here or 'none'}"
                yield Refusal(Reason.UNFIT_RUNTIME, told)

    def _time(self) -> Iterator[Refusal]:
        floor, issued, expires = self.before.floor, self.release.issued, self.release.expires
        if floor is not None and floor - self.now > self.policy.skew:
            told = f"the clock shows {time_text(self.now)}, which was over at {time_text(floor)}"
            yield Refusal(Reason.CLOCK_BEHIND, told)
        if issued is not None and issued - self._latest > self.policy.skew:
            told = f"it was issued at {time_text(issued)}, which is yet to come"
            yield Refusal(Reason.NOT_YET_VALID, told)
        if expires is not None and self._latest - expires >= self.policy.grace:
            yield Refusal(Reason.EXPIRED, f"it ended at {time_text(expires)}")

    def _order(self) -> Iterator[Refusal]:
        number, last, leap = self.release.sequence or 0, self.before.sequence, self.policy.leap
        if number < max(last, self.policy.first):
            told = f"it is release {number}, and {max(last, self.policy.first)} is the lowest"
            yield Refusal(Reason.ROLLBACK, told)
        elif number == last and self.release.identity != self.before.identity:
            told = f"it is another release {number} than the one that was accepted"
            yield Refusal(Reason.EQUIVOCATION, told)
        if number > HIGHEST_SEQUENCE:
            told = f"release {number} leaves no room for others"
            yield Refusal(Reason.FAST_FORWARD, told)
        elif leap is not None and last and number - last > leap:
            told = f"it is release {number}, more than {leap} above {last}"
            yield Refusal(Reason.FAST_FORWARD, told)
