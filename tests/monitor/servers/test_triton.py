"""Triton: the contract with a real one, and what only it does."""

import os
from pathlib import Path

import pytest

from hps.model.probe import Probe
from hps.monitor.server import Fault, ServerError
from hps.monitor.servers.triton_config import version_of
from tests.monitor.servers.contract import ServerContract, fault_of, sealed
from tests.monitor.servers.real_triton import (
    CONFIG,
    RealTriton,
    TritonHost,
    files_of,
    made,
    probe_file,
)

pytestmark = [pytest.mark.network, pytest.mark.slow]


class TestTriton(ServerContract):
    @pytest.fixture
    def host(self, real: RealTriton, tmp_path: Path) -> TritonHost:
        return TritonHost(real, tmp_path)


@pytest.fixture
def host(real: RealTriton, tmp_path: Path) -> TritonHost:
    return TritonHost(real, tmp_path)


def go_live(host: TritonHost, number: int, **others: object) -> None:
    generation = made(host.folder, number, **others)
    server = host.server()
    server.inspect(generation)
    server.load(generation)
    server.probe(generation, Probe.from_file(probe_file(number)))
    server.activate(generation, None)
    assert (host.answering(), list(server.live())) == (number, [number])


def test_the_probe_asks_this_very_version_and_compares(host: TritonHost) -> None:
    go_live(host, 1)
    wrong = made(host.folder, 2, weights=22)
    server = host.server()
    server.load(wrong)
    with pytest.raises(ServerError) as caught:
        server.probe(wrong, Probe.from_file(probe_file(2)))
    assert fault_of(caught) is Fault.PROBE
    assert "has 22 at 2, expected 2" in str(caught.value)
    assert host.answering() == 1
    server.withdraw(wrong)
    assert (host.answering(), list(server.live())) == (1, [1])
    go_live(host, 3)


@pytest.mark.parametrize("data", [{"x": "nothing"}, {}])
def test_a_probe_that_the_model_refuses(host: TritonHost, data: dict[str, str]) -> None:
    one = made(host.folder, 1)
    server = host.server()
    server.load(one)
    inputs = {
        name: {"datatype": "BYTES", "shape": [1], "data": [said]} for name, said in data.items()
    }
    with pytest.raises(ServerError) as caught:
        server.probe(one, Probe(inputs, {}))
    assert fault_of(caught) is Fault.PROBE


def test_a_load_that_is_refused_leaves_the_old_one_and_its_configuration(host: TritonHost) -> None:
    go_live(host, 1)
    bad = made(host.folder, 2, initialize='raise ValueError("no weights")')
    server = host.server()
    with pytest.raises(ServerError) as caught:
        server.load(bad)
    assert fault_of(caught) is Fault.REFUSED
    assert "no weights" in str(caught.value)
    assert (host.answering(), list(server.live())) == (1, [1])
    server.withdraw(bad)
    host.start_anew()  # nothing of it is left that a new start would stumble over
    assert (host.answering(), list(server.live())) == (1, [1])


def test_another_configuration_is_tried_aside_and_swapped_in_one_load(host: TritonHost) -> None:
    go_live(host, 1)
    config = CONFIG.replace("TYPE_INT32 dims: 3", "TYPE_INT32 dims: -1")
    two = made(host.folder, 2, config=config)
    server = host.server()
    server.load(two)
    assert (host.answering(), list(server.live())) == (1, [1, 2])
    server.probe(two, Probe.from_file(probe_file(2)))
    server.activate(two, made(host.folder, 1))
    assert (host.answering(), list(server.live())) == (2, [2])
    assert host.real.ready_versions("m.hps-next") == []
    assert not (host.real.repository / "m.hps-next").exists()
    assert "dims: -1" in (host.real.repository / "m" / "config.pbtxt").read_text()


def test_another_configuration_is_withdrawn(host: TritonHost) -> None:
    go_live(host, 1)
    config = CONFIG.replace("TYPE_INT32 dims: 3", "TYPE_INT32 dims: -1")
    two = made(host.folder, 2, config=config, initialize='raise ValueError("no")')
    server = host.server()
    with pytest.raises(ServerError) as caught:
        server.load(two)
    assert fault_of(caught) is Fault.REFUSED
    with pytest.raises(ServerError):  # the real name refuses it as well, and serves on
        server.activate(two, None)
    assert host.answering() == 1
    server.withdraw(two)
    assert (host.answering(), list(server.live())) == (1, [1])
    host.start_anew()
    assert (host.answering(), list(server.live())) == (1, [1])


def test_a_model_made_by_hand_answers_until_the_first_activation(host: TritonHost) -> None:
    folder = host.real.repository / "m"
    for version in (1, 2):
        (folder / str(version)).mkdir(parents=True)
        for name, data in files_of(100 + version, config=None).items():
            (folder / str(version) / name).write_bytes(data)
    by_hand = CONFIG + "# written by a person\n"
    (folder / "config.pbtxt").write_text(by_hand)
    host.real.connection.load("m", 60)
    assert host.answering() == 102
    one = made(host.folder, 1)
    server = host.server()
    server.load(one)
    server.withdraw(one)
    assert host.answering() == 102
    go_live(host, 1)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "1",
        "2",
        "999999999",
    ]
    assert (folder / "config.pbtxt.before-hps").read_text() == by_hand


def test_a_release_without_a_configuration_takes_the_one_that_is_there(host: TritonHost) -> None:
    folder = host.real.repository / "m"
    folder.mkdir()
    (folder / "config.pbtxt").write_text(CONFIG)
    go_live(host, 1, config=None)
    go_live(host, 2, config=None)


def test_a_step_that_is_done_already_sends_no_load(host: TritonHost) -> None:
    go_live(host, 1)
    two = made(host.folder, 2)
    for step in ("load", "activate"):
        for _ in range(2):
            before = host.real.log.read_text().count("loading: m:")
            getattr(host.server(), step)(two, *([None] if step == "activate" else []))
        assert host.real.log.read_text().count("loading: m:") == before


def test_a_swap_starts_one_process_which_is_the_one_that_was_probed(host: TritonHost) -> None:
    go_live(host, 1)
    server = host.server()
    for number in (2, 3):
        before, live = host.real.loads(), set(host.real.children())
        server.load(made(host.folder, number))
        (tried,) = set(host.real.children()) - live
        assert live < set(host.real.children())
        server.activate(made(host.folder, number), None)
        assert host.real.loads() == before + 1
        assert host.real.children() == [tried]
        assert host.answering() == number


def test_another_process_for_the_live_one_when_its_directory_was_touched(host: TritonHost) -> None:
    """What Triton does by itself; the reason for which nothing in there is ever touched."""
    go_live(host, 1)
    os.utime(host.real.repository / "m" / str(version_of(1)))
    before = host.real.loads()
    host.server().load(made(host.folder, 2))
    assert host.real.loads() == before + 2
    assert host.answering() == 1


def test_python_leaves_no_byte_code(host: TritonHost) -> None:
    package = {"inner/__init__.py": b"", "inner/deep/__init__.py": b"", "notes/read.me": b"x"}
    for number in (1, 2):
        files = files_of(
            number, initialize="import sys; sys.path.insert(0, folder); import inner.deep"
        )
        deploy_of = sealed(host.folder / "state", number, files | package)
        before = host.real.loads()
        server = host.server()
        server.load(deploy_of)
        server.activate(deploy_of, None)
        assert host.real.loads() == before + 1
        assert host.answering() == number
        assert [*(host.real.repository / "m").rglob("*.pyc")] == []


def test_a_server_that_completes_configurations(triton: Path, tmp_path: Path) -> None:
    """As Triton does when nobody forbids it: each load starts a process twice."""
    real = RealTriton(triton, tmp_path / "models", complete=True)
    try:
        host = TritonHost(real, tmp_path)
        for number in (1, 2):
            go_live(host, number)
    finally:
        real.kill()


def test_a_server_that_is_not_there(host: TritonHost) -> None:
    host.real.end()
    one = made(host.folder, 1)
    for step in (host.server().inspect, host.server().load):
        with pytest.raises(ServerError) as caught:
            step(one)
        assert fault_of(caught) is Fault.UNREACHABLE
    with pytest.raises(ServerError) as caught:
        host.server().live()
    assert fault_of(caught) is Fault.UNREACHABLE
    host.real.start()
    go_live(host, 1)


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_a_server_in_another_mode_is_named(triton: Path, tmp_path: Path, mode: str) -> None:
    real = RealTriton(triton, tmp_path / "models", mode)
    try:
        one = made(tmp_path, 1)
        with pytest.raises(ServerError) as caught:
            real.model().inspect(one)
        assert fault_of(caught) is Fault.UNREACHABLE
        assert "--model-control-mode=explicit" in str(caught.value)
        with pytest.raises(ServerError):
            real.model().load(one)
        assert not (real.repository / "m").exists()  # a poller would take it from there
    finally:
        real.kill()


def test_a_version_that_was_changed_in_the_repository_is_put_right(host: TritonHost) -> None:
    go_live(host, 1)
    version = host.real.repository / "m" / str(version_of(1))
    version.chmod(0o755)
    (version / "weights").unlink()
    (version / "weights").write_text("666")
    one = made(host.folder, 1)
    host.server().load(one)
    assert (version / "weights").read_text() == "1"
    assert host.answering() == 1
