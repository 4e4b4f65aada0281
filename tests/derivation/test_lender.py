"""What others say: it leads on, and stands for making only what is lent."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.record import Derivation, Step
from hps.derivation.scheduler import Outputs, Scheduler, Workshop
from hps.digest import Blob, Digest
from tests.derivation.test_scheduler import Kitchen, step


@dataclass
class Neighbour:
    """Says what its kitchen has made; lends steps of some labels."""

    kitchen: Kitchen
    lent: tuple[str, ...]
    lies: Mapping[Digest, Outputs] = field(default_factory=dict)

    def get(self, derivation: Digest) -> Outputs | None:
        return self.lies.get(derivation) or self.kitchen.store.traces.get(derivation)

    def lends(self, step: Step, outputs: Outputs) -> bool:
        return step.label in self.lent and bool(outputs)


def scheduler(kitchen: Kitchen, lender: Neighbour, *, again: bool = False) -> Scheduler:
    workshop = Workshop(kitchen.store, Bubblewrap(), threading.Event())
    return Scheduler(
        workshop,
        kitchen.store.traces,
        lambda: {"text/1": kitchen.make},
        workers=2,
        again=again,
        lender=lender,
    )


def graph() -> tuple[Step, Step]:
    base = step("base", is_="base")
    return base, step("top", base, is_="top")


def made_next_door(tmp_path: Path) -> tuple[Kitchen, Outputs]:
    other = Kitchen(tmp_path / "other")
    _, top = graph()
    return other, other.scheduler().realise([top])[top]


def test_what_is_lent_and_there_is_not_made(tmp_path: Path) -> None:
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    kitchen.store.add(other.store.read(outputs["out"].digest, 1000))
    _, top = graph()
    done = scheduler(kitchen, Neighbour(other, ("top",))).realise([top])
    assert done[top] == outputs
    assert kitchen.made == []
    assert not list(kitchen.store.traces.all())  # it is not this store's own knowledge


def test_what_is_not_lent_is_made_though_its_bytes_are_there(tmp_path: Path) -> None:
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    for stored in other.store.list_blobs():
        kitchen.store.add(other.store.read(stored.blob.digest, 1000))
    _, top = graph()
    done = scheduler(kitchen, Neighbour(other, ())).realise([top])
    assert done[top] == outputs
    assert sorted(kitchen.made) == ["base", "top"]


def test_what_is_lent_and_gone_is_made(tmp_path: Path) -> None:
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    _, top = graph()
    assert scheduler(kitchen, Neighbour(other, ("top",))).realise([top])[top] == outputs
    assert sorted(kitchen.made) == ["base", "top"]


def test_a_lie_about_an_input_is_found_out_and_is_no_error(tmp_path: Path) -> None:
    """What is made here is what counts; nobody else's word is compared with it."""
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    base, top = graph()
    evil = Blob(Digest.of(b"evil"), 4)
    kitchen.store.add(b"evil")
    derivation = Derivation(base.kind, base.label, {}, base.parameters)
    lender = Neighbour(other, ("top",), {derivation.digest: {"out": evil}})
    assert scheduler(kitchen, lender).realise([top])[top] == outputs
    assert sorted(kitchen.made) == ["base", "top"]


def test_a_word_that_leaves_an_output_out(tmp_path: Path) -> None:
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    base, top = graph()
    derivation = Derivation(base.kind, base.label, {}, base.parameters)
    lender = Neighbour(other, ("top",), {derivation.digest: {"other": outputs["out"]}})
    assert scheduler(kitchen, lender).realise([top])[top] == outputs
    assert sorted(kitchen.made) == ["base", "top"]


def test_own_knowledge_comes_first(tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path / "own")
    base, top = graph()
    own = kitchen.scheduler().realise([top])[top]
    kitchen.made.clear()
    derivation = Derivation(base.kind, base.label, {}, base.parameters)
    evil = {"out": Blob(Digest.of(b"evil"), 4)}
    lender = Neighbour(Kitchen(tmp_path / "other"), ("base", "top"), {derivation.digest: evil})
    assert scheduler(kitchen, lender).realise([top])[top] == own
    assert kitchen.made == []


def test_checking_makes_what_was_lent(tmp_path: Path) -> None:
    other, outputs = made_next_door(tmp_path)
    kitchen = Kitchen(tmp_path / "own")
    kitchen.store.add(other.store.read(outputs["out"].digest, 1000))
    _, top = graph()
    scheduler(kitchen, Neighbour(other, ("base", "top")), again=True).realise([top])
    assert sorted(kitchen.made) == ["base", "top"]
