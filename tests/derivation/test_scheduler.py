"""The scheduler: each derivation once, early cut-off, comparison, interrupts."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.record import Derivation, Step
from hps.derivation.scheduler import Scheduler, Workshop
from hps.digest import Blob, Digest
from hps.errors import BuildError, NotReproducibleError
from hps.store.blobs import Store


class Kitchen:
    """Executors that write text and remember what they made."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.made: list[str] = []
        self.answer: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def make(self, derivation: Derivation, workshop: Workshop) -> Mapping[str, Blob]:
        with self.lock:
            self.made.append(derivation.label)
        if derivation.label == "broken":
            raise BuildError("the step is broken")
        parts = [workshop.store.read(digest, 1000) for digest in derivation.inputs.values()]
        text = self.answer.get(derivation.label, str(derivation.parameters).encode())
        return {"out": workshop.store.add(b"|".join([text, *parts]))}

    def scheduler(self, *, again: bool = False) -> Scheduler:
        workshop = Workshop(self.store, Bubblewrap(), threading.Event())
        return Scheduler(
            workshop, self.store.traces, lambda: {"text/1": self.make}, workers=2, again=again
        )


def step(label: str, *inputs: Step, **parameters: str) -> Step:
    return Step("text/1", label, {one.label: (one, "out") for one in inputs}, parameters)


def test_inputs_come_first_and_each_is_made_once(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    base = step("base", is_="base")
    left, right = step("left", base, is_="l"), step("right", base, is_="r")
    done = kitchen.scheduler().realise([step("top", left, right, is_="t"), left])
    assert sorted(kitchen.made) == ["base", "left", "right", "top"]
    assert kitchen.made[0] == "base"
    assert kitchen.made[-1] == "top"
    assert len(done) == 4


def test_what_a_trace_knows_is_not_made_again(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    top = step("top", step("base", is_="base"), is_="t")
    first = kitchen.scheduler().realise([top])
    kitchen.made.clear()
    again = kitchen.scheduler().realise([step("top", step("base", is_="base"), is_="t")])
    assert kitchen.made == []
    assert {one["out"] for one in again.values()} <= {one["out"] for one in first.values()}


def test_a_collected_input_of_a_kept_output_costs_nothing(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    base = step("base", is_="base")
    top = step("top", base, is_="t")
    done = kitchen.scheduler().realise([top])
    (kitchen.store.blobs / done[base]["out"].digest.hex).unlink()
    kitchen.made.clear()
    survey = kitchen.scheduler().survey([top])
    assert survey.make == ()
    (kitchen.store.blobs / done[top]["out"].digest.hex).unlink()
    kitchen.scheduler().realise([top])
    assert sorted(kitchen.made) == ["base", "top"]


def test_an_input_that_comes_out_as_before_stops_the_rebuild(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    kitchen.answer["base"] = b"same bytes"
    kitchen.scheduler().realise([step("top", step("base", is_="old"), is_="t")])
    kitchen.made.clear()
    kitchen.scheduler().realise([step("top", step("base", is_="new"), is_="t")])
    assert kitchen.made == ["base"]


def test_the_survey_names_the_artifacts_that_are_needed(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    artifact = kitchen.store.add(b"artifact").digest
    needs = Step("text/1", "needs", {"artifact": artifact}, {})
    top = step("top", needs, is_="t")
    assert kitchen.scheduler().survey([top]).artifacts == (artifact,)
    kitchen.scheduler().realise([top])
    assert kitchen.scheduler().survey([top]).artifacts == ()


def test_again_makes_everything_and_compares(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    top = step("top", step("base", is_="b"), is_="t")
    kitchen.scheduler().realise([top])
    kitchen.scheduler(again=True).realise([top])
    assert kitchen.made == ["base", "top"] * 2
    kitchen.answer["top"] = b"another answer"
    with pytest.raises(NotReproducibleError, match="top: made again"):
        kitchen.scheduler(again=True).realise([top])


def test_a_doubted_step_is_made_and_compared_and_no_other(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    artifact = kitchen.store.add(b"artifact").digest
    base = Step("text/1", "base", {"artifact": artifact}, {"is": "b"})
    top = step("top", base, is_="t")
    kitchen.scheduler().realise([top])
    assert kitchen.scheduler().survey([top], doubted=[top]).make == (top,)
    assert kitchen.scheduler().survey([top], doubted=[base]).make == ()  # nobody asks for it
    assert kitchen.scheduler().survey([top, base], doubted=[base]).artifacts == (artifact,)
    kitchen.made.clear()
    kitchen.scheduler().realise([top], doubted=[top])
    assert kitchen.made == ["top"]
    kitchen.answer["top"] = b"another answer"
    with pytest.raises(NotReproducibleError, match="top: made again"):
        kitchen.scheduler().realise([top], doubted=[top])


def test_a_failure_stops_the_build_and_leaves_no_trace(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path)
    broken = step("broken", step("base", is_="b"), is_="x")
    for _ in range(2):
        with pytest.raises(BuildError, match="broken"):
            kitchen.scheduler().realise([step("top", broken, is_="t")])
    assert kitchen.made == ["base", "broken", "broken"]


def test_the_label_is_no_part_of_the_identity() -> None:
    one = Derivation("text/1", "a", {"x": Digest.of(b"1")}, {"p": 1})
    other = Derivation("text/1", "b", {"x": Digest.of(b"1")}, {"p": 1})
    assert one.digest == other.digest
    assert Derivation("text/2", "a", {"x": Digest.of(b"1")}, {"p": 1}).digest != one.digest
