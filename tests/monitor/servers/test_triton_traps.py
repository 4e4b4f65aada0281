"""What a real Triton 2.51 does to those who trust it; none of it stops traffic or the monitor.

Each was found by experiment; the numbers only tell them apart.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.model.probe import Probe
from hps.monitor.server import Fault, ServerError
from hps.monitor.servers.triton_config import version_of
from hps.monitor.servers.triton_grpc import State
from tests.monitor.servers.contract import deploy, fault_of, sealed
from tests.monitor.servers.real_triton import (
    CONFIG,
    RealTriton,
    TritonHost,
    files_of,
    made,
    probe_file,
)

pytestmark = [pytest.mark.network, pytest.mark.slow]
DIES = "os._exit(3)"
AT_IMPORT = b"import os\nos._exit(3)\n"


@pytest.fixture
def host(real: RealTriton, tmp_path: Path) -> TritonHost:
    return TritonHost(real, tmp_path)


def test_1_a_process_that_the_first_text_kills(host: TritonHost) -> None:
    """NumPy 2 under a BYTES tensor ends the process at its first request: the probe is that."""
    deploy(host, 1)
    two = made(host.folder, 2, execute=DIES)
    server = host.real.model(drain=2)  # a version whose process is dead is never unloaded
    server.load(two)
    with pytest.raises(ServerError) as caught:
        server.probe(two, Probe.from_file(probe_file(2)))
    assert fault_of(caught) in (Fault.PROBE, Fault.UNKNOWN)
    assert host.answering() == 1
    server.withdraw(two)
    assert (host.answering(), list(server.live())) == (1, [1])


@pytest.mark.parametrize("what", ["missing", "empty", "stub"])
def test_2_what_would_hang_the_load_is_refused_before(host: TritonHost, what: str) -> None:
    files = files_of(2)
    if what == "missing":
        files["code.py"] = files.pop("model.py")
    elif what == "empty":
        files["model.py"] = b""
    else:
        files["triton_python_backend_stub"] = b"a copy"
    two = sealed(host.folder / "state", 2, files)
    with pytest.raises(ServerError) as caught:
        host.server().inspect(two)
    assert fault_of(caught) is Fault.UNFIT


def test_2_a_process_that_ends_while_it_loads_is_told(host: TritonHost) -> None:
    deploy(host, 1)
    two = made(host.folder, 2, initialize=DIES)
    with pytest.raises(ServerError) as caught:
        host.server().load(two)
    assert fault_of(caught) is Fault.REFUSED
    host.server().withdraw(two)
    assert (host.answering(), list(host.server().live())) == (1, [1])


@pytest.fixture
def completing(triton: Path, tmp_path: Path) -> Iterator[TritonHost]:
    """A Triton that starts models to complete their configurations, as it does by default."""
    real = RealTriton(triton, tmp_path / "models", complete=True)
    try:
        yield TritonHost(real, tmp_path)
    finally:
        real.kill()


def test_2_a_load_that_never_ends(completing: TritonHost) -> None:
    host = completing
    deploy(host, 1)
    hanging = host.real.model(load_deadline=3, drain=1)
    three = sealed(host.folder / "state", 3, {**files_of(3), "model.py": AT_IMPORT})
    with pytest.raises(ServerError) as caught:
        hanging.load(three)
    assert fault_of(caught) in (Fault.HANGS, Fault.UNKNOWN)
    assert host.answering() == 1
    # Nothing is sent a second time, and nothing waits for ever.
    for step in (hanging.load, hanging.withdraw):
        with pytest.raises(ServerError) as caught:
            step(three)
        assert fault_of(caught) in (Fault.HANGS, Fault.UNKNOWN)
    assert host.answering() == 1
    # A new start is the way out, and finds nothing that hangs.
    host.start_anew()
    assert (host.answering(), list(host.server().live())) == (1, [1])
    host.server().withdraw(three)
    deploy(host, 4, 1)
    assert host.answering() == 4


def test_2_a_wedged_poller(triton: Path, tmp_path: Path) -> None:
    """Somebody runs it in poll mode, and a model has hung it: the monitor says so, and goes on."""
    folder = tmp_path / "other"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_bytes(AT_IMPORT)
    real = RealTriton(triton, tmp_path / "models", "poll", complete=True)
    try:
        real.kill()
        real.start("--repository-poll-secs=1")
        folder.rename(real.repository / "other")
        until = time.monotonic() + 60
        while "loading: other" not in real.log.read_text() and time.monotonic() < until:
            time.sleep(0.1)
        for _ in range(2):
            with pytest.raises(ServerError) as caught:
                real.model().inspect(made(tmp_path, 1))
            assert fault_of(caught) is Fault.UNREACHABLE
        assert real.connection.versions("other")[1].state is State.LOADING
    finally:
        real.kill()


def test_3_a_dead_process_behind_a_green_light(host: TritonHost) -> None:
    deploy(host, 1)
    two = made(host.folder, 2)
    before = set(host.real.children())
    server = host.real.model(drain=2)
    server.load(two)
    for child in set(host.real.children()) - before:
        os.kill(child, signal.SIGKILL)
    assert host.real.connection.is_ready("m", version_of(2))  # so it says
    for probe in (None, Probe.from_file(probe_file(2))):
        with pytest.raises(ServerError) as caught:
            server.probe(two, probe)
        assert fault_of(caught) in (Fault.PROBE, Fault.UNKNOWN)
    server.withdraw(two)
    assert host.answering() == 1
    # What died is never unloaded; nobody waits for it beyond `drain`.
    assert host.real.connection.versions("m")[version_of(2)].state is State.UNLOADING
    deploy(host, 3, 1)
    assert host.answering() == 3


def test_4_the_flag_of_the_server_stays_false_and_nobody_waits_for_it(host: TritonHost) -> None:
    deploy(host, 1)
    bad = made(host.folder, 2, initialize='raise ValueError("no")')
    assert host.real.http_ready()
    with pytest.raises(ServerError):
        host.server().load(bad)
    host.server().withdraw(bad)
    assert not host.real.http_ready()  # so it says, and serves
    deploy(host, 3, 1)
    assert not host.real.http_ready()
    assert (host.answering(), list(host.server().live())) == (3, [3])


def test_5_a_load_stalls_nobody(host: TritonHost) -> None:
    """Requests over HTTP and gRPC go on while a load takes two seconds: it is sent over gRPC."""
    deploy(host, 1)
    two = made(host.folder, 2, seconds=2)
    child = os.fork()
    if child == 0:  # a client that never shared a channel with this process
        os._exit(0 if http_answers(host.real, 12) else 1)
    host.server().load(two)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def http_answers(real: RealTriton, rounds: int) -> bool:
    for _ in range(rounds):
        begun = time.monotonic()
        real.http_ready()
        if time.monotonic() - begun > 1.5:  # a load over HTTP stalls others for all of its time
            return False
        time.sleep(0.2)
    return True


def test_6_the_configuration_of_somebody_elses_load_gives_way(host: TritonHost) -> None:
    """It sticks over later loads while config.pbtxt is as old as it was: ours is always newer."""
    deploy(host, 1)
    # As somebody does with a client of his own.
    from tritonclient.grpc import InferenceServerClient

    text = (
        '{"backend": "python", "input": [{"name": "x", "data_type": "TYPE_INT32", "dims": [1]}], '
    )
    text += '"output": [{"name": "y", "data_type": "TYPE_INT32", "dims": [3]}], '
    text += '"version_policy": {"specific": {"versions": [%s]}}}'.replace("%s", str(version_of(1)))
    with InferenceServerClient(f"127.0.0.1:{host.real.grpc}") as client:
        client.load_model("m", config=text)
    two = made(host.folder, 2)
    host.server().load(two)
    assert list(host.server().live()) == [1, 2]
    host.server().activate(two, None)
    assert (host.answering(), list(host.server().live())) == (2, [2])


def test_7_files_from_the_past_and_the_future_are_loaded(host: TritonHost) -> None:
    deploy(host, 1)
    for number, moment in ((2, 10**9), (3, 4 * 10**9), (4, 10**9), (5, time.time())):
        generation = made(host.folder, number)
        for path in generation.folder.iterdir():
            os.utime(path, (moment, moment))
        deploy(host, number, number - 1)
        assert host.answering() == number


def test_8_the_connection_of_the_monitor_does_not_keep_triton_from_ending(host: TritonHost) -> None:
    deploy(host, 1)
    server = host.server()
    assert list(server.live()) == [1]
    assert host.real.end() == 0
    host.real.start("--load-model=m")
    assert list(server.live()) == [1]  # the same connection, after the restart


def test_9_swaps_leave_no_shared_memory_and_no_process(host: TritonHost) -> None:
    deploy(host, 1)
    regions, children = len(host.real.regions()), len(host.real.children())
    for number in range(2, 5):
        deploy(host, number, number - 1)
    assert len(host.real.regions()) <= regions
    assert len(host.real.children()) == children


def test_9_what_a_killed_triton_leaves_is_in_nobodys_way(host: TritonHost) -> None:
    deploy(host, 1)
    left = set(host.real.regions())
    assert left
    children = host.real.children()
    assert host.real.process is not None
    for process in (host.real.process.pid, *children):
        os.kill(process, signal.SIGKILL)
    host.real.process.wait()
    assert set(host.real.regions()) == left  # the launcher of the images takes them away
    host.real.start("--load-model=m")
    deploy(host, 2, 1)
    assert (host.answering(), list(host.server().live())) == (2, [2])


@pytest.mark.parametrize(
    "config",
    [
        "this is no configuration",
        'backend: "python" input { name: ',
        CONFIG + 'name: "another"',
        "max_batch_size: -1 " + CONFIG,
        CONFIG + "instance_group { kind: KIND_GPU }",
        'backend: "nonesuch"',
    ],
)
def test_10_a_bad_configuration_has_a_reason_and_does_not_stay(
    host: TritonHost, config: str
) -> None:
    deploy(host, 1)
    two = made(host.folder, 2, config=config)
    server = host.server()

    def steps() -> None:
        server.inspect(two)
        server.load(two)

    with pytest.raises(ServerError) as caught:
        steps()
    assert fault_of(caught) in (Fault.UNFIT, Fault.REFUSED)
    assert len(caught.value.message) > 40
    server.withdraw(two)
    host.start_anew()
    assert (host.answering(), list(server.live())) == (1, [1])


def test_11_a_link_to_another_stub_survives_swaps(host: TritonHost) -> None:
    folder = host.real.repository / "m"
    folder.mkdir()
    stub = host.real.triton / "backends" / "python" / "triton_python_backend_stub"
    (folder / "triton_python_backend_stub").symlink_to(stub)
    for number in (1, 2, 3):
        deploy(host, number, number - 1 or None)
        assert host.answering() == number
    assert (folder / "triton_python_backend_stub").is_symlink()
