"""The state of one model while a monitor looks after it: in the journal before anything is done.

What `hps.monitor.update` decides is written down here; `hps.monitor.recorded` is what others read.
"""

import random
import time
from dataclasses import replace

from hps.monitor.events import Event, Moment, Rules
from hps.monitor.history import Happened, Past, Release, added, entry_of, requests, updates
from hps.monitor.journal import Journal, JournalError
from hps.monitor.operator import Asked
from hps.monitor.ownership import Ownership
from hps.monitor.state import Cause, State, Update
from hps.monitor.update import advance, recover

_MOST = 100  # updates that are remembered, as the journal does


class Recording:
    """One model's state, and the journal that has it; for the one thread that looks after it.

    Args:
        journal: of the model, open.
        ownership: of it.
        rules: of updates.

    Attributes:
        state: how it stands.
        history: its updates, the newest first.
        answered: ids of what operators asked for and was done before this process began.

    Raises:
        JournalError: the journal ends with a state that cannot be read.
        DiskError: the disk.
    """

    def __init__(self, journal: Journal, ownership: Ownership, rules: Rules) -> None:
        self._journal, self._ownership, self._rules = journal, ownership, rules
        self._written: object = None
        records = journal.history()
        self.history: tuple[Past, ...] = updates(records, _MOST)
        self.answered = requests(records)
        self.state = recover(_last_state(journal), moment(), rules)

    @property
    def fence(self) -> int:
        """The counter of this monitor."""
        return self._ownership.fence

    def check(self) -> None:
        """Look whether the model is still ours, before every effect; raises OwnershipLostError."""
        self._ownership.check()

    def tell(
        self,
        event: Event,
        happened: Happened,
        *,
        release: Release | None = None,
        asked: Asked | None = None,
    ) -> State:
        """Let an event happen, and write down what it made of the state.

        Args:
            event: what happened.
            happened: the kind of it, for people.
            release: what was verified.
            asked: the request of a person that it is.

        Returns:
            The state before.

        Raises:
            UsageError: a person asks for what cannot be; nothing has changed.
            JournalError, DiskError: it cannot be written down, and must not be acted on.
        """
        before = self.state
        self.state = advance(before, event, moment(), self._rules)
        self.write(happened, release=release, asked=asked)
        return before

    def write(
        self, happened: Happened, *, release: Release | None = None, asked: Asked | None = None
    ) -> None:
        """Write the state down, if that says something new; raises as `tell`."""
        ended = self.state.ended
        if ended is not None and ended is not self.state.update:
            # The next update has begun already: how this one ended is to be read as well.
            self._append(happened, _as_it_ended(self.state, ended), None, None)
        state = self.state.as_json()
        if state != self._written or asked is not None:
            self._append(happened, self.state, release, asked)

    def _append(
        self, happened: Happened, state: State, release: Release | None, asked: Asked | None
    ) -> None:
        entry = entry_of(
            happened,
            state,
            release=release,
            by="" if asked is None else asked.by,
            request="" if asked is None else asked.id,
        )
        written = state.as_json()
        number = 0 if state.update is None else state.update.number
        record = self._journal.append(
            entry, written, update=number, time=time.time(), fence=self.fence
        )
        self._written = written
        self.history = added(self.history, record)[:_MOST]


def _as_it_ended(state: State, ended: Update) -> State:
    """The state before the next update began: what it is for is still wanted."""
    begun = state.update
    rollback = begun is not None and begun.cause is Cause.OPERATOR
    wanted = begun.number if begun is not None and rollback else state.wanted
    return replace(state, update=ended, wanted=wanted, ended=None)


def moment() -> Moment:
    """This one, and a draw."""
    return Moment(time.monotonic(), random.random())  # noqa: S311 - spreads retries


def _last_state(journal: Journal) -> State:
    if journal.last is None:
        return State()
    try:
        return State.from_json(journal.last.state)
    except ValueError as error:
        raise JournalError(
            f"the journal {journal.path} ends with a state that cannot be read: {error}",
            hint="was it written by a newer hps? then let that one run",
        ) from error
