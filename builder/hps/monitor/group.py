"""Models that are released as one: all of them may go live, or none.

A publisher signs them with `hps model pack DET REC --group NAME`: each manifest names all members
by content. They are published as one model with one donefile, which holds a folder for each; so no
reader ever meets half of a group, and one number stands for all of it (docs/adr/0013).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hps import canonical
from hps.digest import Digest
from hps.model.judge import Judgement, Offer
from hps.model.policy import Known, Trust
from hps.model.refusal import Reason, Refusal
from hps.model.release import ModelRelease
from hps.monitor.examination import Bar, Examined, RefusedError, examine, hold, signed_offer
from hps.monitor.history import Release
from hps.monitor.pulled import Pulled

_IDENTITY = "hps-model-group-v1"


def examine_group(tree: Path, pulled: Pulled, bar: Bar, members: Sequence[str]) -> Examined:
    """Decide whether a group may go live.

    The name of the policy is the group's. Without signatures the whole folder is held against its
    checksums, as that of one model.

    Args:
        tree: holds a folder for each member, and nothing else.
        pulled: where it came from.
        bar: what it has to pass.
        members: their names.

    Raises:
        RefusedError: it may not; the text names the member.
    """
    _check_folders(tree, members)
    if bar.policy.trust is not Trust.SIGNATURE:
        return examine(tree, pulled, bar)
    _check_beside(tree, members)
    offers = {name: signed_offer(tree / name, bar.policy) for name in members}
    group = _Group(
        {name: found for name, offer in offers.items() if (found := _release(offer)) is not None},
        bar,
    )
    judgements: list[Judgement] = []
    refusals: list[Refusal] = []
    for name, offer in offers.items():
        try:
            with _about(name):
                judgements.append(group.judge(name, offer))
        except RefusedError as error:
            refusals += error.refusals
    # A member that is not believed is missed by all others: why it is not believed comes first.
    refusals = [*sorted(refusals, key=_is_missing), *group.disagreements(members)]
    if refusals:
        raise RefusedError(tuple(refusals))
    for name, release in group.releases.items():
        with _about(name):
            hold(tree / name, release.files, bar)
    notes = tuple(note for one in judgements for note in one.notes)
    return Examined(tree, group.row(), group.known(judgements), tuple(dict.fromkeys(notes)))


@dataclass(frozen=True, slots=True)
class _Group:
    """The releases of the members that trusted keys signed, and what they have to pass."""

    releases: Mapping[str, ModelRelease]
    bar: Bar

    @property
    def identity(self) -> Digest:
        """By which this release of the group is told from every other."""
        named = [[name, str(one.identity)] for name, one in sorted(self.releases.items())]
        return canonical.digest(named, domain=_IDENTITY)

    def judge(self, name: str, offer: Offer) -> Judgement:
        """Judge one member; what is remembered of the group is remembered of each."""
        known, release = self.bar.known, self.releases.get(name)
        if release is not None and known.identity == self.identity:
            known = replace(known, identity=release.identity)
        policy = replace(self.bar.policy, name=name)
        others = [one for other, one in self.releases.items() if other != name]
        return replace(self.bar, policy=policy, known=known).judge(replace(offer, group=others))

    def disagreements(self, members: Sequence[str]) -> Iterator[Refusal]:
        """Why they are not one release of one group."""
        wanted = self.bar.policy.name
        for name, release in self.releases.items():
            group = release.group
            if group is None:
                told = f"{name} was not released as one of a group"
                yield Refusal(Reason.GROUP_INCOMPLETE, told)
            elif wanted is not None and group.name != wanted:
                told = f"{name} is of the group {group.name}, not of {wanted}"
                yield Refusal(Reason.WRONG_MODEL, told)
            elif {one.name for one in group.members} != set(members):
                names = ", ".join(one.name for one in group.members)
                told = f"{name} was released together with {names}"
                yield Refusal(Reason.GROUP_INCOMPLETE, told)
        numbers = sorted({one.sequence or 0 for one in self.releases.values()})
        if len(numbers) > 1:
            told = f"its members are releases {', '.join(map(str, numbers))}, not all the same"
            yield Refusal(Reason.GROUP_INCOMPLETE, told)

    def row(self) -> Release:
        """For the history: the group's name and number."""
        one = next(iter(self.releases.values()))
        versions = dict.fromkeys(one.version for one in self.releases.values() if one.version)
        return Release(
            self.bar.policy.name or "",
            one.channel,
            one.sequence,
            ", ".join(versions),
            str(self.identity),
            "signature",
        )

    def known(self, judgements: Sequence[Judgement]) -> Known:
        """What to remember: one number, and whoever signed any member."""
        told = [one.known for one in judgements]
        floor = max((one.floor for one in told if one.floor is not None), default=None)
        keys = frozenset[str]().union(*(one.keys for one in told))
        return Known(told[0].sequence, self.identity, keys, floor)


def _is_missing(refusal: Refusal) -> bool:
    return refusal.reason is Reason.GROUP_INCOMPLETE


def _release(offer: Offer) -> ModelRelease | None:
    return None if offer.signed is None else offer.signed.release


def _check_folders(tree: Path, members: Sequence[str]) -> None:
    missing = [name for name in members if not (tree / name).is_dir()]
    if missing:
        told = f"it has no folder {', '.join(missing)}"
        raise RefusedError((Refusal(Reason.GROUP_INCOMPLETE, told),))


def _check_beside(tree: Path, members: Sequence[str]) -> None:
    """Nothing lies there that no member answers for."""
    for name in sorted(one.name for one in tree.iterdir()):
        if name not in members:
            told = "it is there, and is no member of the group"
            raise RefusedError((Refusal(Reason.SET_MISMATCH, told, name),))


@contextlib.contextmanager
def _about(member: str) -> Iterator[None]:
    """Name the member in what is said of it."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(
            tuple(
                Refusal(one.reason, one.text, f"{member}/{one.path}".rstrip("/"))
                for one in error.refusals
            )
        ) from error
