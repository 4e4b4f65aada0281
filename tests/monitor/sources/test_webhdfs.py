"""The source for WebHDFS against a real cluster, and against servers that lie."""

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hps.errors import ConfigError
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from tests import servers
from tests.monitor.sources.contract import all_of, donefile, noise, trouble
from tests.monitor.sources.hdfs_server import Hdfs, HdfsPlace
from tests.monitor.sources.test_hadoop import HdfsContract
from tests.servers import Behaviour, HostileServer

HASTY = Patience(connect=5.0, idle=0.3, total=2.0, minimum_rate=100_000, rate_window=0.2)
TOKEN = "IAAEaHBzBGhwc2dlaGVpbQ"


def webhdfs_place(
    hdfs: Hdfs, *, urls: tuple[str, ...] = (), token: Secret | None = None
) -> "contextlib.AbstractContextManager[HdfsPlace]":
    folder = f"/published-{next(hdfs.numbers)}"

    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = WebHdfsPlace(
            urls=urls or (hdfs.url,),
            folder=folder,
            model=model,
            donefile="done",
            packed=packed,
            user="loader",
            token=token,
        )
        return WebHdfsSource(place, patience, caps)

    return HdfsPlace.made(hdfs, folder, opened)


@pytest.mark.network
@pytest.mark.slow
class TestWebHdfs(HdfsContract):
    """The contract."""

    @pytest.fixture
    def place(self, hdfs: Hdfs) -> Iterator[HdfsPlace]:
        with webhdfs_place(hdfs) as made:
            yield made


@pytest.mark.network
def test_what_is_said_of_a_file(hdfs: Hdfs) -> None:
    with webhdfs_place(hdfs) as place:
        before = time.time()
        place.put("model", b"data")
        (found,) = place.source().model()
        status = hdfs.client().status(f"{place.folder}/model")
        assert found.tokens["id"] == str(status["fileId"])
        assert found.tokens["checksum"].startswith("MD5-of-0MD5-of-512CRC32C:")
        modified = float(found.tokens["modified"])
        assert modified == status["modificationTime"] / 1000
        assert before - 1 < modified < time.time() + 1
        assert found.age is not None
        assert found.age < 60
        place.put("folder/file", b"data")
        (inner,) = place.source("folder", packed=False).model()
        assert "checksum" not in inner.tokens
        assert inner.resolution == 0.001


@pytest.mark.network
def test_of_two_name_nodes_the_one_that_answers_is_asked(hdfs: Hdfs) -> None:
    with webhdfs_place(hdfs, urls=("http://127.0.0.1:1", hdfs.url)) as place:
        place.put("model", b"data")
        source = place.source()
        for _ in range(2):
            assert all_of(source, source.model()[0]) == (0, b"data")


@pytest.mark.network
def test_a_standby_name_node_is_passed_over(hdfs: Hdfs) -> None:
    with HostileServer() as standby:
        refusal = exception("StandbyException", "Operation category READ is not supported")
        with webhdfs_place(hdfs, urls=(standby.url, hdfs.url)) as place:
            place.put("model", b"data")
            for operation in ("GETFILESTATUS", "GETFILECHECKSUM", "OPEN"):
                standby.script(asked(f"{place.folder}/model", operation, "loader"), refusal)
            source = place.source()
            for _ in range(2):
                assert all_of(source, source.model()[0]) == (0, b"data")
            assert len(standby.seen) == 1


def test_name_nodes_none_of_which_is_active(server: HostileServer) -> None:
    refusal = exception("StandbyException", "Operation category READ is not supported")
    with HostileServer() as other:
        for each in (server, other):
            each.script(asked("/m/model", "GETFILESTATUS"), refusal)
        for urls, said, hint in (
            ((server.url,), "the name node stands by", "both name nodes"),
            ((server.url, other.url), "no name node answers as the active one", "active"),
        ):
            place = WebHdfsPlace(urls=urls, folder="/m", model="model", donefile="d", user="me")
            with (
                contextlib.closing(WebHdfsSource(place)) as made,
                pytest.raises(SourceError, match=said) as caught,
            ):
                made.model()
            assert caught.value.trouble is Trouble.SERVER
            assert hint in str(caught.value.hint)


def test_who_is_not_let_in_is_told_how_to_log_in(server: HostileServer) -> None:
    server.script(asked("/m/model", "GETFILESTATUS"), servers.status(401))
    with source(server) as made, pytest.raises(SourceError) as caught:
        made.model()
    assert "kerberos = true" in str(caught.value.hint)


@pytest.mark.network
def test_a_token_takes_the_place_of_the_user(hdfs: Hdfs) -> None:
    """A cluster without security takes any token."""
    secret = Secret(variable="T", environment={"T": TOKEN})
    with webhdfs_place(hdfs, token=secret) as place:
        place.put("model", b"data")
        source = place.source()
        assert all_of(source, source.model()[0]) == (0, b"data")


def asked(path: str, operation: str, user: str = "me", **more: object) -> str:
    """The address of a request as the package `hdfs` makes it."""
    rest = "".join(f"&{name}={value}" for name, value in more.items())
    start = f"/webhdfs/v1{path}?user.name={user}"
    return f"{start}{rest}&op={operation}" if rest else f"{start}&op={operation}"


def answer(value: Any) -> Behaviour:
    return servers.fine(json.dumps(value).encode(), media_type="application/json")


def exception(name: str, message: str, code: int = 403) -> Behaviour:
    body = {"RemoteException": {"exception": name, "javaClassName": name, "message": message}}
    return servers.status(code, {"Content-Type": "application/json"}, json.dumps(body).encode())


def status(size: int = 4, kind: str = "FILE", **more: object) -> dict[str, Any]:
    return {"length": size, "modificationTime": 1767323045250, "type": kind, "fileId": 7, **more}


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@contextlib.contextmanager
def source(
    server: HostileServer,
    *,
    packed: bool = True,
    patience: Patience | None = None,
    caps: Caps | None = None,
    token: str = "",
) -> Iterator[WebHdfsSource]:
    secret = Secret(variable="T", environment={"T": token})
    made = WebHdfsSource(
        WebHdfsPlace(
            urls=(server.url,), folder="/m", model="model", donefile="done", packed=packed,
            user="me", token=secret if token else None,
        ),
        patience,
        caps,
    )  # fmt: skip
    try:
        yield made
    finally:
        made.close()


def publish(server: HostileServer, given: dict[str, Any], opened: Behaviour) -> None:
    server.script(asked("/m/model", "GETFILESTATUS"), answer({"FileStatus": given}))
    server.script(
        asked("/m/model", "GETFILECHECKSUM"),
        exception("UnsupportedOperationException", "none", 400),
    )
    for offset in (0, 2):
        server.script(f"/webhdfs/v1/m/model?user.name=me&offset={offset}&op=OPEN", opened)


BAD = {
    "missing": (exception("FileNotFoundException", "no file", 404), Trouble.MISSING),
    "denied": (exception("AccessControlException", "Permission denied"), Trouble.REFUSED),
    "token": (exception("SecurityException", "Failed to obtain user"), Trouble.REFUSED),
    "expired": (exception("InvalidToken", "token is expired"), Trouble.REFUSED),
    "standby": (exception("StandbyException", "standby"), Trouble.SERVER),
    "other": (exception("IOException", "disk", 500), Trouble.SERVER),
    "401": (servers.status(401), Trouble.REFUSED),
    "403": (servers.status(403, body=b"<html>"), Trouble.REFUSED),
    "404-of-another-server": (servers.status(404, body=b"<html>"), Trouble.MALFORMED),
    "404-json": (servers.status(404, body=b"{}"), Trouble.MALFORMED),
    "500": (servers.status(500, body=b"<html>"), Trouble.SERVER),
    "html": (servers.fine(b"<html>"), Trouble.MALFORMED),
    "empty": (answer({}), Trouble.MALFORMED),
    "list": (answer([1]), Trouble.MALFORMED),
    "null": (answer(None), Trouble.MALFORMED),
    "no-size": (answer({"FileStatus": {"type": "FILE"}}), Trouble.MALFORMED),
    "negative": (answer({"FileStatus": status(-1)}), Trouble.MALFORMED),
    "text": (answer({"FileStatus": {**status(), "length": "x"}}), Trouble.MALFORMED),
    "folder": (answer({"FileStatus": status(0, "DIRECTORY")}), Trouble.MALFORMED),
    "link": (answer({"FileStatus": status(0, "SYMLINK")}), Trouble.MALFORMED),
    "deep": (servers.fine(b"[" * 100_000), Trouble.MALFORMED),
    "reset": (servers.reset(), Trouble.UNREACHABLE),
    "hang-up": (servers.hang_up(), Trouble.UNREACHABLE),
    "to-file": (servers.redirect("file:///etc/passwd", 307), Trouble.MALFORMED),
    "loop": (servers.redirect("/webhdfs/v1/m/model?user.name=me&op=GETFILESTATUS", 307),
             Trouble.MALFORMED),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "kind"), BAD.values(), ids=BAD)
def test_each_bad_answer_has_its_name(server: HostileServer, bad: Behaviour, kind: Trouble) -> None:
    server.script(asked("/m/model", "GETFILESTATUS"), bad)
    with source(server) as made:
        assert trouble(made.model) is kind


def test_an_answer_that_does_not_come_is_ended(server: HostileServer) -> None:
    server.script(asked("/m/model", "GETFILESTATUS"), servers.silence())
    with source(server, patience=HASTY) as made:
        assert trouble(made.model) is Trouble.STALLED


def test_bytes_are_read_from_an_offset_and_through_a_redirect(server: HostileServer) -> None:
    publish(server, status(), servers.redirect("/data", 307))
    server.script("/data", servers.fine(b"data"), servers.fine(b"ta"), servers.fine(b"data"))
    with source(server) as made:
        (found,) = made.model()
        assert found.tokens == {"id": "7", "modified": "1767323045.250"}
        assert all_of(made, found) == (0, b"data")
        assert all_of(made, found, 2) == (2, b"ta")
        assert all_of(made, found, 4) == (4, b"")
        assert all_of(made, found, 5)[0] == 0


@pytest.mark.parametrize(
    ("opened", "kind"),
    [
        (servers.fine(b"dat"), Trouble.TRUNCATED),
        (servers.fine(b"data and more"), Trouble.CHANGED),
        (servers.reset(b"da", announced=4), Trouble.UNREACHABLE),
        (exception("FileNotFoundException", "gone", 404), Trouble.MISSING),
    ],
)
def test_bytes_that_do_not_come_as_announced(
    server: HostileServer, opened: Behaviour, kind: Trouble
) -> None:
    publish(server, status(), opened)
    with source(server) as made:
        (found,) = made.model()
        assert trouble(lambda: all_of(made, found)) is kind


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "..", ".", "a%41", "#LATEST", "a\nb", "\x1b[2J", "a\0b", 5, None]
)
def test_no_listed_name_leads_elsewhere(server: HostileServer, name: object) -> None:
    entries = [status(pathSuffix="file"), status(pathSuffix=name)]
    server.script(
        asked("/m/model", "LISTSTATUS"), answer({"FileStatuses": {"FileStatus": entries}})
    )
    with source(server, packed=False) as made:
        assert trouble(made.model) is Trouble.MALFORMED


def test_a_list_without_end_is_ended(server: HostileServer) -> None:
    server.script(asked("/m/model", "LISTSTATUS"), servers.fine(b" " * (17 << 20)))
    with source(server, packed=False) as made:
        assert trouble(made.model) is Trouble.TOO_LARGE


def test_no_error_and_no_log_holds_the_token(
    server: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = f"/webhdfs/v1/m/model?delegation={TOKEN}&op=GETFILESTATUS"
    message = f"refused {TOKEN} http://x/?delegation={TOKEN}&op=x"
    server.script(
        path,
        exception("SecurityException", message),
        servers.redirect(f"/other?delegation={TOKEN}", 307),
        servers.status(401, body=message.encode()),
        servers.reset(),
    )
    with source(server, token=TOKEN) as made:
        for _ in range(4):
            with pytest.raises(SourceError) as caught:
                made.model()
            text = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
            assert TOKEN not in text
            assert caught.value.__suppress_context__
    assert server.seen[0].path == path
    assert "delegation=***" in caplog.text
    assert TOKEN not in caplog.text


def test_close_ends_a_wait(server: HostileServer) -> None:
    server.script(asked("/m/model", "GETFILESTATUS"), servers.silence())
    with source(server) as made:

        def close() -> None:
            while not server.seen:
                time.sleep(0.01)
            made.close()

        other = threading.Thread(target=close)
        other.start()
        assert trouble(made.model) is Trouble.UNREACHABLE
        other.join()
        assert trouble(made.donefile) is Trouble.UNREACHABLE


def test_kerberos_without_its_package_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hdfs.ext.kerberos", raising=False)
    monkeypatch.setitem(sys.modules, "requests_kerberos", None)  # so it cannot be imported
    place = WebHdfsPlace(
        urls=("http://127.0.0.1:1",), folder="/", model="m", donefile="d", kerberos=True
    )
    with pytest.raises(SourceError, match="requests-kerberos") as caught:
        WebHdfsSource(place).model()
    assert caught.value.trouble is Trouble.UNUSABLE
    assert "hps[kerberos]" in str(caught.value.hint)


WITHOUT_LIBRARY = """
import sys
sys.modules["gssapi"] = None  # as where libgssapi-krb5-2 is not installed
from hps.monitor.source import SourceError
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
place = WebHdfsPlace(
    urls=("http://127.0.0.1:1",), folder="/", model="m", donefile="d", kerberos=True
)
try:
    WebHdfsSource(place).model()
except SourceError as error:
    print(error.trouble, error.message, error.hint)
"""


def test_kerberos_without_its_library_is_unusable() -> None:
    pytest.importorskip("requests_kerberos", reason="pip install 'hps[kerberos]'")
    argv = [sys.executable, "-c", WITHOUT_LIBRARY]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("unusable the library of Kerberos cannot be used: ")
    assert "libgssapi-krb5-2" in done.stdout


def test_a_token_is_read_anew_each_time(server: HostileServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    place = WebHdfsPlace(
        urls=(server.url,), folder="/", model="m", donefile="d", token=Secret(file=file)
    )
    made = WebHdfsSource(place)
    with contextlib.closing(made):
        for token in ("first", "second"):
            file.write_text(token)
            with pytest.raises(SourceError):
                made.model()
            assert f"delegation={token}&" in server.seen[-1].path


@pytest.mark.parametrize(
    "url", ["ftp://h", "http://u:geheim@h", "http://h?x=geheim", "http://h;http://i", "file:///x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebHdfsSource(WebHdfsPlace(urls=(url,), folder="/", model="m", donefile="d"))
    assert "geheim" not in str(caught.value)


def test_large_files_are_refused_before_they_are_read(server: HostileServer) -> None:
    publish(server, status(1 << 41), servers.fine(noise(10)))
    with source(server) as made:
        (found,) = made.model()
        assert trouble(lambda: all_of(made, found)) is Trouble.TOO_LARGE
        assert donefile_is_none(made, server)


def donefile_is_none(made: WebHdfsSource, server: HostileServer) -> bool:
    server.script(asked("/m/done", "GETFILESTATUS"), exception("FileNotFoundException", "no", 404))
    return made.donefile() is None


def test_a_donefile_is_read_up_to_the_cap(server: HostileServer) -> None:
    server.script(asked("/m/done", "GETFILESTATUS"), answer({"FileStatus": status(10)}))
    server.script(asked("/m/done", "GETFILECHECKSUM"), servers.status(404, body=b"{}"))
    server.script("/webhdfs/v1/m/done?user.name=me&offset=0&op=OPEN", servers.fine(b"0123456789"))
    with source(server, caps=Caps(donefile=4)) as made:
        assert donefile(made).content == b"0123"
