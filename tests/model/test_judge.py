"""The rules: what may go live, and which reason is given when it may not."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.model.judge import HIGHEST_SEQUENCE, Change, Judgement, Offer, group_refusals, judge
from hps.model.manifest import Signed
from hps.model.policy import Allowance, Known, ModelPolicy, Trust
from hps.model.refusal import Reason
from hps.model.release import ModelRelease, read_time, together
from hps.trust.policy import TrustedKey
from tests.model.releases import EXPIRES, ISSUED, KEY, NOW, SECOND, policy, release, trusted

SEEN = release()
KNOWN = Known(7, SEEN.identity, frozenset({KEY.public.fingerprint}), ISSUED)
NEXT = release(sequence=8, issued=ISSUED + timedelta(hours=1))
SECOND_KEY = trusted(SECOND, "second")


def offered(one: ModelRelease, *keys: TrustedKey, group: tuple[ModelRelease, ...] = ()) -> Offer:
    return Offer(Signed(one, keys or (trusted(),)), group=group)


def decide(
    offer: Offer | ModelRelease,
    rules: ModelPolicy | None = None,
    known: Known = KNOWN,
    *,
    now: datetime = NOW,
    allowance: Allowance | None = None,
) -> Judgement:
    offer = offered(offer) if isinstance(offer, ModelRelease) else offer
    return judge(offer, rules or policy(), known, now=now, allowance=allowance)


def reasons(judgement: Judgement) -> set[Reason]:
    return {one.reason for one in judgement.refusals}


def test_a_newer_release_is_accepted_and_remembered() -> None:
    found = decide(NEXT)
    assert found.accepted
    assert found.change is Change.NEW
    assert found.notes == ()
    assert found.known == Known(8, NEXT.identity, KNOWN.keys, NEXT.issued)


def test_the_first_release_is_accepted() -> None:
    assert decide(SEEN, known=Known()).known == KNOWN


def test_the_same_release_again_is_no_change() -> None:
    found = decide(SEEN)
    assert found.accepted
    assert found.change is Change.SAME
    assert found.known == KNOWN


@pytest.mark.parametrize(
    ("one", "rules", "reason"),
    [
        (release(sequence=6), {}, Reason.ROLLBACK),
        (release(version="else"), {}, Reason.EQUIVOCATION),
        (replace(NEXT, sequence=HIGHEST_SEQUENCE + 1), {}, Reason.FAST_FORWARD),
        (replace(NEXT, sequence=18), {"leap": 10}, Reason.FAST_FORWARD),
        (replace(NEXT, name="det"), {}, Reason.WRONG_MODEL),
        (replace(NEXT, channel="canary"), {}, Reason.WRONG_CHANNEL),
        (replace(NEXT, expires=NOW), {}, Reason.EXPIRED),
        (replace(NEXT, issued=NOW + timedelta(minutes=6)), {}, Reason.NOT_YET_VALID),
        (
            replace(NEXT, runtime={"paddlex": ">=4"}),
            {"runtime": {"paddlex": "3.7.2"}},
            Reason.UNFIT_RUNTIME,
        ),
        (replace(NEXT, runtime={"cuda": "12"}), {"runtime": {}}, Reason.UNFIT_RUNTIME),
        (replace(NEXT, sequence=None), {}, Reason.UNSEQUENCED),
        (replace(NEXT, sequence=None), {"unsequenced": True}, Reason.UNSEQUENCED),
    ],
)
def test_one_thing_wrong_is_one_reason(
    one: ModelRelease, rules: dict[str, Any], reason: Reason
) -> None:
    found = decide(one, policy(**rules))
    assert reasons(found) == {reason}
    assert found.known == KNOWN
    assert not found.accepted


@pytest.mark.parametrize(
    ("one", "rules"),
    [
        (replace(NEXT, sequence=HIGHEST_SEQUENCE), {}),
        (replace(NEXT, sequence=17), {"leap": 10}),
        (replace(NEXT, name="det"), {"name": None}),
        (replace(NEXT, channel="canary"), {"channel": None}),
        (replace(NEXT, expires=NOW + timedelta(seconds=1)), {}),
        (replace(NEXT, expires=NOW), {"grace": timedelta(seconds=1)}),
        (replace(NEXT, issued=NOW + timedelta(minutes=5)), {}),
        (replace(NEXT, runtime={"paddlex": ">=3"}), {"runtime": {"paddlex": "3.7.2"}}),
        (replace(NEXT, runtime={"paddlex": ">=4"}), {"runtime": None}),
    ],
)
def test_what_is_just_within_the_rules_is_accepted(
    one: ModelRelease, rules: dict[str, Any]
) -> None:
    assert decide(one, policy(**rules)).accepted


def test_everything_wrong_is_told_at_once() -> None:
    one = release(name="det", channel="canary", sequence=3, expires=ISSUED + timedelta(hours=1))
    assert reasons(decide(one)) == {
        Reason.WRONG_MODEL,
        Reason.WRONG_CHANNEL,
        Reason.ROLLBACK,
        Reason.EXPIRED,
    }


def test_a_host_without_memory_can_be_given_the_lowest_number() -> None:
    assert reasons(decide(SEEN, policy(first=8), Known())) == {Reason.ROLLBACK}
    assert decide(NEXT, policy(first=8), Known()).accepted


class TestTime:
    """Freeze attacks, and clocks that are wrong."""

    def test_a_frozen_release_ends(self) -> None:
        assert reasons(decide(SEEN, now=EXPIRES)) == {Reason.EXPIRED}

    def test_grace_is_noted(self) -> None:
        found = decide(SEEN, policy(grace=timedelta(days=2)), now=EXPIRES + timedelta(days=1))
        assert found.accepted
        assert "it ended at 2026-12-01T12:00:00Z" in found.notes
        late = EXPIRES + timedelta(days=2)
        assert reasons(decide(SEEN, policy(grace=timedelta(days=2)), now=late)) == {Reason.EXPIRED}

    def test_a_clock_that_was_set_back_does_not_make_a_release_fresh(self) -> None:
        known = replace(KNOWN, floor=EXPIRES + timedelta(days=1))
        assert reasons(decide(NEXT, known=known, now=NOW)) == {Reason.CLOCK_BEHIND, Reason.EXPIRED}

    def test_a_clock_may_be_a_little_behind(self) -> None:
        assert decide(SEEN, now=ISSUED - timedelta(minutes=5)).accepted
        early = ISSUED - timedelta(minutes=5, seconds=1)
        assert reasons(decide(SEEN, now=early)) == {Reason.CLOCK_BEHIND}

    def test_a_clock_that_was_far_ahead_leaves_nothing_behind(self) -> None:
        """The floor comes from what was signed: it cannot lock a host out for years."""
        found = decide(NEXT, policy(grace=timedelta(days=9999)), now=NOW + timedelta(days=5000))
        assert found.known.floor == NEXT.issued
        assert decide(NEXT, known=found.known, now=NOW).accepted

    @pytest.mark.parametrize("end", ["9999-12-31T23:59:59Z", "0001-01-02T00:00:00Z"])
    def test_times_at_the_ends_of_the_calendar_are_no_crash(self, end: str) -> None:
        edge = read_time(end, "it")
        wide = policy(grace=timedelta(days=9999), skew=timedelta(days=9999))
        for one in (replace(NEXT, expires=edge), replace(NEXT, issued=edge)):
            decide(one, wide)
            decide(one)
        decide(NEXT, wide, replace(KNOWN, floor=edge))


class TestKeys:
    """Whose signatures count."""

    @pytest.mark.parametrize(
        ("offer", "rules", "expected"),
        [
            (Offer(), {}, {Reason.UNSIGNED}),
            (Offer(Signed(None)), {}, {Reason.UNSIGNED}),
            (Offer(Signed(None, strange=1)), {}, {Reason.UNTRUSTED_KEY}),
            (Offer(fault="damaged"), {}, {Reason.MALFORMED}),
            (offered(NEXT, trusted(role="build")), {}, {Reason.WRONG_ROLE}),
            (
                offered(NEXT),
                {"revoked": frozenset({KEY.public.fingerprint})},
                {Reason.REVOKED_KEY},
            ),
            (offered(NEXT), {"threshold": 2}, {Reason.THRESHOLD}),
            (
                offered(NEXT, trusted(), SECOND_KEY),
                {"threshold": 2, "revoked": frozenset({SECOND.public.fingerprint})},
                {Reason.THRESHOLD, Reason.REVOKED_KEY},
            ),
            (
                offered(NEXT, trusted(), trusted(SECOND, "second", "file")),
                {"threshold": 2},
                {Reason.THRESHOLD, Reason.WRONG_ROLE},
            ),
        ],
    )
    def test_too_few_count(
        self, offer: Offer, rules: dict[str, Any], expected: set[Reason]
    ) -> None:
        assert reasons(decide(offer, policy(**rules))) == expected

    def test_enough_count(self) -> None:
        rules = policy(keys=(trusted(), SECOND_KEY), threshold=2)
        assert decide(offered(NEXT, trusted(), SECOND_KEY), rules).accepted

    def test_a_revoked_key_beside_enough_good_ones_does_no_harm(self) -> None:
        rules = policy(revoked=frozenset({SECOND.public.fingerprint}))
        found = decide(offered(NEXT, SECOND_KEY, trusted()), rules)
        assert found.accepted
        assert found.known.keys == {KEY.public.fingerprint}

    def test_a_threshold_below_one_is_one(self) -> None:
        assert not decide(Offer(Signed(None, strange=1)), policy(threshold=0)).accepted
        assert not decide(Offer(), policy(threshold=-1)).accepted

    def test_nothing_is_believed_of_what_is_not_signed_by_enough(self) -> None:
        one = release(name="det", sequence=1)
        assert reasons(decide(offered(one), policy(threshold=2))) == {Reason.THRESHOLD}


class TestFastForward:
    """How one gets out of a number that was far too high."""

    HIGH = Known(HIGHEST_SEQUENCE, SEEN.identity, frozenset({KEY.public.fingerprint}), ISSUED)

    def test_new_keys_alone_change_nothing(self) -> None:
        found = decide(offered(NEXT, SECOND_KEY), policy(keys=(SECOND_KEY,)), self.HIGH)
        assert reasons(found) == {Reason.ROLLBACK}

    def test_new_keys_and_the_word_for_it_start_anew(self) -> None:
        rules = policy(keys=(SECOND_KEY,), forget_with_keys=True)
        found = decide(offered(NEXT, SECOND_KEY), rules, self.HIGH)
        assert found.accepted
        assert found.known.sequence == 8
        assert any("forgotten" in note for note in found.notes)

    def test_as_long_as_an_old_key_is_trusted_the_number_stays(self) -> None:
        rules = policy(keys=(trusted(), SECOND_KEY), forget_with_keys=True)
        assert reasons(decide(offered(NEXT, SECOND_KEY), rules, self.HIGH)) == {Reason.ROLLBACK}
        revoked = replace(rules, revoked=frozenset({KEY.public.fingerprint}))
        assert decide(offered(NEXT, SECOND_KEY), revoked, self.HIGH).accepted

    def test_the_clock_is_not_forgotten(self) -> None:
        rules = policy(keys=(SECOND_KEY,), forget_with_keys=True)
        late = replace(self.HIGH, floor=EXPIRES)
        assert Reason.CLOCK_BEHIND in reasons(decide(offered(NEXT, SECOND_KEY), rules, late))


class TestOperator:
    """An operator's rollback is allowed, and told apart from an attack."""

    OLD = release(sequence=5, expires=ISSUED + timedelta(hours=1))

    def test_a_word_for_this_release_makes_it_good(self) -> None:
        word = Allowance(self.OLD.identity, "ann", "8 is slow")
        found = decide(self.OLD, allowance=word)
        assert found.accepted
        assert found.change is Change.OPERATOR_ROLLBACK
        assert len([note for note in found.notes if "ann" in note]) == 2
        assert found.known == KNOWN, "an older release that nobody allowed stays refused"

    def test_a_word_for_another_release_does_not(self) -> None:
        word = Allowance(SEEN.identity, "ann")
        assert reasons(decide(self.OLD, allowance=word)) == {Reason.ROLLBACK, Reason.EXPIRED}

    @pytest.mark.parametrize(
        ("one", "rules", "reason"),
        [
            (replace(OLD, name="det"), {}, Reason.WRONG_MODEL),
            (OLD, {"revoked": frozenset({KEY.public.fingerprint})}, Reason.REVOKED_KEY),
            (release(version="else"), {}, Reason.EQUIVOCATION),
        ],
    )
    def test_it_is_a_word_for_nothing_else(
        self, one: ModelRelease, rules: dict[str, Any], reason: Reason
    ) -> None:
        found = decide(one, policy(**rules), allowance=Allowance(one.identity, "ann"))
        assert reasons(found) == {reason}

    def test_a_word_for_a_newer_release_changes_nothing(self) -> None:
        found = decide(NEXT, allowance=Allowance(NEXT.identity, "ann"))
        assert found.change is Change.NEW
        assert found.notes == ()


class TestGroup:
    """Models that are released together."""

    MEMBERS = together("pipeline", [release(name=name) for name in ("det", "ocr", "rec")])

    def test_all_together_are_accepted(self) -> None:
        det, ocr, rec = self.MEMBERS
        assert decide(offered(ocr, group=(det, rec)), known=Known()).accepted
        assert not list(group_refusals(det, self.MEMBERS))

    def test_one_alone_is_not(self) -> None:
        det, ocr, _ = self.MEMBERS
        found = decide(offered(ocr, group=(det,)), known=Known())
        assert reasons(found) == {Reason.GROUP_INCOMPLETE}
        assert [one.text for one in found.refusals] == [
            "the group pipeline needs another release of rec"
        ]
        assert len(list(group_refusals(ocr, ()))) == 2

    def test_members_of_two_releases_do_not_mix(self) -> None:
        _, ocr, rec = self.MEMBERS
        newer = together("pipeline", [replace(one, sequence=9, group=None) for one in self.MEMBERS])
        assert list(group_refusals(ocr, (newer[0], rec)))

    def test_the_same_bytes_under_another_group_do_not_count(self) -> None:
        det, ocr, rec = self.MEMBERS
        (other,) = together("else", [replace(rec, group=None)])
        assert other.member_digest == rec.member_digest
        assert list(group_refusals(ocr, (det, other)))


class TestWithoutSignatures:
    """Policies that ask for less."""

    def test_checksums(self) -> None:
        rules = policy(trust=Trust.CHECKSUMS)
        found = decide(Offer(listed=True), rules)
        assert found.accepted
        assert found.change is Change.UNKNOWN
        assert found.notes
        assert found.known == KNOWN

    @pytest.mark.parametrize("offer", [Offer(), Offer(listed=True, fault="damaged"), offered(NEXT)])
    def test_checksums_that_are_not_there(self, offer: Offer) -> None:
        assert reasons(decide(offer, policy(trust=Trust.CHECKSUMS))) == {Reason.NO_CHECKSUMS}

    def test_what_is_offered_must_hold(self) -> None:
        rules = policy(trust=Trust.OFFERED)
        assert "nobody has signed" in decide(Offer(listed=True), rules).notes[0]
        assert "nothing is asked" in decide(Offer(), rules).notes[0]
        assert reasons(decide(Offer(fault="damaged"), rules)) == {Reason.NO_CHECKSUMS}

    def test_none_is_noted_every_time(self) -> None:
        found = decide(Offer(), policy(trust=Trust.NONE))
        assert found.accepted
        assert found.notes

    def test_the_default_is_to_ask_for_a_signature(self) -> None:
        assert ModelPolicy().trust is Trust.SIGNATURE
        assert reasons(judge(Offer(listed=True), ModelPolicy(), Known(), now=NOW)) == {
            Reason.UNSIGNED
        }

    def test_an_unsequenced_release_only_where_no_numbered_one_was(self) -> None:
        one = ModelRelease("whatever", SEEN.files)
        found = decide(one, policy(unsequenced=True), Known())
        assert found.accepted
        assert found.change is Change.UNKNOWN
        assert found.notes
        assert found.known == Known()
        assert reasons(decide(one, policy(unsequenced=True))) == {Reason.UNSEQUENCED}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.none() | st.integers(1, 5))
def test_numbers_only_go_up_whatever_comes(numbers: list[int], leap: int | None) -> None:
    known = Known()
    for number in numbers:
        found = decide(release(sequence=number), policy(leap=leap), known)
        assert found.accepted == (
            number >= known.sequence
            and (leap is None or not known.sequence or number - known.sequence <= leap)
        )
        assert found.known.sequence >= known.sequence
        known = found.known


@given(
    st.integers(0, 2**53 - 1),
    st.none() | st.just(SEEN.identity),
    st.frozensets(st.text(st.characters(codec="ascii"), max_size=4), max_size=3),
    st.none() | st.just(ISSUED),
)
def test_what_is_remembered_comes_back(number: int, identity: Any, keys: Any, floor: Any) -> None:
    known = Known(number, identity, keys, floor)
    assert Known.from_json(canonical.loads(canonical.dumps(known.as_json()))) == known


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": -1},
        {"sequence": True},
        {"sequence": 2**53},
        {"identity": "md5:0"},
        {"keys": "ab"},
        {"keys": [1]},
        {"floor": "yesterday"},
        {"more": 1},
    ],
)
def test_a_damaged_memory_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Known.from_json({**KNOWN.as_json(), **changes})


def test_codes_are_stable() -> None:
    assert sorted(Reason) == [
        "clock-behind",
        "digest-mismatch",
        "equivocation",
        "expired",
        "fast-forward",
        "group-incomplete",
        "manifest-malformed",
        "mode-mismatch",
        "no-checksums",
        "not-yet-valid",
        "revoked-key",
        "rollback",
        "set-mismatch",
        "threshold-not-met",
        "unfit-runtime",
        "unsafe-file",
        "unsequenced",
        "unsigned",
        "untrusted-key",
        "wrong-channel",
        "wrong-model",
        "wrong-role",
    ]
    assert {one.bit for one in Reason} == {8, 16, 32, 64, 128}
