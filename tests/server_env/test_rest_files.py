"""Signed URLs of result files over HTTP: the REST facade as the launcher starts it."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps_server.rest_files import signed_files
from hps_server.result_storage import SignedFileStorage, result_storage
from hps_server.signed_urls import SignedUrls
from tests.server_env.packages import PackageServer, installed_paddlex, make_package, serving

pytestmark = [pytest.mark.network, pytest.mark.slow]
SECRET = "0123456789abcdef-of-the-test"
TOKEN = "t0ken-of-the-test"


class Served:
    """A launcher with a package that keeps its results, and what a model of it would keep."""

    def __init__(self, server: PackageServer, folder: Path, storage: SignedFileStorage) -> None:
        self.server = server
        self.folder = folder
        self.storage = storage

    def keep(self, key: str, content: bytes = b"content", expires_in: int = -1) -> str:
        """The path and query of the signed URL of a new result."""
        self.storage.set(key, content)
        url = self.storage.get_url(key, expires_in)
        origin = "http://results.example.org"
        assert url.startswith(f"{origin}/files/")
        return url.removeprefix(origin)

    def ask(
        self, target: str, method: str = "GET", **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.rest, timeout=30)
        try:
            connection.request(method, target, None, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def ask_exactly(self, target: str) -> bytes:
        """The whole answer to a target that no client library would send as it is."""
        with socket.create_connection(("127.0.0.1", self.server.rest), 30) as connection:
            connection.sendall(
                f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer


@pytest.fixture(scope="module")
def served(
    triton: Path, rest_site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("files")
    package = make_package(folder)
    results = folder / "results"
    config = {
        "type": "file_system",
        "directory": str(results),
        "base_url": "http://results.example.org/files/",
    }
    # JSON is YAML.
    document = {"pipeline_name": "OCR", "Serving": {"extra": {"file_storage": config}}}
    (package / "pipeline_config.yaml").write_text(json.dumps(document))
    environment = {"HPS_SERVER_URL_SECRET": SECRET}
    (folder / "secret.txt").write_text("not a result")
    storage = result_storage(config, environment)
    assert isinstance(storage, SignedFileStorage)
    (folder / "token").write_text(TOKEN)
    server = PackageServer(
        triton,
        package,
        f"--rest-token-file={folder / 'token'}",
        paths=(installed_paddlex(folder / "site"), rest_site),
        rest=True,
        environment=environment,
    )
    with serving(server):
        assert server.process.stderr is not None
        with server.process.stderr as log:
            drain = threading.Thread(target=lambda: server.log.extend(log))
            drain.start()
            served = Served(server, folder, storage)
            while True:
                try:
                    served.ask("/health")
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            yield served
            server.process.terminate()
            server.process.wait()
            drain.join()


@pytest.mark.parametrize("kind", ["memory", "s3", "bos", "another", None])
def test_only_folders_are_served(tmp_path: Path, kind: str | None) -> None:
    """And clients of other storages, which cost memory and seconds, are not even loaded."""
    config = None if kind is None else {"type": kind}
    document = {"Serving": {"extra": {"file_storage": config}}}
    (tmp_path / "pipeline_config.yaml").write_text(json.dumps(document))
    assert signed_files(tmp_path / "pipeline_config.yaml") is None


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("log-1/ocr_0.jpg", "image/jpeg"),
        ("log-1/imgs/a b+c&d=e;f%2F.png", "image/png"),
        (
            "é/日本 語#?.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        ("log-1/page.html", "text/html"),
        ("log-1/all.tar.gz", "application/octet-stream"),
        ("log-1/..", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("expires_in", [-1, 60])
def test_a_signed_url_is_its_own_permission(
    served: Served, key: str, kind: str, expires_in: int
) -> None:
    status, headers, body = served.ask(served.keep(key, key.encode(), expires_in))
    assert (status, body) == (200, key.encode())
    assert headers["Content-Type"].partition(";")[0] == kind
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert headers["Cache-Control"].startswith("private")


def test_head_tells_the_size_and_a_range_is_answered_whole(served: Served) -> None:
    target = served.keep("log-2/a.jpg", b"0123456789")
    status, headers, body = served.ask(target, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "10", b"")
    assert headers["Content-Type"] == "image/jpeg"
    # RFC 9110, section 14.2: a server may ignore Range, and then sends everything.
    assert served.ask(target, Range="bytes=2-3")[::2] == (200, b"0123456789")
    assert served.ask(served.keep("log-2/empty.jpg", b""))[::2] == (200, b"")


def test_a_large_file_comes_whole(served: Served) -> None:
    content = bytes(range(256)) * (32 << 10)
    assert served.ask(served.keep("log-3/large.bin", content))[2] == content


def test_only_reading_is_offered(served: Served) -> None:
    target = served.keep("log-4/a.jpg")
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        # Signed or not, the answer is the same: the path alone gives no permission to write.
        assert served.ask(target, method)[0] == 405
        assert served.ask("/files/log-4/a.jpg", method)[0] == 405
    assert served.storage.get("log-4/a.jpg") == b"content"


def test_whatever_is_changed_is_not_there(served: Served) -> None:
    target = served.keep("log-5/a.jpg", expires_in=60)
    served.keep("log-5/b.jpg")
    path, _, query = target.partition("?")
    expires = query.partition("&")[0].removeprefix("expires=")
    other = SignedUrls("/files", SECRET[::-1].encode())
    for forged in (
        target.replace("a.jpg", "b.jpg"),
        target.replace("a.jpg", "a.jpg/"),
        target.replace("log-5", "log-6"),
        target[:-1],
        target[:-1] + ("0" if target[-1] != "0" else "1"),
        target + "0",
        target.replace(expires, str(int(expires) + 1)),
        target.replace(expires, "0"),
        target.replace(expires, ""),
        target.replace(expires, "x" * 5000),
        target.replace("signature=", "signature=%FF%00"),
        target.replace("signature", "Signature"),
        path,
        f"{path}?signature=&expires=0",
        f"{path}?{'&'.join(f'a{n}=1' for n in range(500))}",
        other.url("log-5/a.jpg", 60),
    ):
        status, headers, body = served.ask(forged)
        assert status == 404, forged
        assert body == b"No such file"
        assert headers["Content-Type"].startswith("text/plain")


def test_a_url_that_is_over_and_a_file_that_is_gone(served: Served) -> None:
    assert served.ask(served.keep("log-7/now.jpg", expires_in=0))[0] == 404
    soon = served.keep("log-7/soon.jpg", expires_in=2)
    before = served.ask(soon)[0]
    end = int(soon.partition("expires=")[2].partition("&")[0])
    while time.time() < end + 0.1:
        time.sleep(0.1)
    assert (before, served.ask(soon)[0]) == (200, 404)
    gone = served.keep("log-7/gone.jpg")
    assert served.ask(gone)[0] == 200
    served.storage.delete("log-7/gone.jpg")
    assert served.ask(gone)[::2] == (404, b"No such file")
    assert served.ask(gone, "HEAD")[0] == 404
    (served.folder / "results" / "log-7" / "dir.jpg").mkdir()
    assert (
        served.ask(served.storage.urls.url("log-7/dir.jpg").partition("example.org")[2])[0] == 404
    )


@pytest.mark.parametrize(
    "path",
    [
        "/files/../secret.txt",
        "/files/..%2fsecret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/%2e%2e%2fsecret.txt",
        "/files/log-8/../../secret.txt",
        "/files/log-8/%2e%2e/%2e%2e/secret.txt",
        "/files//etc/passwd",
        "/files/%2Fetc%2Fpasswd",
        "/files/..%5csecret.txt",
        "/files/%252e%252e%252fsecret.txt",
        "/files/.incomplete/x",
        "/files/secret.txt%00.jpg",
        "/files/%FF%FE",
        "/files/" + "x" * 4000,
        "http://h/files/../secret.txt",
    ],
)
def test_no_path_leads_out_of_the_folder(served: Served, path: str) -> None:
    _, _, query = served.keep("log-8/a.jpg").partition("?")
    answer = served.ask_exactly(f"{path}?{query}")
    assert b"not a result" not in answer
    assert b"root:" not in answer
    # 401: what is not below /files/ needs the token.
    assert answer.split(b" ", 2)[1] in (b"404", b"401", b"400")


def test_a_signed_name_that_leads_out_stays_inside(served: Served) -> None:
    """Not even whoever has the secret reads elsewhere."""
    for key in ("../secret.txt", "..", "/etc/passwd", "log-9/../../secret.txt", "a\0", "x" * 300):
        _, _, target = served.storage.urls.url(key).partition("example.org")
        answer = served.ask_exactly(target)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"not a result" not in answer
    kept = served.keep("../secret.txt", b"kept inside")
    assert served.ask_exactly(kept).endswith(b"kept inside")
    assert (served.folder / "secret.txt").read_text() == "not a result"


def test_a_folder_of_results_is_not_listed(served: Served) -> None:
    served.keep("log-10/a.jpg")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/files/", "/files", "/files/log-10", "/files/log-10/"):
        assert served.ask(path, **bearer)[0] == 404
    # And the token of the operations opens no file.
    assert served.ask("/files/log-10/a.jpg", **bearer)[0] == 404
    assert served.ask("/ocr", "POST")[0] == 401


def test_neither_the_secret_nor_a_signature_is_logged(served: Served) -> None:
    target = served.keep("log-11/a.jpg")
    assert served.ask(target)[0] == 200
    log = "".join(served.server.log)
    assert SECRET not in log
    assert target.rpartition("=")[2] not in log
