"""The source for WebHDFS against a real cluster with security, and a real KDC."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from hps.publish.content import Content
from hps.publish.folders.webhdfs import WebHdfsFolder
from tests.monitor.sources.contract import all_of, trouble
from tests.monitor.sources.frozen import frozen
from tests.monitor.sources.hadoop_jars import hadoop_jars
from tests.monitor.sources.hdfs_server import Hdfs, HdfsPlace
from tests.monitor.sources.kerberos_realm import Realm
from tests.monitor.sources.processes import SECONDS
from tests.monitor.sources.test_hadoop import HdfsContract

pytest.importorskip("requests_kerberos", reason="pip install 'hps[kerberos]'")
pytestmark = [pytest.mark.network, pytest.mark.slow]
LOADER = "loader/host.example.org"
SETTINGS = """\
[monitor]
state = "state"
listen = ""

[monitor.models.ocr]
verify = "none"
source = {{ type = "hdfs", url = ["{url}"], kerberos = true, path = "{folder}", \
model = "model", donefile = "done" }}
server = {{ type = "paddle-serving", folder = "served" }}
"""


@dataclass
class Secured:
    """A cluster with security.

    Args:
        hdfs: the cluster.
        realm: its realm.
        keytab: of the user of the monitor.
    """

    hdfs: Hdfs
    realm: Realm
    keytab: Path

    def log_in(self, cache: Path, *, seconds: int = 600) -> None:
        """Put a ticket of the user of the monitor into a cache."""
        self.realm.log_in(self.keytab, LOADER, cache, seconds=seconds)


@pytest.fixture(scope="module")
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Secured]:
    jars = hadoop_jars(request.config.cache.mkdir("hps-hadoop"))
    cache = request.config.cache.mkdir("hps-kerberos")
    with (
        Realm.running(tmp_path_factory.mktemp("realm"), cache) as realm,
        Hdfs.running(tmp_path_factory.mktemp("hdfs"), jars, realm) as hdfs,
    ):
        yield Secured(hdfs, realm, realm.keytab(LOADER))


@pytest.fixture(autouse=True)
def ticket(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this process, with a ticket."""
    cache = tmp_path / "ticket"
    monkeypatch.setenv("KRB5_CONFIG", str(secured.realm.config))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{cache}")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", str(tmp_path / "none"))
    secured.log_in(cache)
    return cache


@pytest.fixture
def place(secured: Secured) -> Iterator[HdfsPlace]:
    with kerberos_place(secured.hdfs) as made:
        yield made


def kerberos_place(
    hdfs: Hdfs, *, url: str = "", kerberos: bool = True, token: Secret | None = None
) -> "contextlib.AbstractContextManager[HdfsPlace]":
    folder = f"/published-{next(hdfs.numbers)}"

    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = WebHdfsPlace(
            urls=(url or hdfs.url,),
            folder=folder,
            model=model,
            donefile="done",
            packed=packed,
            kerberos=kerberos,
            token=token,
        )
        return WebHdfsSource(place, patience, caps)

    return HdfsPlace.made(hdfs, folder, opened)


class TestKerberos(HdfsContract):
    """The contract, with a ticket."""

    @pytest.fixture
    def place(self, secured: Secured) -> Iterator[HdfsPlace]:
        with kerberos_place(secured.hdfs) as made:
            yield made


def refusal(source: Source) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.model()
    assert caught.value.trouble is Trouble.REFUSED
    return caught.value


def test_who_asks_is_who_the_ticket_is_of(place: HdfsPlace, secured: Secured) -> None:
    place.put("model", b"data")
    assert secured.hdfs.client().status(f"{place.folder}/model")["owner"] == "loader"
    source = place.source()
    assert all_of(source, source.model()[0]) == (0, b"data")


def test_without_a_ticket_it_is_said_what_to_do(
    place: HdfsPlace, secured: Secured, ticket: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.put("model", b"data")
    source = place.source()
    ticket.unlink()
    error = refusal(source)
    assert "there is no Kerberos ticket" in error.message
    assert "kinit" in str(error.hint)
    assert trouble(source.donefile) is Trouble.REFUSED
    assert not caplog.records
    secured.log_in(ticket)
    assert all_of(source, source.model()[0]) == (0, b"data")


def expire(secured: Secured, ticket: Path) -> None:
    """Put a ticket into the cache that is over; tickets count in whole seconds."""
    secured.log_in(ticket, seconds=1)
    end = int(time.time()) + 2
    while time.time() < end:
        time.sleep(0.1)


def test_a_ticket_that_has_expired_is_said_to_have(
    place: HdfsPlace, secured: Secured, ticket: Path
) -> None:
    place.put("model", b"data")
    source = place.source()
    expire(secured, ticket)
    error = refusal(source)
    assert "the Kerberos ticket has expired" in error.message
    assert "kinit" in str(error.hint)
    secured.log_in(ticket)
    assert all_of(source, source.model()[0]) == (0, b"data")


def test_a_keytab_takes_the_place_of_kinit(
    place: HdfsPlace, secured: Secured, ticket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("model", b"data")
    source = place.source()
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", str(secured.keytab))
    ticket.unlink()
    assert all_of(source, source.model()[0]) == (0, b"data")
    expire(secured, ticket)
    assert all_of(source, source.model()[0]) == (0, b"data")


def test_a_kdc_that_is_down_is_no_fault_of_the_ticket(
    place: HdfsPlace, secured: Secured, ticket: Path
) -> None:
    place.put("model", b"data")
    source = place.source()
    secured.log_in(ticket)  # a cache without a ticket for the name node
    secured.realm.stop()
    try:
        with pytest.raises(SourceError, match="no KDC answers") as caught:
            source.model()
    finally:
        secured.realm.start()
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert all_of(source, source.model()[0]) == (0, b"data")


def test_a_kdc_that_hangs_is_waited_for_no_longer_than_idle(
    place: HdfsPlace, secured: Secured, ticket: Path
) -> None:
    secured.log_in(ticket)
    source = place.source(patience=Patience(idle=0.3))
    with frozen(secured.realm.port):
        assert trouble(source.model) is Trouble.STALLED


def test_close_ends_the_wait_for_a_kdc(place: HdfsPlace, secured: Secured, ticket: Path) -> None:
    secured.log_in(ticket)
    source = place.source()
    with frozen(secured.realm.port):
        closer = threading.Timer(0.1, source.close)
        closer.start()
        assert trouble(source.model) is Trouble.UNREACHABLE
        closer.join()


def test_a_name_node_that_the_realm_does_not_know_is_named(secured: Secured) -> None:
    url = secured.hdfs.url.replace("localhost", "127.0.0.1")
    with kerberos_place(secured.hdfs, url=url) as place:
        error = refusal(place.source())
    assert "does not know HTTP/127.0.0.1" in error.message
    assert "`url`" in str(error.hint)


def test_a_name_node_without_the_key_refuses_the_ticket(secured: Secured) -> None:
    secured.realm.keytab("HTTP/127.1")
    url = secured.hdfs.url.replace("localhost", "127.1")
    with kerberos_place(secured.hdfs, url=url) as place:
        error = refusal(place.source())
    assert "keytab" in str(error.hint)


def test_who_does_not_log_in_is_told_how(secured: Secured) -> None:
    with kerberos_place(secured.hdfs, kerberos=False) as place:
        error = refusal(place.source())
    assert "kerberos = true" in str(error.hint)


def test_a_delegation_token_needs_no_ticket_until_it_is_cancelled(
    secured: Secured, ticket: Path
) -> None:
    """Nothing of the package knows tokens: they are got as `hdfs fetchdt` does."""
    client = secured.hdfs.client()
    path, get, put = "/webhdfs/v1/", "GETDELEGATIONTOKEN", "CANCELDELEGATIONTOKEN"
    given = client._request("GET", f"{secured.hdfs.url}{path}", params={"op": get}).json()
    token = given["Token"]["urlString"]
    secret = Secret(variable="T", environment={"T": token})
    with kerberos_place(secured.hdfs, kerberos=False, token=secret) as place:
        place.put("model", b"data")
        kept = ticket.rename(ticket.with_name("kept"))
        source = place.source()
        assert all_of(source, source.model()[0]) == (0, b"data")
        kept.rename(ticket)
        client._request("PUT", f"{secured.hdfs.url}{path}", params={"op": put, "token": token})
        error = refusal(source)
        assert token not in f"{error!r}{error}{error.hint}"


def test_a_publisher_logs_in_too(secured: Secured) -> None:
    """The ticket is for the name node; the data node, here at another port, is not shown it."""
    folder = f"/published-{next(secured.hdfs.numbers)}"
    place = WebHdfsPlace(
        urls=(secured.hdfs.url,), folder=folder, model="model", donefile="done", kerberos=True
    )
    with (
        contextlib.closing(WebHdfsFolder(place, Patience())) as publisher,
        contextlib.closing(WebHdfsSource(place)) as source,
    ):
        for data in (b"data", b"more data"):
            publisher.send("new", Content.of_bytes(data), lambda _: None)
            publisher.rename("new", "model")
            assert all_of(source, source.model()[0]) == (0, data)


def once(folder: Path) -> "subprocess.CompletedProcess[str]":
    """One look of the monitor in a process of its own."""
    words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml", "--once"]
    return subprocess.run(
        words, cwd=folder, check=False, capture_output=True, text=True, timeout=SECONDS
    )


def test_the_monitor_says_so_in_one_line_and_swaps_when_there_is_a_ticket(
    place: HdfsPlace, secured: Secured, ticket: Path, tmp_path: Path
) -> None:
    place.put("model/weights", b"version 1")
    place.put("done", b"1")
    settings = SETTINGS.format(url=secured.hdfs.url, folder=place.folder)
    (tmp_path / "monitor.toml").write_text(settings)
    (tmp_path / "served").mkdir()
    ticket.unlink()
    done = once(tmp_path)
    assert done.returncode == 4
    assert "there is no Kerberos ticket" in done.stderr
    assert "Traceback" not in done.stderr
    assert "requests_kerberos" not in done.stderr
    secured.log_in(ticket)
    done = once(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "served" / "ocr" / "weights").read_bytes() == b"version 1"
