"""Who is believed: signatures first, then the policy, then whether all say the same."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.cache.acceptance import Signed, decide, keys_of, requirements_of
from hps.cache.documents import trace_statement
from hps.digest import Digest
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.file_key import FileKey
from hps.trust.policy import Policy, Requirement, TrustedKey
from hps.trust.predicates import PROVENANCE, ROLES, SIGNATURE, TRACE
from hps.trust.statement import About, Statement
from tests.cache.lab import KEY, NOW, SECOND, STRANGER, blob, signed, trusting

DERIVATION = Digest.of(b"derivation")
OUTPUTS = {"layer": blob(b"layer"), "index": blob(b"index")}
OTHERS = {"layer": blob(b"another layer"), "index": blob(b"index")}


def two_of(*keys: FileKey, threshold: int = 2) -> Policy:
    trusted = tuple(
        TrustedKey(f"key {n}", key.public, ROLES["build"]) for n, key in enumerate(keys)
    )
    names = tuple(key.name for key in trusted)
    return Policy(trusted, (), traces=(Requirement(TRACE, names, threshold),))


def test_one_trusted_key_is_enough() -> None:
    decision = decide(DERIVATION, [signed(DERIVATION, OUTPUTS)], trusting(), now=NOW)
    assert decision.outputs == OUTPUTS
    assert decision.signers == ("key 0",)
    assert decision.documents == (signed(DERIVATION, OUTPUTS).data,)
    assert decision.reasons == ()


def test_nothing_is_no_answer() -> None:
    decision = decide(DERIVATION, [], trusting(), now=NOW)
    assert (decision.outputs, decision.reasons) == (None, ())


def stated(statement: Statement, key: FileKey = KEY) -> Signed:
    may = AuthorisedSigner(key, (statement.predicate_type,))
    return Signed("here", Bundle.sign(statement, may).as_bytes())


SAID = trace_statement(DERIVATION, "a step", OUTPUTS)
GOOD = signed(DERIVATION, OUTPUTS).data


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (signed(DERIVATION, OUTPUTS, STRANGER), "key-untrusted"),
        (signed(Digest.of(b"other"), OUTPUTS), "subject-mismatch"),
        (stated(replace(SAID, predicate_type=PROVENANCE)), "predicate-missing"),
        (stated(replace(SAID, predicate_type=SIGNATURE)), "predicate-missing"),
        (stated(replace(SAID, predicate_type="urn:other")), "predicate-not-allowed"),
        (stated(replace(SAID, predicate={"outputs": {}})), "document-malformed"),
        (stated(replace(SAID, predicate={})), "document-malformed"),
        (
            stated(replace(SAID, subjects=(About("", DERIVATION), About("", Digest.of(b"more"))))),
            "document-malformed",
        ),
        (
            stated(
                replace(
                    SAID,
                    predicate={**SAID.predicate, "hps": {"expires": "2025-12-31T00:00:00Z"}},
                )
            ),
            "expired",
        ),
        (Signed("here", b"{"), "document-malformed"),
        (Signed("here", b""), "document-malformed"),
        (Signed("here", GOOD[:-40]), "document-malformed"),
        (Signed("here", GOOD.replace(b"dsseEnvelope", b"dsseEnvelopf")), "document-malformed"),
    ],
)
def test_what_does_not_count(found: Signed, code: str) -> None:
    decision = decide(DERIVATION, [found], trusting(), now=NOW)
    assert decision.outputs is None
    assert [reason.code for reason in decision.reasons] == [code]
    beside = decide(
        DERIVATION,
        [found, signed(DERIVATION, OUTPUTS, SECOND)],
        two_of(SECOND, threshold=1),
        now=NOW,
    )
    assert beside.outputs == OUTPUTS


def test_a_flipped_bit_is_never_believed() -> None:
    for at in range(0, len(GOOD), 7):
        data = bytearray(GOOD)
        data[at] ^= 1
        decision = decide(DERIVATION, [Signed("here", bytes(data))], trusting(), now=NOW)
        # What nobody signed (the hint, spelled otherwise) may change; what is said may not.
        assert decision.outputs in (None, OUTPUTS)


@settings(max_examples=50)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert decide(DERIVATION, [Signed("here", data)], trusting(), now=NOW).outputs is None


def test_two_answers_are_believed_neither() -> None:
    said = [signed(DERIVATION, OUTPUTS), signed(DERIVATION, OTHERS, SECOND)]
    for found in permutations(said):
        decision = decide(DERIVATION, found, trusting(KEY, SECOND), now=NOW)
        assert decision.outputs is None
        assert [reason.code for reason in decision.reasons] == ["threshold"]
        assert "different things" in decision.reasons[0].text


def test_a_threshold_counts_keys_that_say_the_same() -> None:
    policy = two_of(KEY, SECOND, STRANGER)
    one, two = signed(DERIVATION, OUTPUTS), signed(DERIVATION, OUTPUTS, SECOND)
    other = signed(DERIVATION, OTHERS, STRANGER)
    assert decide(DERIVATION, [one], policy, now=NOW).outputs is None
    assert decide(DERIVATION, [one, one], policy, now=NOW).outputs is None
    assert decide(DERIVATION, [one, other], policy, now=NOW).outputs is None
    believed = decide(DERIVATION, [one, other, two], policy, now=NOW)
    assert believed.outputs == OUTPUTS
    assert set(believed.signers) == {"key 0", "key 1"}
    assert [reason.code for reason in believed.reasons] == ["threshold"]


def test_a_key_that_may_not_make_traces_does_not_count() -> None:
    rebuilder = Policy(
        (TrustedKey("second", KEY.public, ROLES["rebuild"]),),
        (Requirement(PROVENANCE, ("second",)),),
    )
    assert requirements_of(rebuilder) == ()
    assert keys_of(rebuilder) == ()
    decision = decide(DERIVATION, [signed(DERIVATION, OUTPUTS)], rebuilder, now=NOW)
    assert decision.outputs is None
    assert "no key of the policy may make traces" in decision.reasons[0].text


def test_unsigned_allowed_is_not_for_traces() -> None:
    lenient = replace(trusting(), allow_unsigned=True)
    found = [signed(DERIVATION, OUTPUTS, STRANGER)]
    assert decide(DERIVATION, found, lenient, now=NOW).outputs is None
    assert decide(DERIVATION, [], lenient, now=NOW).outputs is None


@pytest.mark.parametrize("year", [1970, 2026, 9999])
def test_a_wrong_clock_changes_nothing_for_what_hps_writes(year: int) -> None:
    now = datetime(year, 1, 1, tzinfo=UTC)
    assert decide(DERIVATION, [signed(DERIVATION, OUTPUTS)], trusting(), now=now).outputs == OUTPUTS


def test_only_keys_that_are_asked_for_are_looked_for() -> None:
    policy = two_of(KEY, SECOND, threshold=1)
    narrowed = replace(policy, traces=(Requirement(TRACE, ("key 1",)),))
    assert [key.name for key in keys_of(narrowed)] == ["key 1"]
    decision = decide(DERIVATION, [signed(DERIVATION, OUTPUTS)], narrowed, now=NOW)
    assert decision.outputs is None


POLICY = b"""
version = 1
[keys.ci]
public = "ci.pub"
[keys.other]
public = "other.pub"
[[require]]
predicate = "signature"
[[require]]
predicate = "trace"
keys = ["ci"]
"""


def test_what_is_asked_of_traces_is_not_asked_of_images() -> None:
    pems = {"ci.pub": KEY.public.pem, "other.pub": SECOND.public.pem}
    policy = Policy.parse(POLICY, "policy", pems.__getitem__)
    assert [one.predicate_type for one in policy.requirements] == [SIGNATURE]
    assert requirements_of(policy) == (Requirement(TRACE, ("ci",)),)
    assert [key.name for key in keys_of(policy)] == ["ci"]
    without = Policy.parse(
        POLICY.partition(b'[[require]]\npredicate = "trace')[0], "policy", pems.__getitem__
    )
    assert requirements_of(without) == (Requirement(TRACE, ("ci", "other")),)
