"""What the files of a host say of its models, for people who ask without the monitor.

    STATE/NAME/journal/   see `hps.monitor.journal`
    STATE/NAME/lock       see `hps.monitor.ownership`
    STATE/NAME/requests/  see `hps.monitor.operator`

Everything here reads, and changes nothing; a monitor may be writing meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.errors import UsageError
from hps.monitor.disk import explained
from hps.monitor.events import Rules
from hps.monitor.history import Past, seconds, updates
from hps.monitor.journal import RECORDS, JournalError, read
from hps.monitor.journal_record import Record
from hps.monitor.ownership import Holder, holder_of
from hps.monitor.state import State
from hps.monitor.status import ModelStatus, Observed
from hps.monitor.transitions import Phase
from hps.monitor.update import due

JOURNAL, LOCK = "journal", "lock"


def model_folder(state: Path, name: str) -> Path:
    """Where journal, generations, staging, lock and requests of a model are."""
    return state / name


@dataclass(frozen=True, slots=True)
class Recorded:
    """One model, as its files tell.

    Args:
        name: of the model.
        folder: where its files are.
        state: at the end of the journal.
        history: all updates, the newest first.
        holder: the monitor that looks after it now; None: none does.
        verified: when a manifest was verified last, in seconds since the epoch.
    """

    name: str
    folder: Path
    state: State
    history: tuple[Past, ...]
    holder: Holder | None
    verified: float | None = None

    @classmethod
    def read(cls, folder: Path, name: str) -> "Recorded":
        """Read the files of a model.

        Raises:
            UsageError: there are none.
            JournalError: the journal is damaged.
            DiskError: something cannot be read.
        """
        if not (folder / JOURNAL / RECORDS).exists():
            raise UsageError(
                f"no monitor has looked after {name} in {folder.parent}",
                hint="--config names the settings, --state the folder of the monitor",
            )
        records = read(folder / JOURNAL)
        return cls(
            name,
            folder,
            _state(records, folder),
            updates(records),
            holder_of(folder / LOCK),
            verified_at(records),
        )

    def status(self, *, rules: Rules, observed: Observed, most: int = 10) -> ModelStatus:
        """The snapshot; what only a running monitor knows is in `observed`."""
        waiting = due(self.state, 0.0, rules).waiting
        return ModelStatus.of(
            self.name, self.state, self.history, observed=observed, waiting=waiting, most=most
        )


def names_in(state: Path) -> tuple[str, ...]:
    """The models that have a journal in a folder, in order. Raises DiskError."""
    with explained("read", state):
        found = [path.name for path in state.iterdir() if (path / JOURNAL / RECORDS).is_file()]
    return tuple(sorted(found))


def verified_at(records: Sequence[Record]) -> float | None:
    """When a manifest was verified last, in seconds since the epoch."""
    times = [seconds(one.time) for one in records if one.entry.get("phase") == Phase.VERIFIED]
    return times[-1] if times else None


def _state(records: Sequence[Record], folder: Path) -> State:
    if not records:
        return State()
    try:
        return State.from_json(records[-1].state)
    except ValueError as error:
        raise JournalError(
            f"the journal in {folder} holds a state that cannot be read: {error}",
            hint="was it written by another version of hps?",
        ) from error
