"""When a model counts as dead: the rules, look by look."""

import pytest

from hps_server.probe import Answer, Probed
from hps_server.watch import Look, Memory, Rules, backoff, judge

RULES = Rules(failures=3, hang=60, revivals=3, window=100)
FINE = Probed(Answer.ALIVE)
SILENT = Probed(Answer.SILENT, "no answer within 5 s")
FAILED = Probed(Answer.FAILED, "Stub process is not healthy")


def looks(*probed: Probed | None, ticks: int = 0, apart: float = 5) -> list[str]:
    memory = Memory()
    return [
        judge(memory, Look(n * apart, 1, 1, 1, n * ticks, each), RULES)
        for n, each in enumerate(probed)
    ]


def test_a_healthy_model() -> None:
    assert looks(FINE, None, FINE, None) == ["", "", "", ""]


def test_three_failures_in_a_row_and_not_two() -> None:
    assert looks(FAILED, FAILED, FINE, FAILED, FAILED) == ["", "", "", "", ""]
    reason = "it does not answer as it should: Stub process is not healthy"
    assert looks(FAILED, None, SILENT, FAILED) == ["", "", "", reason]


def test_an_idle_process_that_is_silent_hangs() -> None:
    assert looks(FINE, SILENT, SILENT, SILENT)[-1].endswith("no answer within 5 s")


def test_a_process_that_works_is_left_alone_until_the_deadline_of_hanging() -> None:
    said = looks(FINE, *[SILENT] * 12, ticks=400)
    assert said[:-1] == [""] * 12
    assert said[-1] == "it hangs: no answer for 60 s"


def test_an_inference_that_never_ends() -> None:
    assert looks(Probed(Answer.ALIVE, busy_for=59)) == [""]
    assert looks(Probed(Answer.ALIVE, busy_for=61)) == [
        "it hangs: one inference has been running for 61 s"
    ]


def test_a_process_that_is_missing_twice() -> None:
    memory = Memory()
    two = [Look(n, 1, 2, alive, 0, None) for n, alive in enumerate([2, 1, 2, 1, 1])]
    assert [judge(memory, each, RULES) for each in two] == [
        *("", "", "", ""),
        "its Python process has ended",
    ]


def test_what_somebody_has_unloaded_is_left_alone() -> None:
    memory = Memory()
    judge(memory, Look(0, 1, 1, 0, 0, None), RULES)
    assert judge(memory, Look(1, 0, 0, 0, 0, None), RULES) == ""
    assert (memory.missing, memory.failed) == (0, 0)


@pytest.mark.parametrize(
    ("revivals", "wait"),
    [([], 0.0), ([0], 0.0), ([150], 2.0), ([150, 160], 4.0), ([150, 160, 170], None)],
)
def test_bringing_back_gets_slower_and_ends(revivals: list[float], wait: float | None) -> None:
    assert backoff(revivals, 180, RULES) == wait
