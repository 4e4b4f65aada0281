"""Publishing by FTP and FTPS, to pyftpdlib, vsftpd and proftpd."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from hps.monitor.source import Patience
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.ftp import FtpPlace, FtpSource
from hps.publish.folders.ftp import FtpFolder
from hps.publish.in_folder import FolderDestination
from tests.monitor.sources import ftp_servers
from tests.monitor.sources.ftp_servers import PASSWORD, USER
from tests.oci.registry_server import Authority
from tests.publish.contract import DestinationContract, Shop

network = pytest.mark.network  # Debian's vsftpd and proftpd


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "published"
    made.mkdir()
    return made


def ftp_shop(
    folder: Path,
    port: int,
    *,
    user: str = USER,
    tls: Literal["none", "explicit", "implicit"] = "none",
    authority: Authority | None = None,
    at: str = "/",
    carries_on: bool = True,
    gapless: bool = True,
) -> Shop:
    place = FtpPlace(
        host="127.0.0.1",
        port=port,
        folder=at,
        model="ocr.tar.gz",
        donefile="done",
        tls=tls,
        user=user,
        password=Secret(variable="P", environment={"P": PASSWORD}) if user else None,
        authority=None if authority is None else authority.path,
    )
    return Shop(
        lambda _, names: FolderDestination(FtpFolder(place, Patience()), names.donefile),
        lambda: FtpSource(place),
        lambda: {path.name for path in folder.iterdir()},
        carries_on=carries_on,
        gapless=gapless,
        wait=lambda: wait_for_size(folder, 1 << 19),
    )


def wait_for_size(folder: Path, size: int) -> None:
    """Until a file there has so many bytes."""
    end = time.monotonic() + 20
    while max((path.stat().st_size for path in folder.iterdir()), default=0) < size:
        assert time.monotonic() < end
        time.sleep(0.01)


class TestPyftpdlib(DestinationContract):
    """A rename replaces; MLST with `unique`."""

    @pytest.fixture
    def shop(self, folder: Path) -> Iterator[Shop]:
        with ftp_servers.pyftpdlib(folder) as port:
            yield ftp_shop(folder, port)


@network
class TestVsftpdTls(DestinationContract):
    """A rename replaces; data connections must reuse the TLS session; anonymous."""

    @pytest.fixture
    def shop(self, cache: Path, folder: Path, authority: Authority) -> Iterator[Shop]:
        open_to_all = folder / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)  # it writes as another user, who may not own the root
        with ftp_servers.vsftpd(cache, folder, authority=authority, writes=True) as port:
            yield ftp_shop(
                open_to_all, port, user="", tls="explicit", authority=authority, at="/open"
            )


@network
class TestProftpdTls(DestinationContract):
    """As it comes it refuses renames over a file (the old one steps aside), and APPE."""

    @pytest.fixture
    def shop(self, cache: Path, folder: Path, authority: Authority) -> Iterator[Shop]:
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(ftp_servers.proftpd(cache, folder, authority))
            yield ftp_shop(
                folder,
                port,
                tls="explicit",
                authority=authority,
                carries_on=False,
                gapless=False,
            )
