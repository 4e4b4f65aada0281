"""The command line as a user starts it: real processes, a real server."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hps_client.catalogue import ATTRIBUTES

from tests.sdk_client import wire
from tests.sdk_client.conftest import SDK, Served
from tests.servers import Certificate, HostileServer, status

JPEG = b"\xff\xd8\xff\xe0picture"
IMAGE = base64.b64encode(JPEG).decode()
OCR = {
    "ocrResults": [{"prunedResult": {"rec_texts": ["é"]}, "ocrImage": IMAGE}],
    "dataInfo": {"type": "image", "width": 1, "height": 1},
}
# What stands in the `client.py` of a package.
PACKAGED = "import sys; from hps_client.cli import package_main; sys.exit(package_main({!r}))"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as made:
        made.script(wire.OCR, wire.answering(OCR))
        yield made


def run(
    *arguments: str, folder: Path, code: str | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    start = ["-c", code] if code else ["-m", "hps_client"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SDK), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def sent(server: HostileServer, number: int = -1) -> dict[str, object]:
    seen = server.seen[number]
    return wire.sent(seen.body, seen.headers["inference-header-content-length"])


def test_files_are_written(server: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(b"%PDF-")
    done = run("ocr", "--file", "scan.pdf", "--url", server.host, "-o", "out", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["out/ocr_results_0/ocr_image.jpg", "out/result.json"]
    assert (tmp_path / "out" / "ocr_results_0" / "ocr_image.jpg").read_bytes() == JPEG
    assert sent(server)["fileType"] == 0


def test_json(server: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(JPEG)
    arguments = ["ocr", "--file", "a", "--url", server.url, "--json", "--no-visualization"]
    done = run(*arguments, "--text-det-thresh", "0.5", "--no-use-doc-unwarping", folder=tmp_path)
    assert json.loads(done.stdout) == OCR
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert sent(server) == {
        "file": IMAGE,
        "fileType": 1,
        "textDetThresh": 0.5,
        "useDocUnwarping": False,
        "visualize": False,
    }


def test_the_client_of_a_package_takes_the_old_options(
    server: HostileServer, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(JPEG)
    options = ["--file", "a", "--file-type", "1", "--no-visualization", "--url", server.host]
    done = run(*options, folder=tmp_path, code=PACKAGED.format("OCR"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output" / "result.json").exists()


@pytest.mark.parametrize("name", ["index-build", "build-index"])
def test_operations_by_new_and_old_names(server: HostileServer, tmp_path: Path, name: str) -> None:
    path = "/v2/models/face-recognition-index-build/infer"
    server.script(path, wire.answering({"indexKey": "k", "imageCount": 2}))
    (tmp_path / "a").write_bytes(JPEG)
    pairs = ["--pair", "a", "Ada", "--pair", "https://example.org/b.png", "Bob"]
    before = ["--no-visualization", "--url", server.host]
    done = run(*before, name, *pairs, folder=tmp_path, code=PACKAGED.format("face_recognition"))
    assert json.loads(done.stdout) == {"indexKey": "k", "imageCount": 2}, done.stderr
    assert sent(server)["imageLabelPairs"] == [
        {"image": IMAGE, "label": "Ada"},
        {"image": "https://example.org/b.png", "label": "Bob"},
    ]


def test_json_options(server: HostileServer, tmp_path: Path) -> None:
    path = "/v2/models/chatocr-chat/infer"
    server.script(path, wire.answering({"chatResult": {"a": "b"}}))
    (tmp_path / "visual.json").write_text('[{"page": 1}]')
    options = ["--key-list", '["total"]', "--visual-info", "@visual.json", "--url", server.host]
    done = run("PP-ChatOCRv4-doc", "chat", *options, "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {"chatResult": {"a": "b"}}
    assert sent(server) == {"keyList": ["total"], "visualInfo": [{"page": 1}]}


def test_a_token_from_the_environment_and_tls(tmp_path: Path) -> None:
    certificate = Certificate.make(tmp_path)
    with HostileServer(certificate.context()) as server:
        server.script(wire.OCR, wire.answering(OCR))
        options = ["--file", str(certificate.path), "--url", server.url]
        trust = ["--ca-file", str(certificate.path), "--header", "X-Tenant: a"]
        done = run("ocr", *options, *trust, folder=tmp_path, HPS_CLIENT_TOKEN="secret")
        assert done.returncode == 0, done.stderr
        assert server.seen[0].headers["authorization"] == "Bearer secret"
        assert server.seen[0].headers["x-tenant"] == "a"


def test_grpc_and_its_old_default_port(served: Served, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    done = run("ocr", "--file", "a", "--url", served.grpc, "--json", folder=tmp_path)
    assert json.loads(done.stdout)["dataInfo"]["width"] == 3, done.stderr


def test_without_tritonclient_http_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    hidden = "import sys; sys.modules['tritonclient'] = None\n" + PACKAGED.format("OCR")
    options = ["--file", "a", "--url", "127.0.0.1:8001", "--timeout", "5"]
    done = run(*options, folder=tmp_path, code=hidden)
    assert "pip install 'hps-client[grpc]'" in done.stderr
    assert "asking http://127.0.0.1:8000 instead" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ocrr", "--file", "a"], 2, "did you mean ocr?"),
        (["ocr"], 2, "--file"),
        (["ocr", "--file", "missing", "--url", "127.0.0.1:1"], 2, "cannot read 'missing'"),
        (["ocr", "--file", "a", "--timeout", "0"], 2, "positive number of seconds"),
        (["ocr", "--file", "a", "--url", "ftp://a"], 2, "no address"),
        (["ocr", "--file", "a", "--grpc", "--url", "http://a"], 2, "contradict"),
        (["ocr", "--file", "a", "--header", "x"], 2, "no colon"),
        (["ocr", "--file", "a", "--file-type", "2"], 2, "invalid choice"),
        (["object_detection", "--image", "a", "--threshold", "{"], 2, "is not JSON"),
        (["face_recognition"], 2, "OPERATION"),
        (["ocr", "--file", "a", "--url", "127.0.0.1:1"], 1, "Connection refused"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "a").write_bytes(b"x")
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_answer_with_an_error(server: HostileServer, tmp_path: Path) -> None:
    server.script(wire.OCR, status(503, {"Retry-After": "9"}, b'{"error": "full"}'))
    (tmp_path / "a").write_bytes(b"x")
    done = run("ocr", "--file", "a", "--url", server.host, "--timeout", "3", folder=tmp_path)
    assert done.returncode == 1
    assert "error: HTTP 503 for model ocr: full" in done.stderr
    assert "hint: " in done.stderr


def test_every_pipeline_has_help() -> None:
    from hps_client.cli import main

    for attribute in ATTRIBUTES.values():
        with pytest.raises(SystemExit) as ended:
            main([attribute, "--help"])
        assert ended.value.code == 0
    assert main(["--help"]) == 0
    assert main([]) == 2


def test_help_lists_what_can_be_asked(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert "pp_structurev3  (PP-StructureV3)" in done.stdout
    done = run("ts_forecast", "--help", folder=tmp_path)
    assert "--csv" in done.stdout
    assert "--no-visualization" in done.stdout
