"""The source for HTTP against real servers: nginx in five ways, and Python's own."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import ConfigError
from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.credentials import Authorization, Basic, Secret
from hps.monitor.sources.http import HttpPlace, HttpSource
from tests.monitor.sources.contract import QUICK, SourceContract, all_of, donefile, trouble
from tests.monitor.sources.folder_place import FolderPlace
from tests.monitor.sources.http_servers import Nginx, find_nginx, python_server

USER, PASSWORD = "loader", "correct horse: battery"
network = pytest.mark.network  # Debian's nginx, where the system has none


def http_place(
    folder: Path,
    base: str,
    *,
    plain: bool = False,
    carries_on: bool = True,
    authorization: Authorization | None = None,
    authority: Path | None = None,
) -> "contextlib.AbstractContextManager[FolderPlace]":
    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = HttpPlace(
            base=base,
            model=model,
            donefile="done",
            packed=packed,
            authorization=authorization,
            authority=authority,
        )
        return HttpSource(place, patience, caps)

    port = int(re.findall(r":(\d+)", base)[0])
    return FolderPlace.made(
        folder, opened, port, carries_on=carries_on and not plain, tells=not plain
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return find_nginx(tmp_path_factory.mktemp("nginx"))


@pytest.fixture
def nginx(program: str, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx.running(tmp_path, program, USER, PASSWORD) as running:
        yield running


def basic(folder: Path, password: str = PASSWORD) -> Basic:
    file = folder / "password"
    file.touch(0o600)
    file.write_text(f"{password}\n")
    return Basic(USER, Secret(file=file))


@network
class TestNginx(SourceContract):
    """ETag, Last-Modified, ranges."""

    @pytest.fixture
    def place(self, nginx: Nginx) -> Iterator[FolderPlace]:
        with http_place(nginx.folder, nginx.url) as made:
            yield made


@network
class TestNginxWithoutAnything(SourceContract):
    """No ETag, no Last-Modified, no ranges."""

    @pytest.fixture
    def place(self, nginx: Nginx) -> Iterator[FolderPlace]:
        with http_place(nginx.folder, f"{nginx.url}/bare", plain=True) as made:
            yield made


@network
class TestNginxMoved(SourceContract):
    """Every request is redirected."""

    @pytest.fixture
    def place(self, nginx: Nginx) -> Iterator[FolderPlace]:
        with http_place(nginx.folder, f"{nginx.url}/moved") as made:
            yield made


@network
class TestNginxTls(SourceContract):
    """TLS with an authority of its own, and Basic."""

    @pytest.fixture
    def place(self, nginx: Nginx, tmp_path: Path) -> Iterator[FolderPlace]:
        login, authority = basic(tmp_path), nginx.authority.path
        with http_place(
            nginx.folder, nginx.tls_url, authorization=login, authority=authority
        ) as made:
            yield made


class TestPython(SourceContract):
    """Python's http.server: HTTP/1.0, Last-Modified, no ranges, "not newer" is 304."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[FolderPlace]:
        folder = tmp_path / "published"
        folder.mkdir()
        with python_server(folder) as url, http_place(folder, url, carries_on=False) as made:
            yield made


@network
def test_an_unchanged_donefile_costs_no_bytes(nginx: Nginx) -> None:
    with http_place(nginx.folder, nginx.url) as place:
        place.put("done", b"now", ago=100)
        source = place.source()
        assert {donefile(source).content for _ in range(3)} == {b"now"}
        assert [line.split('"')[2].split() for line in nginx.log().splitlines()] == [
            ["200", "3"], ["304", "0"], ["304", "0"],
        ]  # fmt: skip


@network
def test_the_unlisted_folder_of_nginx_is_refused_with_a_hint(nginx: Nginx) -> None:
    with http_place(nginx.folder, f"{nginx.url}/unlisted") as place:
        place.put("model/file", b"data")
        with pytest.raises(SourceError, match="listed") as caught:
            place.source(packed=False).model()
        assert caught.value.trouble is Trouble.REFUSED


@network
def test_an_index_page_in_the_model_does_not_hide_its_files_silently(nginx: Nginx) -> None:
    with http_place(nginx.folder, nginx.url) as place:
        place.put("model/file", b"data")
        place.put("model/index.html", b"<html><title>My model</title></html>")
        assert trouble(place.source(packed=False).model) is Trouble.MALFORMED


@network
def test_without_trust_in_its_authority_a_server_is_refused(nginx: Nginx, tmp_path: Path) -> None:
    with http_place(nginx.folder, nginx.tls_url, authorization=basic(tmp_path)) as place:
        place.put("model", b"data")
        with pytest.raises(SourceError, match="TLS failed") as caught:
            place.source().model()
        assert caught.value.trouble is Trouble.REFUSED


@network
def test_a_wrong_password_is_refused_and_a_new_one_counts_at_once(
    nginx: Nginx, tmp_path: Path
) -> None:
    login = basic(tmp_path, "wrong")
    authority = nginx.authority.path
    with http_place(nginx.folder, nginx.tls_url, authorization=login, authority=authority) as place:
        place.put("model", b"data")
        source = place.source()
        with pytest.raises(SourceError) as caught:
            source.donefile()
        assert caught.value.trouble is Trouble.REFUSED
        assert "wrong" not in str(caught.value)
        basic(tmp_path)
        assert all_of(source, source.model()[0]) == (0, b"data")


@network
def test_a_broken_pull_is_carried_on_by_another_process(nginx: Nginx, tmp_path: Path) -> None:
    """Nothing but the folder is left of the first one: as after kill -9."""
    data = os.urandom(32 << 20)
    with http_place(nginx.folder, nginx.url) as place:
        place.put("model", data, ago=100)
        first = place.source()

        def leave(held: int, _: int) -> None:
            if held > len(data) // 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pull(first, tmp_path / "pull", effort=QUICK, progress=leave)
        pulled = pull(place.source(), tmp_path / "pull", effort=QUICK)
    assert pulled.files[0].location.read_bytes() == data
    assert pulled.received < len(data) // 2 + (1 << 20)
    assert '" 206 ' in nginx.log()


@pytest.mark.parametrize(
    "base",
    [
        "http://user:secret@127.0.0.1/models", "ftp://127.0.0.1/models", "file:///models",
        "http:///models", "http://127.0.0.1:port/", "http://127.0.0.1/?token=secret", "models",
    ],
)  # fmt: skip
def test_an_address_with_a_secret_or_of_no_folder_is_refused(base: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpSource(HttpPlace(base=base, model="model", donefile="done"))
    assert "secret" not in str(caught.value)
