"""One model that a runner looks after: published in a folder, served by a double, kept by a journal.

`once` runs the loop in the thread of the test until nothing is left to do, so that nothing has to
be waited for.
"""

import io
import json
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hps.config.monitor import WatchedModel
from hps.model.policy import ModelPolicy, Trust
from hps.monitor.backoff import Backoff
from hps.monitor.events import Rules, Wish
from hps.monitor.generations import Generations
from hps.monitor.history import Past, updates
from hps.monitor.journal import read
from hps.monitor.logs import set_up
from hps.monitor.metrics import Metrics
from hps.monitor.operator import Answer, Asked, Desk
from hps.monitor.pulled import Effort
from hps.monitor.pulse import Pulse
from hps.monitor.runner import Runner, Terms
from hps.monitor.sighting import Pace
from hps.monitor.source import Source
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.monitor.status import ModelStatus, MonitorStatus
from hps.monitor.steps import Steps
from tests.monitor.servers.double import DoubleServer, World

NAME = "ocr"
SHORT = Backoff(first=0.01, most=0.02)
TERMS = Terms(
    interval=0.02,
    jitter=0.0,
    rules=Rules(keep=2, retry=SHORT, repeat=Backoff(first=600.0, most=600.0)),
    pace=Pace(settle=0.05, quiet=0.0, blind=0.0),
)
# A failed step is not tried again while a run looks once.
PATIENT = replace(TERMS, rules=replace(TERMS.rules, retry=Backoff(first=600.0, most=600.0)))


@dataclass
class LookedAfter:
    """A model, and all that is around it.

    Args:
        folder: of the test.
        policy: whom to trust.
        settings: further settings of `[monitor.models.ocr]`.
        terms: how it is looked after.
    """

    folder: Path
    policy: ModelPolicy = field(default_factory=lambda: ModelPolicy(name=NAME, trust=Trust.NONE))
    settings: Mapping[str, Any] = field(default_factory=lambda: {"verify": "none"})
    terms: Terms = PATIENT
    world: World = field(default_factory=World)
    stop: threading.Event = field(default_factory=threading.Event)
    pulse: Pulse = field(default_factory=Pulse)
    log: io.StringIO = field(default_factory=io.StringIO)
    packed: bool = True

    def __post_init__(self) -> None:
        self.published = self.folder / "published"
        self.published.mkdir(parents=True)
        self.state = self.folder / "state" / NAME
        self.metrics = Metrics([NAME], lambda: MonitorStatus("host", "0", 0.0, 0.0))
        self.runner = self.made()
        set_up(self.log, form="json", debug=True)

    def made(self, source: Source | None = None) -> Runner:
        """A runner as a new process makes it."""
        self.steps = Steps(
            self.model(),
            self.policy,
            source or self.source(),
            DoubleServer(self.world),
            Generations(self.state),
            self.stop,
            lambda size: self.metrics.pulled(NAME, size),
            effort=Effort(attempts=2, first_delay=0.01, longest_delay=0.02),
        )
        return Runner(
            NAME,
            self.state,
            self.steps,
            self.terms,
            metrics=self.metrics,
            pulse=self.pulse,
            stop=self.stop,
        )

    def model(self) -> WatchedModel:
        return WatchedModel.model_validate(
            {
                "source": {"type": "general", "host": "file:///", "path": "/", "model": "x"},
                "server": {"type": "exec", "activate": ["true"]},
                "caps": {"spare": 0},
                **self.settings,
            }
        )

    def source(self) -> LocalSource:
        model = "model.tar" if self.packed else "model"
        return LocalSource(
            LocalPlace(folder=self.published, model=model, donefile="donefile", packed=self.packed)
        )

    def publish(self, version: int, files: Mapping[str, bytes] | None = None) -> None:
        """Publish a model: in one file, then its donefile."""
        files = {"weights": f"{version}\n".encode()} if files is None else files
        if not self.packed:
            for name, data in files.items():
                path = self.published / "model" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        else:
            new = self.published / ".new"
            with tarfile.open(new, "w") as archive:
                for name, data in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
            new.rename(self.published / "model.tar")
        (self.published / "donefile").write_text(f"{version}\n")

    def once(self) -> int:
        """Look until nothing is left to do now; the exit code."""
        self.runner.run(once=True)
        return self.runner.code

    def anew(self, **changed: Any) -> int:
        """The same by a new process, with other terms if need be."""
        self.stop = threading.Event()
        for name, value in changed.items():
            setattr(self, name, value)
        self.runner = self.made()
        return self.once()

    def ask(self, wish: Wish, number: int | None = None, by: str = "ada") -> Asked:
        return Desk(self.state).ask(wish, number, by=by, why="", now=1_800_000_000.0)

    def answer(self, asked: Asked) -> Answer | None:
        return Desk(self.state).answer_to(asked)

    @property
    def status(self) -> ModelStatus:
        return self.runner.status()

    @property
    def live(self) -> int | None:
        """The generation that is live by word of the monitor, which is the one that answers."""
        live = self.status.live
        assert self.world.active == (None if live is None else live.number)
        return self.world.active

    @property
    def served(self) -> str:
        """What clients get."""
        answer = self.world.answer()
        assert answer is not None
        return answer["weights"].decode().strip()

    def history(self) -> tuple[Past, ...]:
        """From the files."""
        return updates(read(self.state / "journal"))

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def counted(self, name: str) -> dict[tuple[str, ...], int]:
        """The values of a counter that are not 0, by their labels."""
        found = {}
        for family in self.metrics.families():
            for one in family.samples:
                if one.name == f"hps_monitor_{name}_total" and one.value:
                    labels = tuple(v for k, v in one.labels.items() if k != "model")
                    found[labels] = int(one.value)
        return found
