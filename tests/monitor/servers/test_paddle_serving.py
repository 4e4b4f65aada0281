"""Paddle Serving: the contract with a reader that decides as its reload thread does, and kills."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.config.monitor import PaddleServing
from hps.monitor.server import Fault, Generation, Server, ServerError
from hps.monitor.servers.paddle_serving import PaddleServingModel
from tests.monitor.servers.contract import ServerContract, contents, deploy, fault_of, sealed
from tests.monitor.servers.killed import killed_at_every_effect

OWN = {".hps-generation", "fluid_time_file"}


class Reloader:
    """What `InferEngine` of Paddle Serving does every `reload_interval_s`: `timestamp_ne`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: int | None = None
        self.loaded: dict[str, bytes] = {}
        self.loads = 0

    def look(self) -> None:
        try:
            now = int((self.folder / "fluid_time_file").stat().st_mtime)
        except FileNotFoundError:
            return
        if now != self.seen:
            self.seen = now
            self.loads += 1
            files = contents(self.folder)
            self.loaded = {name: data for name, data in files.items() if name not in OWN}


def files_of(number: int) -> dict[str, bytes]:
    """Each generation has files of its own and some that all have."""
    return {
        "__model__": f"model {number}".encode(),
        "params/weights": f"weights {number}".encode() * 1000,
        f"only-{number}": b"",
        ".dot": str(number).encode(),
    }


class FolderHost:
    beside = True

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.local = folder / "local"
        self.local.mkdir()
        self.live = self.local / "m"
        self.reloader = Reloader(self.live)

    def server(self) -> Server:
        settings = PaddleServing(type="paddle-serving", folder=str(self.local))
        return PaddleServingModel(settings, "m")

    def answering(self) -> int | None:
        self.reloader.look()
        if not self.reloader.loaded:
            return None
        number = int(self.reloader.loaded["__model__"].split()[1])
        assert self.reloader.loaded == files_of(number)  # whole, nothing besides
        return number

    def generation(self, number: int) -> Generation:
        return sealed(self.root / "state", number, files_of(number))

    def start_anew(self) -> None:
        self.reloader = Reloader(self.live)
        if self.live.is_dir():
            (self.live / "fluid_time_file").touch()  # server.py does, when it starts


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FolderHost]:
    yield FolderHost(tmp_path)
    # Generations are read-only, and pytest removes tmp_path later.
    for path in tmp_path.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


class TestPaddleServing(ServerContract):
    @pytest.fixture
    def host(self, host: FolderHost) -> FolderHost:
        return host


def made_by_hand(host: FolderHost, text: bytes = b"by hand") -> None:
    host.live.mkdir()
    (host.live / "__model__").write_bytes(text)
    (host.live / "fluid_time_file").touch()


def test_a_model_made_by_hand_is_kept_for_good(host: FolderHost) -> None:
    made_by_hand(host)
    for number in (1, 2, 3):
        deploy(host, number, number - 1 or None)
    kept = host.local / ".hps" / "m" / "serving" / "0"
    assert (kept / "__model__").read_bytes() == b"by hand"
    assert host.answering() == 3


def test_a_model_that_was_put_there_later_is_kept_as_well(host: FolderHost) -> None:
    made_by_hand(host, b"one")
    deploy(host, 1)
    shutil.rmtree(host.live)
    made_by_hand(host, b"two")
    deploy(host, 2)
    aside = host.local / ".hps" / "m" / "serving"
    assert [(aside / name / "__model__").read_bytes() for name in ("0", "0.1")] == [b"one", b"two"]


def test_a_link_in_its_place_is_exchanged_and_not_followed(host: FolderHost) -> None:
    elsewhere = host.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "__model__").write_bytes(b"by hand")
    host.live.symlink_to(elsewhere)
    deploy(host, 1)
    assert host.answering() == 1
    assert not host.live.is_symlink()
    assert contents(elsewhere) == {"__model__": b"by hand"}


def test_a_file_in_its_place_is_refused(host: FolderHost) -> None:
    host.live.write_bytes(b"a file")
    with pytest.raises(ServerError) as caught:
        host.server().inspect(host.generation(1))
    assert fault_of(caught) is Fault.DISK


def test_every_swap_is_seen_however_fast_they_come(host: FolderHost) -> None:
    deploy(host, 1)
    for turn in range(30):
        deploy(host, 2 - turn % 2, 1 + turn % 2)
        assert host.answering() == 2 - turn % 2
    assert host.reloader.loads == 30


def test_the_time_never_goes_back(host: FolderHost) -> None:
    deploy(host, 1)
    ahead = int(time.time()) + 100_000  # somebody set the clock back since
    os.utime(host.live / "fluid_time_file", (ahead, ahead))
    assert host.answering() == 1
    deploy(host, 2, 1)
    assert (host.live / "fluid_time_file").stat().st_mtime > ahead
    assert host.answering() == 2


def test_a_timestamp_in_the_release_is_not_the_servers(host: FolderHost) -> None:
    generation = sealed(host.root / "other", 1, {"__model__": b"m", "fluid_time_file": b"theirs"})
    host.server().load(generation)
    host.server().probe(generation, None)
    host.server().activate(generation, None)
    assert (host.live / "fluid_time_file").read_bytes() == b""
    assert (generation.folder / "fluid_time_file").read_bytes() == b"theirs"


def test_a_release_that_claims_to_be_a_generation_is_refused(host: FolderHost) -> None:
    generation = sealed(host.root / "other", 1, {"__model__": b"m", ".hps-generation": b"{}"})
    with pytest.raises(ServerError) as caught:
        host.server().inspect(generation)
    assert fault_of(caught) is Fault.UNFIT


@pytest.mark.parametrize(
    "said", [b"", b"{}", b'{"generation":-1}', b'{"generation":true}', b"\xff", b"[" * 5000]
)
def test_a_damaged_identity_is_nobodys(host: FolderHost, said: bytes) -> None:
    made_by_hand(host)
    (host.live / ".hps-generation").write_bytes(said)
    assert list(host.server().live()) == []
    deploy(host, 1)
    assert host.answering() == 1


def test_the_name_is_never_missing_and_its_files_never_mixed(host: FolderHost) -> None:
    """A reader that looks at any time; the pairs are read by descriptor, as a server opens them."""
    deploy(host, 1)
    child = os.fork()
    if child == 0:
        try:
            for turn in range(60):
                deploy(host, 2 - turn % 2, 1 + turn % 2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    looked = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        folder = os.open(host.live, os.O_RDONLY | os.O_DIRECTORY)
        try:
            read = []
            for name in ("__model__", "params/weights", ".dot"):
                file = os.open(name, os.O_RDONLY, dir_fd=folder)
                read.append(os.read(file, 1 << 16))
                os.close(file)
        except FileNotFoundError:
            continue  # this reader slept for two swaps, and what it had opened is removed
        finally:
            os.close(folder)
        number = int(read[2])
        assert read == [files_of(number)[name] for name in ("__model__", "params/weights", ".dot")]
        looked += 1
    assert looked > 10


@pytest.mark.parametrize("step", ["load", "activate", "withdraw"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_killed_before_any_effect(host: FolderHost, step: str, by_hand: bool) -> None:
    if by_hand:
        made_by_hand(host)
    deploy(host, 1)
    two = host.generation(2)
    if step != "load":
        host.server().load(two)

    def action() -> None:
        server = host.server()
        if step == "activate":
            server.activate(two, host.generation(1))
        else:
            getattr(server, step)(two)

    kills = 0
    for _ in killed_at_every_effect(action):
        kills += 1
        live = list(host.server().live())
        assert live in ([1], [2])
        assert host.answering() in ((1, 2) if step == "activate" else (1,))
        assert host.answering() == live[0] or step == "activate"
    assert kills > 1
    expected = 2 if step == "activate" else 1
    assert list(host.server().live()) == [expected]
    if step == "activate":
        assert host.answering() == 2
    deploy(host, 3, expected)
    assert host.answering() == 3
    kept = host.local / ".hps" / "m" / "serving" / "0"
    assert kept.exists() == by_hand


def test_a_live_generation_can_be_taken_back(host: FolderHost) -> None:
    made_by_hand(host)
    deploy(host, 1)
    host.server().withdraw(host.generation(1))
    assert contents(host.live)["__model__"] == b"by hand"
    deploy(host, 2)
    deploy(host, 3, 2)
    host.server().withdraw(host.generation(3))
    assert host.answering() == 2
