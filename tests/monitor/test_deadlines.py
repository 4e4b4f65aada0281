"""A loop counts as dead only after more time than what it does may take."""

from typing import Any

import pytest

from hps.config.monitor import WatchedModel
from hps.monitor.deadlines import Deadlines
from hps.monitor.transitions import Step

SERVERS: dict[str, dict[str, Any]] = {
    "triton": {"type": "triton", "repository": "/m", "load-deadline": 7000.0, "drain": 500.0},
    "paddle": {"type": "paddle-serving", "folder": "/m"},
    "exec": {"type": "exec", "activate": ["true"], "deadline": 9000.0},
}


def deadlines(server: dict[str, Any], **settings: Any) -> Deadlines:
    source = {"type": "general", "host": "file:///", "path": "/", "model": "x"}
    document = {"source": source, "server": server, "verify": "none", **settings}
    return Deadlines.of(WatchedModel.model_validate(document))


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_every_step_has_a_time_of_its_own(server: dict[str, Any]) -> None:
    found = deadlines(server)
    for step in set(Step) - {Step.NOTHING, Step.WAIT}:
        assert step in found.steps
        assert 60 < found.step(step) < 86_400


def test_a_server_has_longer_than_its_own_deadlines() -> None:
    triton = deadlines(SERVERS["triton"])
    assert triton.step(Step.LOAD) > 2 * 7000
    assert triton.step(Step.WITHDRAW) > 2 * 7000 + 500
    assert triton.step(Step.ASK) < 600, "a question is no load"
    assert deadlines(SERVERS["exec"]).step(Step.ACTIVATE) > 9000
    members = deadlines({"type": "triton", "repository": "/m"}, members=["a", "b", "c"])
    assert members.step(Step.LOAD) > 3 * 600


def test_what_shows_progress_has_little_time_between_two_signs_of_it() -> None:
    found = deadlines(SERVERS["paddle"], patience={"idle": 30.0, "total": 20_000.0})
    assert found.step(Step.PULL) < 1200
    assert found.step(Step.VERIFY) < 1200
    assert found.look > 20_000, "a look shows none"
    slow = deadlines(SERVERS["paddle"], patience={"idle": 5000.0})
    assert slow.step(Step.PULL) > 5000
