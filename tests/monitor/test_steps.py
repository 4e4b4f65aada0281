"""The hands of a model, one step at a time: what came of it, and how it is to be taken."""

import errno
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.model.policy import ModelPolicy, Trust
from hps.monitor.events import Done, Due, Event, Failed, Offered, Served, Wish
from hps.monitor.look import Look
from hps.monitor.recording import moment
from hps.monitor.server import Fault, ServerError
from hps.monitor.sighting import Mark
from hps.monitor.state import State
from hps.monitor.transitions import Outcome, Step
from hps.monitor.update import advance
from tests.monitor.looked_after import NAME, LookedAfter
from tests.monitor.test_logs import restored
from tests.monitor.test_runner import release

__all__ = ["restored"]


@pytest.fixture
def one(tmp_path: Path) -> Iterator[LookedAfter]:
    yield LookedAfter(tmp_path)
    release(tmp_path)


def do(one: LookedAfter, step: Step) -> Event:
    return one.steps.do(Due(step, 1), State())


def failed(event: Event) -> tuple[Outcome, str]:
    assert isinstance(event, Failed)
    return event.outcome, event.reason


def test_from_publish_to_serve(one: LookedAfter) -> None:
    one.publish(1)
    pulled = do(one, Step.PULL)
    assert isinstance(pulled, Done)
    assert pulled.identity.startswith("sha256:")
    for step in (Step.VERIFY, Step.STAGE, Step.INSPECT, Step.LOAD, Step.PROBE, Step.ACTIVATE):
        event = do(one, step)
        assert isinstance(event, Done), event
        assert one.steps.failure is None
    assert do(one, Step.ASK) == Served([1])
    assert one.served == "1"


def test_the_same_bytes_under_another_policy_are_another_content(tmp_path: Path) -> None:
    one = LookedAfter(tmp_path)
    one.publish(1)
    first = do(one, Step.PULL)
    assert isinstance(first, Done)
    seen = {first.identity}
    for policy in (
        replace(one.policy, channel="canary"),
        replace(one.policy, first=3),
        replace(one.policy, leap=9),
        replace(one.policy, threshold=2),
    ):
        one.steps.policy = policy
        again = do(one, Step.PULL)
        assert isinstance(again, Done)
        seen.add(again.identity)
    assert len(seen) == 5


def test_a_sign_of_life_comes_with_the_bytes(one: LookedAfter) -> None:
    one.publish(1, {"weights": b"x" * (3 << 20)})
    beats: list[None] = []
    for step in (Step.PULL, Step.VERIFY):
        before = len(beats)
        one.steps.do(Due(step, 1), State(), lambda: beats.append(None))
        assert len(beats) > before


@pytest.mark.parametrize("step", [Step.VERIFY, Step.STAGE])
def test_what_is_not_in_the_hands_of_this_process_is_forgotten(
    one: LookedAfter, step: Step
) -> None:
    assert failed(do(one, step)) == (Outcome.GONE, "staging-lost")


@pytest.mark.parametrize("step", [Step.VERIFY, Step.STAGE])
def test_what_somebody_removed_from_staging_is_forgotten_and_pulled_again(
    one: LookedAfter, step: Step
) -> None:
    one.publish(1)
    do(one, Step.PULL)
    if step is Step.STAGE:
        do(one, Step.VERIFY)
    shutil.rmtree(one.state / "staging" / "1")
    event = do(one, step)
    assert failed(event) == (Outcome.GONE, "staging-lost")
    look = Look(one.source().donefile(), one.source().model())
    state = advance(State(), Offered(Mark.of(look)), moment(), one.terms.rules)
    state = advance(state, Done(Step.PULL, "sha256:1"), moment(), one.terms.rules)
    if step is Step.STAGE:
        state = advance(state, Done(Step.VERIFY), moment(), one.terms.rules)
    state = advance(state, event, moment(), one.terms.rules)
    assert (state.update, state.processed, state.barred) == (None, None, ())


@pytest.mark.parametrize("step", [Step.INSPECT, Step.LOAD])
def test_a_generation_that_is_not_there_is_not_shown_to_a_server(
    one: LookedAfter, step: Step
) -> None:
    assert failed(do(one, step)) == (Outcome.GONE, "staging-lost")
    assert one.world.calls == []


def test_an_archive_that_is_cut_off_is_broken_and_leaves_nothing(one: LookedAfter) -> None:
    one.publish(1, {"weights": b"x" * 100_000})
    path = one.published / "model.tar"
    path.write_bytes(path.read_bytes()[:50_000])
    assert isinstance(do(one, Step.PULL), Done)
    assert failed(do(one, Step.VERIFY)) == (Outcome.BROKEN, "truncated")
    assert isinstance(one.steps.failure, HpsError)
    assert one.steps.failure.exit_code == 6


def test_a_full_disk_passes(one: LookedAfter, monkeypatch: pytest.MonkeyPatch) -> None:
    one.publish(1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(one.steps.source, "model", full)
    outcome, reason = failed(do(one, Step.PULL))
    assert (outcome, reason) == (Outcome.PASSING, "disk-unusable")
    assert one.steps.failure is not None
    assert one.steps.failure.exit_code == 8


def test_a_server_is_heard_with_all_that_it_says(one: LookedAfter) -> None:
    one.publish(1)
    for step in (Step.PULL, Step.VERIFY, Step.STAGE):
        do(one, step)
    one.world.fails["load"] = [ServerError(Fault.REFUSED, "no", expected="a", got="b")]
    event = do(one, Step.LOAD)
    assert isinstance(event, Failed)
    assert (event.outcome, event.detail) == (Outcome.CONTENT, "no, expected a, got b")


def test_told_to_end_it_stops_between_two_pieces(one: LookedAfter) -> None:
    one.publish(1, {"weights": b"x" * (3 << 20)})
    one.stop.set()
    assert failed(do(one, Step.PULL)) == (Outcome.PASSING, "stopped")
    one.stop.clear()
    do(one, Step.PULL)
    one.stop.set()
    assert failed(do(one, Step.VERIFY)) == (Outcome.PASSING, "stopped")


@pytest.mark.parametrize("step", [Step.NOTHING, Step.WAIT])
def test_waiting_is_nothing_to_be_done(one: LookedAfter, step: Step) -> None:
    with pytest.raises(ValueError, match="nothing to be done"):
        do(one, step)


CHECKED = {"verify": "checksums"}


def listed(version: int) -> dict[str, bytes]:
    weights = f"{version}\n".encode()
    return {
        "weights": weights,
        "SHA256SUMS": f"{hashlib.sha256(weights).hexdigest()}  weights\n".encode(),
    }


@pytest.fixture
def checked(tmp_path: Path) -> Iterator[LookedAfter]:
    policy = ModelPolicy(name=NAME, trust=Trust.CHECKSUMS)
    yield LookedAfter(tmp_path, policy=policy, settings=CHECKED)
    release(tmp_path)


def alter(one: LookedAfter, number: int) -> None:
    """Write into a generation, as root can, whatever its mode; the size stays."""
    weights = one.state / "generations" / str(number) / "weights"
    weights.chmod(0o644)
    weights.write_bytes(b"9\n")
    weights.chmod(0o444)


def test_a_rollback_to_files_that_somebody_changed_is_none(checked: LookedAfter) -> None:
    for version in (1, 2):
        checked.publish(version, listed(version))
        assert checked.anew() == 0
    alter(checked, 1)
    checked.ask(Wish.ROLLBACK, 1)
    assert checked.anew() == 5
    assert checked.served == "2"
    assert checked.counted("failures") == {("inspect", "generation-altered"): 1}
    checked.publish(3, listed(3))
    assert checked.anew() == 0
    assert checked.served == "3"


def test_a_rollback_is_held_against_what_was_said_once(checked: LookedAfter) -> None:
    for version in (1, 2):
        checked.publish(version, listed(version))
        assert checked.anew() == 0
    checked.ask(Wish.ROLLBACK, 1)
    assert checked.anew() == 0
    assert checked.served == "1"
    assert checked.counted("failures") == {}


def test_a_live_generation_that_somebody_changed_is_not_loaded_again(checked: LookedAfter) -> None:
    checked.publish(1, listed(1))
    assert checked.anew() == 0
    alter(checked, 1)
    checked.world.loaded.clear()
    checked.world.active = None
    assert checked.anew() == 5
    assert not checked.world.loaded
    mishap = checked.status.observed.mishap
    assert mishap is not None
    assert mishap.reason == "generation-altered"
    assert "weights" in mishap.detail
