"""The source for FTP against real servers: pyftpdlib, vsftpd and proftpd, plain and with TLS."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from hps.errors import ConfigError
from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.ftp import FtpPlace, FtpSource
from tests.monitor.sources import ftp_servers
from tests.monitor.sources.contract import (
    QUICK,
    SourceContract,
    all_of,
    contents,
    donefile,
    trouble,
)
from tests.monitor.sources.folder_place import FolderPlace
from tests.monitor.sources.ftp_servers import PASSWORD, USER
from tests.oci.registry_server import Authority

network = pytest.mark.network  # Debian's vsftpd and proftpd
Tls = Literal["none", "explicit", "implicit"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "published"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    kept: Path = request.config.cache.mkdir("hps-ftp-servers")
    return kept


def secret(password: str = PASSWORD) -> Secret:
    return Secret(variable="FTP_PASSWORD", environment={"FTP_PASSWORD": password})


def ftp_place(
    folder: Path,
    port: int,
    *,
    user: str = USER,
    password: str = PASSWORD,
    tls: Tls = "none",
    authority: Authority | None = None,
    above: str = "/",
) -> "contextlib.AbstractContextManager[FolderPlace]":
    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = FtpPlace(
            host="127.0.0.1",
            port=port,
            folder=above,
            model=model,
            donefile="done",
            packed=packed,
            tls=tls,
            user=user,
            password=secret(password) if user else None,
            authority=None if authority is None else authority.path,
        )
        return FtpSource(place, patience, caps)

    return FolderPlace.made(folder, opened, port)


class TestPyftpdlib(SourceContract):
    """MLSD and MLST."""

    @pytest.fixture
    def place(self, folder: Path) -> Iterator[FolderPlace]:
        with ftp_servers.pyftpdlib(folder) as port, ftp_place(folder, port) as made:
            yield made


@network
class TestVsftpdTls(SourceContract):
    """SIZE, MDTM and LIST; TLS, where data connections must reuse the session; anonymous."""

    @pytest.fixture
    def place(self, cache: Path, folder: Path, authority: Authority) -> Iterator[FolderPlace]:
        with (
            ftp_servers.vsftpd(cache, folder, authority=authority) as port,
            ftp_place(folder, port, user="", tls="explicit", authority=authority) as made,
        ):
            yield made


@network
class TestProftpdTls(SourceContract):
    """TLS, sessions reused, and MLSD with `unique`."""

    @pytest.fixture
    def place(self, cache: Path, folder: Path, authority: Authority) -> Iterator[FolderPlace]:
        with (
            ftp_servers.proftpd(cache, folder, authority) as port,
            ftp_place(folder, port, tls="explicit", authority=authority) as made,
        ):
            yield made


@network
def test_implicit_tls(cache: Path, folder: Path, authority: Authority) -> None:
    with (
        ftp_servers.vsftpd(cache, folder, authority=authority, implicit=True) as port,
        ftp_place(folder, port, user="", tls="implicit", authority=authority) as place,
    ):
        place.put("model", b"data")
        source = place.source()
        assert all_of(source, source.model()[0]) == (0, b"data")
        assert source.name == f"ftps://127.0.0.1:{port}/model"


def test_without_trust_in_its_authority_a_server_is_refused(
    folder: Path, authority: Authority
) -> None:
    with (
        ftp_servers.pyftpdlib(folder, authority=authority) as port,
        ftp_place(folder, port, tls="explicit") as place,
        pytest.raises(SourceError, match="TLS failed") as caught,
    ):
        place.source().model()
    assert caught.value.trouble is Trouble.REFUSED


def test_a_wrong_password_is_refused_and_not_shown(folder: Path) -> None:
    with (
        ftp_servers.pyftpdlib(folder) as port,
        ftp_place(folder, port, password="wrong horse") as place,
        pytest.raises(SourceError) as caught,
    ):
        place.source().model()
    assert caught.value.trouble is Trouble.REFUSED
    assert "horse" not in str(caught.value)


def test_an_idle_connection_that_the_server_ended_is_made_anew(folder: Path) -> None:
    with ftp_servers.pyftpdlib(folder, idle=1) as port, ftp_place(folder, port) as place:
        place.put("model", b"data")
        place.put("done", b"now")
        source = place.source()
        for _ in range(2):
            assert donefile(source).content == b"now"
            time.sleep(1.5)  # the server's own clock ends the connection
            assert all_of(source, source.model()[0]) == (0, b"data")


def test_a_server_that_was_started_anew_is_found_again(folder: Path) -> None:
    with ftp_servers.pyftpdlib(folder) as port, ftp_place(folder, port) as place:
        place.put("model", b"data")
        source = place.source()
        assert source.model()
    assert trouble(source.model) is Trouble.UNREACHABLE


def test_a_folder_below_that_of_the_login(folder: Path) -> None:
    with ftp_servers.pyftpdlib(folder) as port, ftp_place(folder, port, above="sub/m") as place:
        place.put("sub/m/model", b"data")
        place.put("sub/m/done", b"now")
        source = place.source()
        assert all_of(source, source.model()[0]) == (0, b"data")
        assert donefile(source).content == b"now"


def test_names_with_a_leading_dot_are_found(cache: Path, folder: Path) -> None:
    with ftp_servers.pyftpdlib(folder) as port, ftp_place(folder, port) as place:
        place.put("model/.hidden", b"data")
        assert [each.path for each in place.source(packed=False).model()] == [".hidden"]


@network
def test_names_with_a_leading_dot_are_found_by_list(cache: Path, folder: Path) -> None:
    with ftp_servers.vsftpd(cache, folder) as port, ftp_place(folder, port, user="") as place:
        place.put("model/.hidden", b"data")
        assert [each.path for each in place.source(packed=False).model()] == [".hidden"]


@network
def test_links_are_refused(cache: Path, folder: Path, tmp_path: Path) -> None:
    with ftp_servers.vsftpd(cache, folder) as port, ftp_place(folder, port, user="") as place:
        place.put("model/file", b"data")
        (folder / "model" / "link").symlink_to("file")
        assert trouble(place.source(packed=False).model) is Trouble.MALFORMED


@network
def test_names_in_latin_1_are_pulled(cache: Path, folder: Path, tmp_path: Path) -> None:
    with ftp_servers.vsftpd(cache, folder) as port, ftp_place(folder, port, user="") as place:
        place.put("model/plain", b"1")
        inner = bytes(folder / "model") + b"/h\xf6he"
        Path(inner.decode("utf-8", "surrogateescape")).mkdir()
        Path((inner + b"/\xfcber").decode("utf-8", "surrogateescape")).write_bytes(b"2")
        pulled = pull(place.source(packed=False), tmp_path / "pull", effort=QUICK)
        assert contents(pulled) == {"höhe/über": b"2", "plain": b"1"}


@pytest.mark.parametrize("host", ["", "user@host", "user:geheim@host", "host/path", "a b"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    place = FtpPlace(host=host, folder="/", model="m", donefile="d")
    with pytest.raises(ConfigError) as caught:
        FtpSource(place)
    assert "geheim" not in str(caught.value)


def test_an_authority_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    place = FtpPlace(host="h", folder="/", model="m", donefile="d", authority=tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="authority"):
        FtpSource(place)
