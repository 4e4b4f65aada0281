"""What every kind of model server must do, asked of real ones through one small port of the tests.

class TestTriton(ServerContract):
    @pytest.fixture
    def host(self, ...) -> Host: ...
"""

from pathlib import Path
from typing import Protocol

import pytest

from hps.monitor.generations import Generations
from hps.monitor.server import Fault, Generation, Server, ServerError


class Host(Protocol):
    """A model server with clients, as a test sees it.

    Args:
        beside: whether a generation that was not yet activated leaves clients alone, and is named
            by `live`.
    """

    beside: bool

    def server(self) -> Server:
        """The adapter as a new process of the monitor would make it."""
        ...

    def answering(self) -> int | None:
        """The generation that answers a client now, by what it answers; None: none of ours."""
        ...

    def generation(self, number: int) -> Generation:
        """A sound generation of this number; the same each time."""
        ...

    def start_anew(self) -> None:
        """End the model server, and start it again; pytest.skip for one that cannot be told."""
        ...


def sealed(folder: Path, number: int, files: dict[str, bytes]) -> Generation:
    """A generation as the monitor makes it."""
    generations = Generations(folder)
    path = generations.path(number)
    if not path.exists():
        tree = generations.staging(number) / "tree"
        for name, data in files.items():
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        tree.mkdir(exist_ok=True)
        generations.publish(number, tree)
    return Generation(number, path)


def deploy(host: Host, number: int, old: int | None = None) -> None:
    """All steps, each by a process of its own."""
    generation = host.generation(number)
    before = None if old is None else host.generation(old)
    host.server().inspect(generation)
    host.server().load(generation)
    host.server().probe(generation, None)
    host.server().activate(generation, before)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a tree."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fault_of(error: pytest.ExceptionInfo[ServerError]) -> Fault:
    return error.value.fault


class ServerContract:
    """Subclass it, and give it a fixture `host`."""

    def test_nothing_of_ours_is_live_at_first(self, host: Host) -> None:
        assert list(host.server().live()) == []

    def test_the_first_generation_goes_live(self, host: Host) -> None:
        deploy(host, 1)
        assert list(host.server().live()) == [1]
        assert host.answering() == 1

    def test_the_next_one_answers_only_when_it_is_activated(self, host: Host) -> None:
        deploy(host, 1)
        two = host.generation(2)
        for _ in range(2):
            host.server().inspect(two)
        for _ in range(2):
            host.server().load(two)
            assert host.answering() == 1
            assert 1 in host.server().live()
        for _ in range(2):
            host.server().probe(two, None)
        for _ in range(2):
            host.server().activate(two, host.generation(1))
            assert host.answering() == 2
            assert list(host.server().live()) == [2]

    def test_what_is_withdrawn_is_gone(self, host: Host) -> None:
        deploy(host, 1)
        two = host.generation(2)
        host.server().load(two)
        for _ in range(2):
            host.server().withdraw(two)
            assert list(host.server().live()) == [1]
            assert host.answering() == 1
        deploy(host, 2, 1)
        assert host.answering() == 2

    def test_withdrawing_what_was_never_loaded_is_nothing(self, host: Host) -> None:
        host.server().withdraw(host.generation(2))
        assert list(host.server().live()) == []
        deploy(host, 1)
        host.server().withdraw(host.generation(2))
        assert (list(host.server().live()), host.answering()) == ([1], 1)

    def test_the_first_one_can_be_withdrawn_before_it_is_live(self, host: Host) -> None:
        one = host.generation(1)
        host.server().load(one)
        host.server().withdraw(one)
        assert list(host.server().live()) == []
        deploy(host, 1)
        assert host.answering() == 1

    def test_an_older_generation_can_come_back(self, host: Host) -> None:
        for number, old in ((1, None), (2, 1), (3, 2), (2, 3), (1, 2), (3, 1)):
            deploy(host, number, old)
            assert list(host.server().live()) == [number]
            assert host.answering() == number

    def test_generations_stay_as_they_were(self, host: Host) -> None:
        before = {number: contents(host.generation(number).folder) for number in (1, 2)}
        deploy(host, 1)
        deploy(host, 2, 1)
        deploy(host, 1, 2)
        for number, files in before.items():
            assert contents(host.generation(number).folder) == files

    def test_a_server_that_is_started_anew_between_steps(self, host: Host) -> None:
        deploy(host, 1)
        two = host.generation(2)
        host.start_anew()
        assert host.answering() == 1
        host.server().load(two)
        host.start_anew()
        assert host.answering() == 1
        host.server().load(two)
        host.server().probe(two, None)
        host.start_anew()
        host.server().activate(two, host.generation(1))
        assert host.answering() == 2
        host.start_anew()
        assert host.answering() == 2
        assert list(host.server().live()) == [2]

    def test_a_generation_without_files_is_refused(self, host: Host, tmp_path: Path) -> None:
        empty = sealed(tmp_path / "nothing", 7, {})
        with pytest.raises(ServerError) as caught:
            host.server().inspect(empty)
        assert fault_of(caught) is Fault.UNFIT
