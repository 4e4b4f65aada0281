"""Scripts written for `paddlex_hps_client` run on, against a real Triton."""

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from paddlex_hps_client import constants, triton_request, triton_request_async, utils

from tests.sdk_client.conftest import Served


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_request(served: Served) -> None:
    kwargs: dict[str, object] = {"request_id": "mine"}
    client = tritonclient.grpc.InferenceServerClient(served.grpc.removeprefix("grpc://"))
    try:
        output = triton_request(client, "ocr", {"file": "eA=="}, timeout=40, request_kwargs=kwargs)
    finally:
        client.close()
    assert output["errorCode"] == 0
    about = output["result"]["ocrResults"][0]["prunedResult"]["about"]
    assert about["id"] == "mine"
    assert about["timeout"] == 40_000_000, "seconds, not microseconds"
    assert kwargs == {"request_id": "mine"}


def test_errors_are_in_the_envelope(served: Served) -> None:
    client = tritonclient.grpc.InferenceServerClient(served.grpc.removeprefix("grpc://"))
    file = encoded(served.tell(error=[422, "bad"]))
    try:
        output = triton_request(client, "ocr", {"file": file, "fileType": 1})
    finally:
        client.close()
    assert (output["errorCode"], output["errorMsg"]) == (422, "bad")


def test_coroutines(served: Served) -> None:
    async def ask() -> object:
        client = tritonclient.grpc.aio.InferenceServerClient(served.grpc.removeprefix("grpc://"))
        try:
            return await triton_request_async(client, "ocr", {"file": "eA=="}, timeout=30)
        finally:
            await client.close()

    output = asyncio.run(ask())
    assert isinstance(output, dict)
    assert output["errorCode"] == 0


def test_the_old_names() -> None:
    assert (constants.INPUT_NAME, constants.OUTPUT_NAME) == ("input", "output")
    assert utils.is_url("https://example.org/a")
    assert not utils.is_url("a.png")
    assert np.__version__  # the old client needed it; only tritonclient does now


def test_files(tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n1"
    (tmp_path / "a.png").write_bytes(picture)
    assert utils.prepare_input_file(str(tmp_path / "a.png")) == encoded(picture)
    uri = utils.prepare_input_file(str(tmp_path / "a.png"), include_header=True)
    assert uri == f"data:image/png;base64,{encoded(picture)}"
    assert utils.prepare_input_file("https://example.org/a") == "https://example.org/a"
    utils.save_output_file(encoded(picture), tmp_path / "b.png")
    utils.save_output_file(uri, str(tmp_path / "c.png"), include_header=True)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes() == picture


@pytest.mark.parametrize("timeout", [0, -1])
def test_timeouts_that_are_none(timeout: float) -> None:
    with pytest.raises(ValueError, match="positive number of seconds"):
        triton_request(None, "ocr", {}, timeout=timeout)
