"""Snapshots of a host that tests of the page, the metrics and the server share."""

from hps.monitor.events import Rules, Wish
from hps.monitor.history import updates
from hps.monitor.status import Mishap, ModelStatus, MonitorStatus, Observed
from hps.monitor.transitions import Outcome, Step
from hps.monitor.update import due
from tests.monitor.telling import Telling

# What a publisher, a source or a server could send to take the page over.
HOSTILE = (
    "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
    "\x1b[2J\u202egnp.exe & </table></details></main>"
)


def model(
    telling: Telling, name: str = "ocr", *, serving: bool | None = True, **seen: object
) -> ModelStatus:
    """The snapshot of what was told, as a runner would take it."""
    facts: dict[str, object] = {
        "source": "http://models.example.org/ocr",
        "server": "triton 127.0.0.1:8001",
        "looked": telling.now - 4,
        "news": "same",
        "next_look": telling.now + 6,
        "verified": telling.now - 3600,
        **seen,
    }
    observed = Observed(serving=serving, **facts)  # type: ignore[arg-type]
    found = due(telling.state, telling.now, telling.rules)
    return ModelStatus.of(
        name,
        telling.state,
        updates(telling.records),
        observed=observed,
        waiting=found.waiting,
        until=found.until,
    )


def host(*models: ModelStatus, now: float, name: str = "gpu-17") -> MonitorStatus:
    """All of them on one host."""
    return MonitorStatus(name, "0.1.0", now - 86_400, now, models)


def calm() -> ModelStatus:
    """Live, and nothing to look at."""
    return model(Telling().live(1).live(2, sequence=12, version="2026.11"), "layout")


def refused() -> ModelStatus:
    """The last update was refused; what was live serves on."""
    telling = Telling().live(1).offer(2).do(Step.PULL)
    telling.fail(Outcome.CONTENT, "rollback", "release 3 is older than release 12, which was live")
    return model(telling, "ocr")


def awaiting() -> ModelStatus:
    """A generation waits for a person."""
    telling = Telling(Rules(approval=True))
    telling.offer(1).do(Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT)
    telling.wish(Wish.APPROVE, 1).do(Step.LOAD, Step.PROBE, Step.ACTIVATE)
    telling.offer(2).do(Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT)
    return model(telling, "table")


def dead() -> ModelStatus:
    """The server has lost it, and the source cannot be reached."""
    telling = Telling().live(1)
    mishap = Mishap(telling.now - 9, "unreachable", "connection refused: models.example.org:80")
    return model(telling, "formula", serving=False, mishap=mishap)


def empty() -> ModelStatus:
    """Nothing was ever offered."""
    return model(Telling(), "seal", serving=None, verified=None, news="absent")


def hostile() -> ModelStatus:
    """Whatever can come from outside tries to break out."""
    telling = Telling().live(1, version=HOSTILE).offer(2).do(Step.PULL)
    telling.fail(Outcome.CONTENT, HOSTILE, HOSTILE)
    mishap = Mishap(telling.now, HOSTILE, HOSTILE)
    return model(telling, HOSTILE, source=HOSTILE, server=HOSTILE, news=HOSTILE, mishap=mishap)
