"""The update of one model as a state machine: what happened comes in, what is to be done comes out.

Pure: no file, no network, no clock, no chance; all of them come in as values. The machine knows
which step is due, whether a failure is passing or final, and what a new process makes of what a
killed one left. Doing the steps is the business of `hps.monitor.runner`, which

1. asks `due` what is to be done,
2. writes the state to the journal if it changed,
3. does the step, and hands what came of it to `advance`;

events come one at a time, and none while a step is being done. The table of all transitions is
data (`hps.monitor.transitions`, docs/reference/model-update.md).

What always holds, whatever happens: only a generation that was verified is ever live; a server
never has two loads at once; while an operator holds, nothing that the source offers goes live; a
failure that can pass is tried again for ever, with growing waits, and leaves the live one alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from hps.errors import UsageError
from hps.monitor.events import (
    Done,
    Due,
    Event,
    Failed,
    Moment,
    Offered,
    Request,
    Rules,
    Served,
    Waiting,
    Wish,
)
from hps.monitor.sighting import Mark
from hps.monitor.state import Barred, Cause, Kept, State, Update, with_barred
from hps.monitor.transitions import RECOVERY, TABLE, Outcome, Phase, Step
from hps.store.foreign_text import printable

_LONGEST_DETAIL = 500
_FAILED = frozenset(
    {Outcome.CONTENT, Outcome.BROKEN, Outcome.PASSING, Outcome.GONE, Outcome.UNKNOWN, Outcome.HANGS}
)
_TRIED_AGAIN = frozenset({Outcome.ANEW, Outcome.BROKEN, Outcome.PASSING, Outcome.UNKNOWN})
# Steps that bring a new generation nearer to requests.
_HELD_BACK = frozenset({Step.LOAD, Step.PROBE, Step.ACTIVATE})
_REPEATED = frozenset({(Phase.REFUSED, Step.PULL), (Phase.QUARANTINED, Step.LOAD)})
OPERATOR = "operator"  # reason: a person said so


def due(state: State, now: float, rules: Rules) -> Due:
    """What is to be done for a model."""
    update = state.busy
    if update is None:
        return Due(Step.NOTHING)
    if update.cause is Cause.SOURCE and not update.committed and update.step in _HELD_BACK:
        if state.held:
            return Due(Step.WAIT, update.number, None, Waiting.RELEASE)
        if rules.approval and not update.approved:
            return Due(Step.WAIT, update.number, None, Waiting.APPROVAL)
    if update.due > now:
        return Due(Step.WAIT, update.number, update.due, Waiting.TIME)
    afresh = update.place == (Phase.REFUSED, Step.PULL)
    return Due(update.step, update.number, afresh=afresh)


def advance(state: State, event: Event, moment: Moment, rules: Rules) -> State:
    """What an event makes of a state.

    Raises:
        UsageError: an operator asks for what cannot be.
        ValueError: the event answers a step that is not due: a fault in the caller.
    """
    state = replace(state, ended=None)
    if isinstance(event, Offered):
        return _offered(state, event.mark, moment, rules)
    if isinstance(event, Request):
        return _asked(state, event, moment, rules)
    if isinstance(event, Served):
        return _served(state, event.numbers, moment, rules)
    update = state.busy
    if update is None or event.step is not update.step:
        raise ValueError(f"{event.step} is not what was to be done")
    if event == Done(Step.PULL):
        raise ValueError("what was pulled has no identity")
    if isinstance(event, Failed):
        return _failed(state, update, event, moment, rules)
    return _done(state, update, event, moment, rules)


def recover(state: State, moment: Moment, rules: Rules) -> State:
    """What a new process makes of the state that the journal ends with."""
    update = state.busy
    if update is None:
        return _next(state, moment)
    place = RECOVERY[update.place]
    if place is None:
        # No server has seen the number, and what was pulled lies under it.
        return _next(replace(state, update=None, highest=update.number - 1), moment)
    slow = 0.0
    if update.place in _REPEATED and update.repeated:
        slow = rules.repeat.delay(update.repeated, moment.draw)
    # Nobody knows whether the activation had begun.
    committed = update.committed or update.phase is Phase.PROBED
    moved = replace(
        update, phase=place[0], step=place[1], committed=committed, due=moment.now + slow
    )
    return replace(state, update=moved)


def rollback_target(state: State, number: int | None) -> Kept:
    """The generation that an operator means.

    Raises:
        UsageError: it is not there, or it is live.
    """
    numbers = [one.number for one in state.kept]
    if number is None and numbers:
        return state.kept[-1]
    for one in state.kept:
        if one.number == number:
            return one
    raise UsageError(
        "there is no such generation to roll back to"
        if number is not None
        else "there is no earlier generation to roll back to",
        expected=", ".join(map(str, numbers)) or None,
        got=number,
        hint="`hps monitor status` shows what is live and what is kept",
    )


def _offered(state: State, mark: Mark, moment: Moment, rules: Rules) -> State:
    update = state.busy
    if update is None:
        return _begin(state, mark, moment)
    if mark.is_like(update.mark):
        return replace(state, update=replace(update, mark=mark), offer=None)
    row = TABLE[update.place]
    # What is being prepared is finished first: a source that publishes faster than that would
    # otherwise never get anything live.
    idle = update.step is Step.PULL or due(state, moment.now, rules).step is Step.WAIT
    if Outcome.NEWER in row and idle and update.cause is not Cause.OPERATOR:
        return _begin(state, mark, moment)
    return replace(state, offer=mark)


def _begin(state: State, mark: Mark, moment: Moment) -> State:
    update = Update(
        state.highest + 1, Cause.SOURCE, Phase.DETECTED, Step.PULL, mark, due=moment.now
    )
    return replace(state, update=update, offer=None)


def _done(state: State, update: Update, event: Done, moment: Moment, rules: Rules) -> State:
    if event.step is Step.PULL:
        if event.mark is not None and not event.mark.is_like(update.mark):
            state = replace(state, offer=None if event.mark.is_like(state.offer) else state.offer)
            update = replace(update, mark=event.mark)
        return _pulled(state, update, event.identity, moment, rules)
    if event.step is Step.VERIFY:
        known = event.known
        update = replace(update, known=known)
        if known is not None:  # time has gone on, whatever becomes of the release
            state = replace(state, known=replace(state.known, floor=known.floor))
    elif event.step is Step.STAGE:
        update = replace(update, failures=0, repeated=0)
    elif event.step is Step.PROBE or event.step is Step.WITHDRAW:
        update = replace(update, deadline=None)
    return _move(state, update, Outcome.DONE, moment, rules)


def _pulled(state: State, update: Update, identity: str, moment: Moment, rules: Rules) -> State:
    again = update.phase is Phase.REFUSED and identity == update.identity
    if again:  # the very same wrong bytes: the way they took is not to blame
        update = replace(update, repeated=update.repeated + 1)
        return _move(state, update, Outcome.BROKEN, moment, rules)
    update = replace(update, identity=identity, repeated=0)
    reason = state.reason_against(identity)
    if state.live is not None and identity == state.live.identity:
        return _move(state, update, Outcome.SAME, moment, rules)
    if reason is not None:
        return _move(state, replace(update, reason=reason), Outcome.LISTED, moment, rules)
    state = replace(state, highest=max(state.highest, update.number))
    return _move(state, update, Outcome.DONE, moment, rules)


def _failed(state: State, update: Update, event: Failed, moment: Moment, rules: Rules) -> State:
    if event.outcome not in _FAILED:
        raise ValueError(f"{event.outcome} is no failure")
    outcome = event.outcome
    if outcome is Outcome.UNKNOWN and event.step in {Step.LOAD, Step.PROBE}:
        if event.step is Step.PROBE and _is_overdue(update, moment):
            outcome = Outcome.OVERDUE
        if update.deadline is None:
            update = replace(update, deadline=moment.now + rules.load_time)
    failures = update.failures + 1
    # Refused in the middle of a pull, it has no identity by which to tell it from another.
    again = event.step is Step.PULL and outcome is Outcome.BROKEN and update.reason == event.reason
    update = replace(
        update,
        reason=event.reason,
        repeated=update.repeated + again,
        detail=printable(event.detail, _LONGEST_DETAIL),
        failures=failures,
        committed=update.committed or event.step is Step.ACTIVATE,
    )
    if outcome is Outcome.CONTENT and event.step is Step.ACTIVATE:
        update = replace(update, committed=False)  # the server is sure that the old one serves
    outcome = _tolerant(update, outcome)
    wait = rules.retry.delay(failures, moment.draw, after=event.after)
    return _move(
        state, update, outcome, moment, rules, wait=wait if outcome in _TRIED_AGAIN else 0.0
    )


def _tolerant(update: Update, outcome: Outcome) -> Outcome:
    """An outcome as the place and the cause let it be taken."""
    row = TABLE[update.place]
    stuck = outcome in {Outcome.HANGS, Outcome.OVERDUE} and outcome in row
    if stuck and update.cause is Cause.OPERATOR:  # it is not to come back in an hour by itself
        return Outcome.CONTENT if Outcome.CONTENT in row else Outcome.REFUSE
    if (stuck or outcome is Outcome.CONTENT) and update.cause is Cause.REVIVAL:
        # It was live: there is nothing better to go back to. What is in the server is undone,
        # and loaded afresh.
        return next(one for one in (Outcome.ANEW, Outcome.ABSENT, Outcome.PASSING) if one in row)
    if outcome is Outcome.GONE and update.cause is Cause.REVIVAL:
        return Outcome.PASSING  # to forget it would be to begin it again at once
    return outcome if outcome in row else Outcome.PASSING


def _served(state: State, numbers: Sequence[int], moment: Moment, rules: Rules) -> State:
    update = state.busy
    if update is None or update.step is not Step.ASK:
        return _revived(state, numbers, moment)
    if update.number in numbers:
        return _move(state, update, Outcome.PRESENT, moment, rules)
    if update.deadline is None or Outcome.PENDING not in TABLE[update.place]:
        return _move(state, update, Outcome.ABSENT, moment, rules)
    if _is_overdue(update, moment):
        return _move(state, update, _tolerant(update, Outcome.OVERDUE), moment, rules)
    update = replace(update, failures=update.failures + 1)
    wait = rules.retry.delay(update.failures, moment.draw)
    return _move(state, update, Outcome.PENDING, moment, rules, wait=wait)


def _revived(state: State, numbers: Sequence[int], moment: Moment) -> State:
    """The server was asked as a routine; a new start may have cost it the live generation."""
    live, busy = state.live, state.busy
    if live is None or live.number in numbers:
        return state
    if busy is not None:
        if busy.cause is not Cause.SOURCE or Outcome.NEWER not in TABLE[busy.place]:
            return state  # what is under way will be the live one, or is being undone
        state = replace(state, offer=state.offer or busy.mark)
    update = Update(
        live.number,
        Cause.REVIVAL,
        Phase.STAGED,
        Step.LOAD,
        identity=live.identity,
        due=moment.now,
    )
    return replace(state, update=update)


def _is_overdue(update: Update, moment: Moment) -> bool:
    return update.deadline is not None and moment.now >= update.deadline


def _asked(state: State, request: Request, moment: Moment, rules: Rules) -> State:
    update = state.busy
    if request.wish is Wish.RELEASE:
        return replace(state, held=False)
    if request.wish is Wish.HOLD:
        state = replace(state, held=True)
        return state if update is None else _held(state, update, moment, rules)
    if request.wish is Wish.APPROVE:
        return _approved(state, request)
    if request.wish is Wish.REFUSE:
        if update is None or request.number not in {None, update.number}:
            raise _no_such_update(state, request)
        if update.committed or update.cause is Cause.REVIVAL:
            raise UsageError(
                f"generation {update.number} may answer requests already",
                hint="roll back when it is live: `hps monitor rollback`",
            )
        return _dropped(state, update, request, moment, rules)
    target = rollback_target(state, request.number)
    state = replace(state, wanted=target.number)
    if update is None:
        return _next(state, moment)
    return _dropped(state, update, request, moment, rules)


def _held(state: State, update: Update, moment: Moment, rules: Rules) -> State:
    """What is in the server already, and is not to go live, goes back."""
    holdable = update.cause is Cause.SOURCE and not update.committed
    if state.held and holdable and Outcome.HOLD in TABLE[update.place]:
        return _move(state, update, Outcome.HOLD, moment, rules)
    return state


def _approved(state: State, request: Request) -> State:
    """Let the update at hand go live, or let content be offered again that was refused."""
    update = state.busy
    if update is not None and request.number in {None, update.number}:
        return replace(state, update=replace(update, approved=True))
    barred = tuple(one for one in state.barred if one.number != request.number)
    last = state.update
    ended = last is not None and last.over and last.phase is not Phase.LIVE
    known = ended and last is not None and last.number == request.number
    if len(barred) == len(state.barred) and not known:
        raise _no_such_update(state, request)
    return replace(state, barred=barred, processed=None)


def _dropped(state: State, update: Update, request: Request, moment: Moment, rules: Rules) -> State:
    row = TABLE[update.place]
    if update.cause is Cause.REVIVAL and Outcome.NEWER in row:
        return _next(replace(state, update=None), moment)
    if Outcome.REFUSE not in row or update.committed or update.cause is Cause.REVIVAL:
        return state  # it is being undone anyway, or can only be carried on
    update = replace(
        update,
        reason=OPERATOR,
        detail=printable(request.detail, _LONGEST_DETAIL),
    )
    return _move(state, update, Outcome.REFUSE, moment, rules)


def _no_such_update(state: State, request: Request) -> UsageError:
    update = state.busy
    return UsageError(
        f"there is nothing to {request.wish}",
        expected=None if update is None else f"generation {update.number}",
        got=None if request.number is None else f"generation {request.number}",
        hint="`hps monitor status` shows what is under way and what was refused",
    )


def _move(
    state: State,
    update: Update,
    outcome: Outcome,
    moment: Moment,
    rules: Rules,
    *,
    wait: float = 0.0,
) -> State:
    """Follow the table, and tidy up where the update is over."""
    place = TABLE[update.place][outcome]
    if place is None:
        processed = state.processed if outcome is Outcome.GONE else update.mark
        return _next(replace(state, update=None, processed=processed), moment)
    if place == (Phase.QUARANTINED, Step.LOAD):
        update = replace(update, repeated=update.repeated + 1)
    if update.repeated and place in _REPEATED:
        wait = rules.repeat.delay(update.repeated, moment.draw)
    before = update.step
    update = replace(update, phase=place[0], step=place[1], due=moment.now + wait)
    if update.over:
        return _next(_closed(state, update, rules), moment)
    if outcome is Outcome.ABSENT:
        update = replace(update, committed=False)
    if update.step is Step.LOAD and update.cause is not Cause.OPERATOR:
        # Nothing of it is in the server. What was offered while it was being prepared has to wait,
        # or a source that publishes all the time would never get anything live.
        overtaken = state.offer is not None and before is not Step.INSPECT
        if state.wanted is not None and update.cause is Cause.SOURCE:
            refused = replace(update, reason=OPERATOR)
            return _move(state, refused, Outcome.REFUSE, moment, rules)
        if overtaken or state.wanted is not None:
            return _next(replace(state, update=None), moment)
    state = replace(state, update=update)
    return _held(state, update, moment, rules)


def _closed(state: State, update: Update, rules: Rules) -> State:
    """An update is over, one way or another."""
    processed = state.processed if update.mark is None else update.mark
    highest = max(state.highest, update.number)
    state = replace(state, update=update, processed=processed, highest=highest, ended=update)
    if update.phase is Phase.LIVE:
        return _gone_live(state, update, rules)
    if update.identity is None or update.cause is not Cause.SOURCE:
        return state
    barred = Barred(update.number, update.identity, update.reason or OPERATOR)
    return replace(state, barred=with_barred(state.barred, barred))


def _gone_live(state: State, update: Update, rules: Rules) -> State:
    live, before = Kept(update.number, update.identity or ""), state.live
    kept = tuple(one for one in (*state.kept, before) if one and one.number != live.number)
    barred = tuple(one for one in state.barred if one.identity != live.identity)
    if update.cause is Cause.OPERATOR and before is not None:
        # The source may offer it still: it is not to come back by itself.
        barred = with_barred(barred, Barred(before.number, before.identity, OPERATOR))
    update = replace(update, reason=None, detail="")
    return replace(
        state,
        update=update,
        ended=update,
        live=live,
        kept=kept[-rules.keep :] if rules.keep else (),
        barred=barred,
        known=update.known or state.known,
    )


def _next(state: State, moment: Moment) -> State:
    """What an operator or the source asked for while an update was under way."""
    if state.wanted is not None:
        wanted = next((one for one in state.kept if one.number == state.wanted), None)
        state = replace(state, wanted=None)
        if wanted is not None:
            update = Update(
                wanted.number,
                Cause.OPERATOR,
                Phase.STAGED,
                Step.INSPECT,
                identity=wanted.identity,
                reason=OPERATOR,
                due=moment.now,
            )
            return replace(state, update=update)
    return state if state.offer is None else _begin(state, state.offer, moment)
