"""`kill -9` and a full disk at every effect of a request and of an answer: none is half there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hps.monitor.events import Wish
from hps.monitor.operator import Answer, Asked, Desk
from tests.faults.tracer import can_trace

REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not can_trace(), reason="the tracer knows Linux on x86-64")


def stopped(what: str, folder: Path) -> list[Path]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.operator_process", what, str(folder)],
        cwd=REPOSITORY,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [folder / name for name in json.loads(done.stdout)]


def test_a_request_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    places = stopped("ask", tmp_path)
    assert len(places) > 8
    counts = set()
    for place in places:
        found = list(Desk(place).pending())
        assert all((one.wish, one.number) == (Wish.ROLLBACK, 7) for one in found)
        counts.add(len(found))
        assert list((place / "answers").iterdir()) == []  # nothing had to be refused
    assert counts == {1, 2}


def test_an_answer_is_never_lost_and_no_request_is_taken_for_another(tmp_path: Path) -> None:
    places = stopped("answer", tmp_path)
    assert len(places) > 8
    for place in places:
        answered = [path.stem for path in (place / "answers").glob("2*.json")]
        waiting = [one.id for one in Desk(place).pending()]
        assert len({*answered, *waiting}) == 1
        for id_ in answered:
            asked = Asked(id_, Wish.ROLLBACK, 7, "", "", "")
            assert Desk(place).answer_to(asked) == Answer(done=True, text="done")
