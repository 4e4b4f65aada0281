"""What is known of a model, as the journal keeps it: nothing is lost, and nonsense is refused."""

import copy
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hps import canonical
from hps.digest import Digest
from hps.model.policy import Known
from hps.monitor.sighting import Mark
from hps.monitor.state import Barred, Cause, Kept, State, Update, with_barred
from hps.monitor.transitions import ENDS, TABLE, Phase, Place, Step

MARK = Mark("donefile", "others", "model", settled=True)
KNOWN = Known(7, Digest.of(b"release"), frozenset({"key"}), datetime(2026, 1, 31, tzinfo=UTC))
UPDATE = Update(
    5,
    Cause.SOURCE,
    Phase.STAGED,
    Step.ASK,
    MARK,
    "content 5",
    "load-unknown",
    "no answer",
    KNOWN,
    approved=True,
    committed=True,
    repeated=3,
)
STATE = State(
    update=UPDATE,
    live=Kept(4, "content 4"),
    kept=(Kept(2, "content 2"), Kept(3, "content 3")),
    barred=(Barred(1, "content 1", "rollback"),),
    highest=5,
    processed=MARK,
    known=KNOWN,
    held=True,
    wanted=2,
)


@pytest.mark.parametrize("state", [State(), STATE])
def test_a_state_outlives_the_journal(state: State) -> None:
    read = State.from_json(canonical.loads(canonical.dumps(state.as_json())))
    assert read == state
    assert read.as_json() == state.as_json()


@pytest.mark.parametrize("place", [*TABLE, *ENDS], ids=str)
def test_every_place_outlives_the_journal(place: Place) -> None:
    update = Update(1, Cause.OPERATOR, *place)
    assert Update.from_json(update.as_json()).place == place


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a record."""
    yield before
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, one in inner:
        yield from paths(one, (*before, key))


def replaced(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    record = copy.deepcopy(record)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return record


NONSENSE: list[object] = [None, True, -1, 2**60, 1.5, "", "\x00", [], {}, [[]], {"number": 1}]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=repr)
def test_nonsense_anywhere_is_refused_or_means_something(nonsense: object) -> None:
    record = STATE.as_json()
    refused = 0
    for path in paths(record):
        try:
            read = State.from_json(replaced(record, path, nonsense))
        except ValueError:
            refused += 1
        else:
            assert State.from_json(read.as_json()) == read
    assert refused > 10


@pytest.mark.parametrize("key", sorted(STATE.as_json()))
def test_a_state_that_lacks_something_is_refused(key: str) -> None:
    record = STATE.as_json()
    del record[key]
    with pytest.raises(ValueError, match=key):
        State.from_json(record)
    with pytest.raises(ValueError, match="nobody knows"):
        State.from_json({**STATE.as_json(), "more": 1})


def test_a_step_that_is_never_due_there_is_refused() -> None:
    record = replaced(STATE.as_json(), ("update", "step"), "activate")
    with pytest.raises(ValueError, match="never staged with activate"):
        State.from_json(record)


def test_the_list_of_what_is_not_let_in_stays_bounded() -> None:
    barred: tuple[Barred, ...] = ()
    for number in range(500):
        barred = with_barred(barred, Barred(number, f"content {number}", "rollback"))
    assert len(barred) == 128
    barred = with_barred(barred, Barred(500, barred[0].identity, "rollback"))
    assert (len(barred), barred[-1].reason) == (128, "rollback")
    assert State(barred=barred).reason_against(barred[-1].identity) == "rollback"
    assert State.from_json(State(barred=barred).as_json()).barred == barred
