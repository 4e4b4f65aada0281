"""The REST facade before a real Triton: real paths, real status codes, the same envelopes."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server_env.packages import PackageServer, installed_paddlex, make_package, serving

pytestmark = [pytest.mark.network, pytest.mark.slow]
JSON = {"Content-Type": "application/json"}
TOKEN = "t0ken-of-the-test"


@pytest.fixture(scope="module")
def server(
    triton: Path, rest_site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PackageServer]:
    folder = tmp_path_factory.mktemp("rest")
    server = PackageServer(
        triton,
        make_package(folder),
        paths=(installed_paddlex(folder / "site"), rest_site),
        rest=True,
        environment={"HPS_REST_DEADLINE": "2", "HPS_REST_MAX_BODY": "1"},
    )
    with serving(server):
        assert server.process.stderr is not None
        with server.process.stderr as log:
            drain = threading.Thread(target=lambda: server.log.extend(log))
            drain.start()
            wait_until_ready(server)
            yield server
            server.process.terminate()
            server.process.wait()
            drain.join()


def wait_until_ready(server: PackageServer) -> None:
    while True:
        try:
            if call(server, "GET", "/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)


def call(
    server: PackageServer,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        data = response.read()
        shown = (
            json.loads(data)
            if response.headers["Content-Type"].startswith("application/json")
            else data.decode()
        )
        return response.status, dict(response.headers), shown
    finally:
        connection.close()


def test_an_answer_is_the_envelope_with_the_callers_request_id(server: PackageServer) -> None:
    headers = JSON | {"X-Request-Id": "call-7"}
    status, got, envelope = call(server, "POST", "/ocr", '{"file": "eA=="}', headers)
    assert (status, got["X-Request-Id"]) == (200, "call-7")
    assert (envelope["logId"], envelope["errorCode"]) == ("call-7", 0)
    assert envelope["result"]["request"] == {"file": "eA=="}
    while not any("request_id=call-7" in line for line in server.log):
        time.sleep(0.05)


def test_a_request_id_that_is_no_name_is_replaced(server: PackageServer) -> None:
    headers = JSON | {"X-Request-Id": "../../etc"}
    status, got, envelope = call(server, "POST", "/ocr", "{}", headers)
    assert status == 200
    assert got["X-Request-Id"] == envelope["logId"] != "../../etc"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"code": 422}', 422, 422),
        ('{"code": 503}', 503, 503),
        ('{"code": 504}', 504, 504),
        ('{"code": 500}', 500, 500),
        ('{"code": 1}', 500, 1),
        ('{"sleep": 60}', 504, 504),
        ('{"file": ', 400, 400),
        ("[]", 400, 400),
        ("{}" + " " * (1 << 20), 413, 413),
    ],
)
def test_failures_have_real_status_codes(
    server: PackageServer, body: str, status: int, code: int
) -> None:
    got, headers, envelope = call(server, "POST", "/ocr", body, JSON)
    assert (got, envelope["errorCode"]) == (status, code)
    assert envelope["logId"] == headers["X-Request-Id"]
    assert ("Retry-After" in headers) == (status == 503)


def test_what_is_not_there(server: PackageServer) -> None:
    assert call(server, "GET", "/ocr")[0] == 405
    assert call(server, "POST", "/other", "{}", JSON)[0] == 404
    assert call(server, "POST", "/ocr", "x", {"Content-Type": "text/x;y"})[0] == 200  # a file
    assert call(server, "POST", "/ocr", "x")[0] == 415


def test_a_file_as_it_is_and_in_a_form(server: PackageServer) -> None:
    pdf = {"Content-Type": "application/pdf"}
    _, _, envelope = call(server, "POST", "/ocr?visualize=false", b"%PDF", pdf)
    assert envelope["result"]["request"] == {"file": "JVBERg==", "visualize": False, "fileType": 0}
    form = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n"
        b'--B\r\nContent-Disposition: form-data; name="visualize"\r\n\r\ntrue\r\n--B--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    _, _, envelope = call(server, "POST", "/ocr", form, kind)
    assert envelope["result"]["request"] == {"file": "iVBORw==", "visualize": True, "fileType": 1}
    assert call(server, "POST", "/ocr", form[:60], kind)[0] == 400


def test_a_body_without_length_is_bounded_too(server: PackageServer) -> None:
    with socket.create_connection(("127.0.0.1", server.rest), 30) as connection:
        connection.sendall(
            b"POST /ocr HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(64):
                connection.sendall(piece)
        except OSError:
            pass  # it has hung up on us
        else:
            assert b" 413 " in connection.recv(100)


def test_counts_by_operation_and_code(server: PackageServer) -> None:
    call(server, "POST", "/ocr", "{}", JSON)
    status, headers, text = call(server, "GET", "/metrics")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert 'hps_rest_requests_total{operation="infer",code="0"}' in text
    assert 'hps_rest_request_seconds_bucket{operation="infer",le="+Inf"}' in text
    assert "hps_rest_requests_inside 0" in text


def test_ready_follows_the_probes(server: PackageServer) -> None:
    assert call(server, "GET", "/health")[2]["errorMsg"] == "Healthy"
    engine = call(server, "POST", "/ocr", "{}", JSON)[2]["result"]["pid"]
    os.kill(engine, signal.SIGKILL)
    while call(server, "GET", "/health/ready")[0] == 200:
        time.sleep(0.1)
    assert call(server, "GET", "/health")[0] == 200
    assert call(server, "POST", "/ocr", "{}", JSON)[0] in (503, 200)
    wait_until_ready(server)
    assert call(server, "POST", "/ocr", "{}", JSON)[0] == 200


def test_tls_a_token_and_a_graceful_stop(triton: Path, rest_site: Path, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    server = PackageServer(
        triton,
        make_package(tmp_path),
        *(f"--rest-tls-key={key}", f"--rest-tls-certificate={certificate}"),
        *(f"--rest-token-file={token}", "--log-format=json"),
        paths=(installed_paddlex(tmp_path / "site"), rest_site),
        rest=True,
    )
    context = ssl.create_default_context(cafile=certificate)

    def secure(path: str, headers: dict[str, str], body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", server.rest, timeout=30, context=context
        )
        try:
            connection.request("POST" if body else "GET", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    try:
        server.wait_for("ready after")
        while True:
            try:
                assert secure("/health", {})[0] == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert secure("/ocr", JSON, "{}")[0] == 401
        assert secure("/ocr", JSON | {"Authorization": "Bearer wrong"}, "{}")[0] == 401
        assert secure("/metrics", {})[0] == 401
        assert secure("/ocr", JSON | bearer, "{}")[0] == 200
        answers: list[tuple[int, bytes]] = []
        slow = threading.Thread(
            target=lambda: answers.append(secure("/ocr", JSON | bearer, '{"sleep": 2}'))
        )
        slow.start()
        while b"requests_inside 1" not in secure("/metrics", bearer)[1]:
            time.sleep(0.05)
        server.process.terminate()
        slow.join()
        assert answers[0][0] == 200  # what was taken is answered
    finally:
        server.process.terminate()
        code, log = server.end()
    assert code == 0
    assert TOKEN not in log
    assert {json.loads(line)["level"] for line in log.splitlines()} <= {"info", "warning", "error"}
