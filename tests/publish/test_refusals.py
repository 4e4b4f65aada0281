"""Stores that refuse, lie or know other words: what the publisher says, and what it does not."""

import json
from pathlib import Path

import pytest

from hps.errors import PublishError
from hps.monitor.source import Patience, SourceError, Trouble
from hps.monitor.sources.credentials import Bearer, Secret
from hps.monitor.sources.webhdfs import WebHdfsPlace
from hps.publish.content import Content
from hps.publish.destination import Folder, TakenError
from hps.publish.folders.hadoop import HadoopFolder
from hps.publish.folders.http import HttpAddress, HttpFolder
from hps.publish.folders.local import LocalFolder
from hps.publish.folders.webhdfs import WebHdfsFolder
from hps.publish.in_folder import FolderDestination
from hps.publish.publish import Effort, publish
from tests import servers
from tests.publish.contract import NAMES, QUICK
from tests.publish.releases import made
from tests.servers import HostileServer

TOKEN = "geheimnisvoll"
DATA = Content.of_bytes(b"data")
PATIENT = Patience(connect=10, idle=10, total=60)


def nothing(_: int) -> None:
    """Nobody is told."""


def trouble(folder: Folder, name: str = "f") -> tuple[Trouble, str]:
    with pytest.raises(SourceError) as caught:
        folder.send(name, DATA, nothing)
    folder.close()
    assert TOKEN not in str(caught.value)
    return caught.value.trouble, str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        (401, Trouble.REFUSED, "credentials"),
        (403, Trouble.REFUSED, "credentials"),
        (405, Trouble.REFUSED, "takes PUT"),
        (302, Trouble.REFUSED, "takes PUT"),
        (404, Trouble.MISSING, "make the folder"),
        (409, Trouble.MISSING, "make the folder"),
        (413, Trouble.REFUSED, "that size"),
        (507, Trouble.REFUSED, "that size"),
        (429, Trouble.SERVER, "log of the server"),
        (503, Trouble.SERVER, "log of the server"),
    ],
)
def test_what_http_servers_mean(status: int, kind: Trouble, hint: str) -> None:
    token = Bearer(Secret(variable="T", environment={"T": TOKEN}))
    with HostileServer() as server:
        server.script("/d/f", servers.status(status, {"Content-Length": "0"}))
        folder = HttpFolder(HttpAddress(base=f"{server.url}/d", authorization=token), PATIENT)
        found, said = trouble(folder)
        assert found is kind
        assert hint in said
        assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [200, 201, 204])
def test_bytes_digest_and_length_are_sent(status: int) -> None:
    with HostileServer() as server:
        server.script("/d/f", servers.status(status, {"Content-Length": "0"}))
        folder = HttpFolder(HttpAddress(base=f"{server.url}/d"), PATIENT)
        folder.send("f", DATA, nothing)
        folder.send("f", Content.of_bytes(b""), nothing)
        folder.close()
        first, second = server.seen
        assert (first.method, first.body) == ("PUT", b"data")
        assert first.headers["repr-digest"].startswith("sha-256=:Om6weQ85rIfJT")
        assert second.headers["content-length"] == "0"


def test_a_store_that_keeps_something_else_is_found_out(tmp_path: Path) -> None:
    class Cuts(LocalFolder):
        def send(self, name: str, content: Content, sent: object) -> None:  # noqa: ARG002 - the port's
            with content.open() as sending:
                super().send(name, Content.of_bytes(sending.read(10)), nothing)

    there = tmp_path / "there"
    there.mkdir()
    destination = FolderDestination(Cuts(there), "done")
    with pytest.raises(PublishError, match="something else than was sent"):
        publish(destination, made(tmp_path, 1), NAMES, Effort(deadlines=QUICK))
    assert list(there.iterdir()) == []


def webhdfs(server: HostileServer) -> WebHdfsFolder:
    secret = Secret(variable="T", environment={"T": TOKEN})
    place = WebHdfsPlace(urls=(server.url,), folder="/d", model="", donefile="", token=secret)
    return WebHdfsFolder(place, PATIENT)


def said(status: int, value: object) -> servers.Behaviour:
    body = json.dumps(value).encode()
    return servers.status(status, {"Content-Type": "application/json"}, body)


def test_a_name_node_that_refuses_or_names_no_data_node() -> None:
    denied = {"exception": "AccessControlException", "message": f"no: delegation={TOKEN}"}
    path = f"/webhdfs/v1/d/f?delegation={TOKEN}&overwrite=true&permission=644&op=CREATE"
    for answer, kind, words in (
        (said(403, {"RemoteException": denied}), Trouble.REFUSED, "no: delegation=***"),
        (said(200, {}), Trouble.MALFORMED, "names no data node"),
        (servers.status(404, {"Content-Length": "0"}), Trouble.MALFORMED, "answered 404"),
    ):
        with HostileServer() as server:
            server.script(path, answer)
            found, text = trouble(webhdfs(server))
            assert found is kind
            assert words in text


def test_what_a_data_node_says(tmp_path: Path) -> None:
    path = f"/webhdfs/v1/d/f?delegation={TOKEN}&overwrite=true&permission=644&op=CREATE"
    full = {"exception": "DSQuotaExceededException", "message": "The quota is exceeded"}
    with HostileServer() as server:
        server.script(path, servers.status(307, {"Location": f"{server.url}/data"}))
        server.script("/data", said(403, {"RemoteException": full}))
        found, text = trouble(webhdfs(server))
        assert found is Trouble.SERVER
        assert "quota" in text
        assert server.seen[-1].body == b"data"


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ("put: `/d/f': No such file or directory", Trouble.MISSING),
        ("put: Permission denied: user=me", Trouble.REFUSED),
        ("put: Call From h to n:1 failed: Connection refused", Trouble.UNREACHABLE),
        ("Error: JAVA_HOME is not set", Trouble.UNUSABLE),
    ],
)
def test_what_the_hadoop_program_means(errors: str, kind: Trouble, tmp_path: Path) -> None:
    (tmp_path / "said").write_text(f"{errors}\n")
    folder = hadoop(tmp_path, f'echo "$*" >> {tmp_path}/argv; cat {tmp_path}/said >&2; exit 1')
    assert trouble(folder)[0] is kind
    argv = (tmp_path / "argv").read_text()
    assert TOKEN not in argv
    assert argv.startswith("fs -conf ")


def hadoop(folder: Path, script: str) -> HadoopFolder:
    from hps.monitor.sources.hadoop import HadoopPlace

    program = folder / "hadoop"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    secret = Secret(variable="U", environment={"U": f"me,{TOKEN}"})
    place = HadoopPlace(program=str(program), folder="/d", model="", donefile="", ugi=secret)
    return HadoopFolder(place, PATIENT)


def test_the_hadoop_program_does_not_replace(tmp_path: Path) -> None:
    folder = hadoop(tmp_path, 'echo "mv: \\`/d/new\': File exists" >&2; exit 1')
    with pytest.raises(TakenError):
        folder.rename("old", "new")
    gone = hadoop(tmp_path, 'echo "rm: \\`/d/new\': No such file or directory" >&2; exit 1')
    gone.remove("new")
    folder.close()
    gone.close()


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    found, said_ = trouble(LocalFolder(tmp_path / "no"), "f")
    assert found is Trouble.MISSING
    assert "no folder" in said_
    (tmp_path / "file").write_bytes(b"")
    assert trouble(LocalFolder(tmp_path / "file"))[0] is Trouble.MISSING
