"""After how long without a sign of life a model's loop is taken for dead, by what it does. Pure.

Each is longer than the deadlines that the work has itself, for a loop that is declared dead while
it works is ended by its supervisor, again and again. What tells of its progress (bytes that are
pulled, unpacked, hashed) has to tell of it more often; what cannot has all of its time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hps.config.monitor import ExecServer, TritonServer, WatchedModel
from hps.monitor.transitions import Step

IDLE = 60.0  # seconds between two rounds of a loop that has nothing to do
_MARGIN = 60.0  # for a machine that is very busy
_SILENT = 900.0  # one piece of work on the disk: an fsync of a large file on a slow disk
_DISK = 3600.0  # a whole model that is made to last, or copied to another file system
_LONGEST_WAIT = 60.0  # between two attempts of a pull (`pulled.Effort`)
_QUESTION = 120.0  # to a server: what it serves, or an inference; adapters ask for a minute


@dataclass(frozen=True, slots=True)
class Deadlines:
    """For one model, in seconds.

    Args:
        look: for one look at the source.
        steps: for each step, or from one sign of its progress to the next.
    """

    look: float
    steps: Mapping[Step, float]

    @classmethod
    def of(cls, model: WatchedModel) -> "Deadlines":
        """Those that follow from the settings of a model."""
        patience = model.patience
        silence = patience.connect + patience.idle + _LONGEST_WAIT
        change, retire = _of_server(model)
        return cls(
            # A look asks twice: for the donefile, and for the model.
            look=2 * patience.total + _MARGIN,
            steps={
                Step.PULL: max(silence, _SILENT) + _MARGIN,
                Step.VERIFY: _SILENT + _MARGIN,
                Step.STAGE: _DISK + _MARGIN,
                Step.INSPECT: _QUESTION + _MARGIN,
                Step.LOAD: change + _MARGIN,
                Step.ASK: _QUESTION + _MARGIN,
                Step.PROBE: max(1, len(model.members)) * _QUESTION + _MARGIN,
                Step.ACTIVATE: change + retire + _MARGIN,
                Step.WITHDRAW: change + retire + _MARGIN,
            },
        )

    def step(self, step: Step) -> float:
        """For one step."""
        return self.steps.get(step, IDLE)

    @property
    def question(self) -> float:
        """For the routine question what the server serves."""
        return self.steps.get(Step.ASK, _QUESTION)


def _of_server(model: WatchedModel) -> tuple[float, float]:
    """Seconds for a change of what a server holds, and for retiring what it held before."""
    match model.server:
        case TritonServer(load_deadline=load, drain=drain):
            count = max(1, len(model.members))
            # A load waits for another one first, and may be followed by one under another name.
            return _DISK + 3 * count * load, 2 * count * drain
        case ExecServer(deadline=deadline):
            return deadline, 0.0
        case _:
            return _DISK, 0.0
