"""The way to an index out of a sandbox: what may be asked, and what happens to everything else."""

import http.client
import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from hps.build import rc_program
from hps.build.rc_gateway import LARGEST_METADATA, Gateway, wheel_metadata
from hps.digest import Digest
from hps.errors import FetchError, NotFoundError, UnsafeArchiveError
from hps.lock.python import PythonRequest
from hps.store.python_index import IndexFile
from tests.lock.indexes import make_wheel

FILE = "a-1.0-py3-none-any.whl"
WHEEL = make_wheel("a", "1.0", requires=("b",))


class Index:
    """An index in memory: behind the gateway stands whatever can list and read files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages: dict[str, Any] = {
            "a": {FILE: IndexFile("http://127.0.0.1:9/a", Digest.of(WHEEL).hex, len(WHEEL))}
        }
        self.asked: list[str] = []

    def files(self, project: str) -> Mapping[str, IndexFile]:
        self.asked.append(project)
        found = self.pages.get(project)
        if found is None:
            raise NotFoundError(f"no project {project}")
        if isinstance(found, Exception):
            raise found
        return dict(found)

    def metadata(self, project: str, file: str, facts: IndexFile) -> bytes:
        return wheel_metadata(self.fetch(project, file, facts)[1], file)

    def fetch(self, project: str, file: str, facts: IndexFile) -> tuple[Digest, Path]:
        assert facts.url
        self.asked.append(f"{project}/{file}")
        place = self.folder / file
        place.write_bytes(WHEEL)
        return Digest.of(WHEEL), place


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def gateway(index: Index) -> Gateway:
    request = PythonRequest((), "3.11", (2, 36), "http://127.0.0.1:9/simple")
    return Gateway(request, index.files, index)


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, door: Path) -> None:
        super().__init__("127.0.0.1:8080", timeout=30)
        self._door = door

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._door))


def get(door: Path, path: str, method: str = "GET", host: str | None = None) -> tuple[int, bytes]:
    with closing(Connection(door)) as connection:
        headers = {} if host is None else {"Host": host}
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_a_page_its_digests_and_a_file(gateway: Gateway, index: Index) -> None:
    with gateway.open() as door:
        status, page = get(door, "/simple/A/")
        assert status == 200
        (listed,) = json.loads(page)["files"]
        status, digests = get(door, "/a/json")
        (told,) = json.loads(digests)["releases"]["1.0"]
        assert told["url"] == f"http://127.0.0.1:8080{listed['url']}"
        assert told["digests"] == {"sha256": Digest.of(WHEEL).hex}
        status, file = get(door, listed["url"])
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert b"Requires-Dist: b" in archive.read("a-1.0.dist-info/METADATA")
        assert "a.py" not in archive.namelist()
    assert index.asked == ["a", f"a/{FILE}"]
    gateway.check()
    assert list(gateway.offers) == ["a"]


REFUSED = [
    "/",
    "/simple/",
    "/simple/a",
    "/simple/../etc/",
    "/simple/a/../../etc/passwd",
    "/simple/a%2f..%2fb/",
    "/simple/.a/",
    "/simple/" + "a" * 300 + "/",
    "http://127.0.0.1:22/simple/a/",
    "http://example.org/simple/a/",
    "/files/a/" + FILE,  # no page has listed it yet
    "/files/a/..%2f..%2fetc%2fpasswd",
    "/files/../simple/a/",
    "/pypi/a/json",
    "/simple/a/?x=y",
    "//example.org/simple/a/",
]


@pytest.mark.parametrize("path", REFUSED)
def test_nothing_else_may_be_asked(gateway: Gateway, index: Index, path: str) -> None:
    with gateway.open() as door:
        assert get(door, path)[0] == 404
    assert index.asked == []
    gateway.check()


@pytest.mark.parametrize("method", ["POST", "PUT", "CONNECT", "HEAD", "DELETE", "X" * 100])
def test_nothing_can_be_sent(gateway: Gateway, index: Index, method: str) -> None:
    with gateway.open() as door:
        assert get(door, "/simple/a/", method)[0] == 501
    assert index.asked == []


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1:80@example.org", "127.0.0.1:80/x", ""])
def test_addresses_are_made_of_the_loopback_alone(gateway: Gateway, host: str) -> None:
    with gateway.open() as door:
        assert get(door, "/a/json", host=host)[0] == 404


def test_a_project_that_is_not_there_is_no_failure(gateway: Gateway) -> None:
    with gateway.open() as door:
        assert get(door, "/simple/nope/")[0] == 404
    gateway.check()
    assert gateway.offers == {}


@pytest.mark.parametrize("error", [FetchError("the index is down"), PermissionError("denied")])
def test_what_fails_is_told_to_who_asked_for_it(
    gateway: Gateway, index: Index, error: Exception
) -> None:
    """pip would only say that there is no such project."""
    index.pages["b"] = error
    with gateway.open() as door:
        assert get(door, "/simple/b/")[0] == 404
        assert get(door, "/simple/a/")[0] == 200
    with pytest.raises(type(error)) as caught:
        gateway.check()
    assert caught.value is error


def test_a_fault_of_our_own_is_not_taken_for_an_answer(gateway: Gateway, index: Index) -> None:
    index.pages["a"] = ZeroDivisionError("a fault")
    with gateway.open() as door, closing(Connection(door)) as connection:
        connection.request("GET", "/simple/a/")
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
    with pytest.raises(ZeroDivisionError, match="a fault"):
        gateway.check()


def test_an_index_without_digests_gives_the_file_itself(gateway: Gateway, index: Index) -> None:
    """pip-compile computes a digest then, which must be that of the real file."""
    index.pages["a"] = {FILE: IndexFile("http://127.0.0.1:9/a")}
    with gateway.open() as door:
        get(door, "/simple/a/")
        assert json.loads(get(door, "/a/json")[1])["releases"] == {}
        assert get(door, f"/files/a/{FILE}")[1] == WHEEL
    assert gateway.offers["a"].files[FILE].sha256 == Digest.of(WHEEL).hex


def test_only_this_user_reaches_the_socket_and_it_goes_away(gateway: Gateway) -> None:
    with gateway.open() as door:
        assert stat.S_ISSOCK(door.stat().st_mode)
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
        assert door.stat().st_uid == os.getuid()
    assert not door.parent.exists()


def test_a_folder_with_a_long_name(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a Unix socket has at most 107 bytes."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with gateway.open() as door, socket_in(door) as connected:
        connected.sendall(b"GET /simple/a/ HTTP/1.0\r\n\r\n")
        assert connected.recv(12) == b"HTTP/1.1 200"


@contextmanager
def socket_in(door: Path) -> Iterator[socket.socket]:
    folder = os.open(door.parent, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(30)
        connected.connect(f"/proc/self/fd/{folder}/{door.name}")
        os.close(folder)
        yield connected


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00" * 100,
        b"GET",
        b"GET /simple/a/ HTTP/9.9\r\n\r\n",
        b"G" * 70000,
        b"\xff\xfe\r\n\r\n",
    ],
)
def test_what_is_no_http_hurts_nobody(gateway: Gateway, sent: bytes) -> None:
    with gateway.open() as door:
        with socket_in(door) as rude:
            rude.sendall(sent)
            rude.shutdown(socket.SHUT_WR)
            while rude.recv(1 << 16):
                pass
        assert get(door, "/simple/a/")[0] == 200
    gateway.check()


def test_many_at_once_ask_the_index_once(gateway: Gateway, index: Index) -> None:
    with gateway.open() as door:
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(get(door, "/simple/a/")[0]))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [200] * 20
    assert index.asked == ["a"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a zip",
        make_wheel("a", "1")[:-30],
        make_wheel("a", "1", files={"b-1.dist-info/METADATA": "two"}),
    ],
)
def test_a_wheel_that_cannot_be_read(tmp_path: Path, data: bytes) -> None:
    place = tmp_path / "blob"
    place.write_bytes(data)
    with pytest.raises(UnsafeArchiveError, match=r"a-1\.whl"):
        wheel_metadata(place, "a-1.whl")


def test_metadata_that_unpacks_to_too_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "blob", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a-1.dist-info/METADATA", b"x" * (LARGEST_METADATA + 1))
    with pytest.raises(UnsafeArchiveError, match="METADATA of more than"):
        wheel_metadata(tmp_path / "blob", "a-1.whl")


def test_the_relay_passes_on_both_ways_and_its_end(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gateway.open() as door, socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(rc_program, "_DOOR", str(door))
        port = listener.getsockname()[1]
        for _ in range(3):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                relay = threading.Thread(target=relay_one, args=(listener,))
                relay.start()
                connection.request("GET", "/simple/a/")
                assert connection.getresponse().read()
            relay.join()
        relay = threading.Thread(target=relay_one, args=(listener,))
        relay.start()
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"GET /simple/a/ HTTP/1.0\r\n\r\n")
            half.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := half.recv(1 << 16):
                answer += piece
        relay.join()
        assert answer.startswith(b"HTTP/1.1 200")


def relay_one(listener: socket.socket) -> None:
    rc_program.connect(listener.accept()[0])


def test_the_program_needs_nothing_but_python() -> None:
    program = Path(rc_program.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), "{not json"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "JSONDecodeError" in done.stderr
