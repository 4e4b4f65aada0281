"""HTTP servers as places of a shared cache: nginx, and servers that do what they are told."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.cache.http_place import HttpPlace
from hps.cache.open_place import deadlines, open_place
from hps.cache.place import Place, ReadOnlyError
from hps.digest import Blob
from hps.errors import FetchError, IntegrityError, PublishError
from hps.store.retry import Deadlines
from tests import servers
from tests.cache.place_contract import BODY, NAME, PlaceContract, blob
from tests.monitor.sources.http_servers import Nginx, find_nginx
from tests.servers import HostileServer

HASTY = Deadlines(
    connect=1, idle=0.3, headers=0.5, attempts=2, first_delay=0.001, longest_delay=0.01
)


@pytest.fixture(scope="session")
def nginx_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return find_nginx(tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="module")
def running(nginx_program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("server")
    with Nginx.running(folder, nginx_program, "pusher", "password") as server:
        yield server


class TestNginx(PlaceContract):
    @pytest.fixture
    def folder(self, running: Nginx, tmp_path: Path) -> Path:
        return running.folder / tmp_path.name

    @pytest.fixture
    def place(self, running: Nginx, folder: Path) -> Iterator[Place]:
        place = open_place(
            f"{running.url}/shared/{folder.name}", folder=folder, patience=10, environment={}
        )
        with contextlib.closing(place):
            yield place

    @pytest.fixture
    def damage(self, folder: Path) -> Callable[[Blob, bytes], object]:
        def replace(one: Blob, data: bytes) -> None:
            (folder / "v1" / "blobs" / "sha256" / one.digest.hex).write_bytes(data)

        return replace

    def test_a_server_without_put_is_read_only(
        self, running: Nginx, folder: Path, place: Place, file: Callable[[bytes], Path]
    ) -> None:
        place.upload(blob(BODY), file(BODY))
        place.write(NAME, b"{}")
        reader = HttpPlace(f"{running.url}/unlisted/{folder.name}", deadlines(10))
        assert reader.read(NAME, 10) == b"{}"
        assert reader.has(blob(BODY))
        with pytest.raises(ReadOnlyError, match="405"):
            reader.write(NAME, b"{}")
        with pytest.raises(ReadOnlyError):
            reader.upload(blob(b"new"), file(b"new"))

    def test_a_password_comes_from_netrc(
        self, running: Nginx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.authority.path))
        place = HttpPlace(running.tls_url, deadlines(10))
        with pytest.raises(FetchError, match="401"):
            place.read(NAME, 10)
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login pusher password password\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        assert HttpPlace(running.tls_url, deadlines(10)).read(NAME, 10) is None


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


DOCUMENT = f"/{NAME}.json"
PATH = f"/v1/blobs/sha256/{blob(BODY).digest.hex}"


def test_an_interrupted_blob_is_carried_on(server: HostileServer) -> None:
    server.script(
        PATH, servers.truncate(BODY, 2_000_000, etag='"a"'), servers.fine(BODY, etag='"a"')
    )
    taken: list[bytes] = []
    HttpPlace(server.url, HASTY).stream(blob(BODY), taken.append, taken.clear)
    assert b"".join(taken) == BODY
    assert "bytes=2000000-" in [each.headers.get("range") for each in server.seen]


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (servers.endless(), IntegrityError),
        (servers.announce(BODY + b"!", len(BODY) + 1), IntegrityError),
        (servers.chunked(BODY[:-1]), IntegrityError),
        (servers.silence(), FetchError),
        (servers.stall(BODY[:10], announced=len(BODY)), FetchError),
        (servers.status(500), FetchError),
        (servers.hang_up(), FetchError),
        (servers.redirect("/elsewhere"), FetchError),
        (servers.redirect("file:///etc/passwd"), FetchError),
    ],
)
def test_servers_that_lie_or_fail(
    server: HostileServer, behaviour: servers.Behaviour, error: type[Exception]
) -> None:
    server.script(PATH, behaviour)
    server.script(DOCUMENT, behaviour)
    place = HttpPlace(server.url, HASTY)
    taken: list[bytes] = []
    with pytest.raises(error):
        place.stream(blob(BODY), taken.append, taken.clear)
    assert sum(map(len, taken)) <= len(BODY)


def test_a_document_without_an_end_is_cut_off(server: HostileServer) -> None:
    server.script(DOCUMENT, servers.endless())
    with pytest.raises(IntegrityError):
        HttpPlace(server.url, HASTY).read(NAME, 1000)


@pytest.mark.parametrize("code", [401, 403, 405, 501])
def test_who_may_only_read(server: HostileServer, tmp_path: Path, code: int) -> None:
    server.script(PATH, servers.status(404), servers.status(code))
    (tmp_path / "body").write_bytes(BODY)
    with pytest.raises(ReadOnlyError):
        HttpPlace(server.url, HASTY).upload(blob(BODY), tmp_path / "body")


@pytest.mark.parametrize("code", [400, 409, 413, 500, 507])
def test_a_refusal_says_what_the_server_said(
    server: HostileServer, tmp_path: Path, code: int
) -> None:
    server.script(PATH, servers.status(404), servers.status(code))
    (tmp_path / "body").write_bytes(BODY)
    with pytest.raises(PublishError, match=str(code)) as raised:
        HttpPlace(server.url, HASTY).upload(blob(BODY), tmp_path / "body")
    assert not isinstance(raised.value, ReadOnlyError)


def test_what_is_sent_says_its_digest(server: HostileServer, tmp_path: Path) -> None:
    server.script(PATH, servers.status(404), servers.status(201))
    (tmp_path / "body").write_bytes(BODY)
    HttpPlace(server.url, HASTY).upload(blob(BODY), tmp_path / "body")
    sent = server.seen[-1]
    assert (sent.method, sent.body) == ("PUT", BODY)
    assert sent.headers["repr-digest"].startswith("sha-256=:")


def test_the_name_shows_no_password() -> None:
    assert HttpPlace("https://me:geheim@cache.example.org/a?token=b", HASTY).name == (
        "https://***@cache.example.org/a?***"
    )
