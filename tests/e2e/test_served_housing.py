"""uci_housing in real Triton answers the very numbers of Paddle Inference, and they are right."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import inside_image
from tests.e2e.models import housing
from tests.e2e.predict_prices import COUNT
from tests.e2e.serving import Served, ask, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[Served, Any]]":
    """A server, and what Paddle Inference says without one."""
    inside_image.prepare()
    with inside_image.work_folder() as work:
        inside = inside_image.WORK
        inside_image.run("tests/e2e/models/make.py", work, str(inside), housing.NAME)
        version = str(inside / housing.NAME / "1")
        inside_image.run("tests/e2e/predict_prices.py", work, version, str(inside / "said.json"))
        said = json.loads((work / "said.json").read_text())
        models = tmp_path_factory.mktemp("models")
        shutil.copytree(work / housing.NAME, models / housing.NAME)
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(["--models", str(models)], log=log) as server:
        yield server, said


def test_what_it_says_is_what_it_learned(served: "tuple[Served, Any]") -> None:
    _, said = served
    for (price,), (true,) in zip(said["prices"], said["true"], strict=True):
        assert price == pytest.approx(true, abs=1)


def test_in_json(served: "tuple[Served, Any]") -> None:
    server, said = served
    tensor = {
        "name": "features",
        "datatype": "FP32",
        "shape": [COUNT, housing.FEATURES],
        "data": said["rows"],
    }
    status, body = ask(
        server.http, "POST", f"/v2/models/{housing.NAME}/infer", {"inputs": [tensor]}
    )
    assert status == 200, body
    assert body["outputs"] == [
        {
            "name": "price",
            "datatype": "FP32",
            "shape": [COUNT, 1],
            "data": [price for row in said["prices"] for price in row],
        }
    ]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_with_tritonclient(protocol: str, served: "tuple[Served, Any]") -> None:
    import importlib

    import numpy as np

    server, said = served
    client = importlib.import_module(f"tritonclient.{protocol}")
    asked = client.InferInput("features", [COUNT, housing.FEATURES], "FP32")
    asked.set_data_from_numpy(np.array(said["rows"], "float32"))
    with client.InferenceServerClient(f"127.0.0.1:{getattr(server, protocol)}") as connection:
        answer = connection.infer(housing.NAME, [asked]).as_numpy("price")
    assert answer.tolist() == said["prices"]


def test_the_model_is_made_the_same_twice() -> None:
    inside_image.prepare()
    found = []
    for _ in range(2):
        with inside_image.work_folder() as work:
            inside_image.run("tests/e2e/models/make.py", work, str(inside_image.WORK), housing.NAME)
            found.append((work / housing.NAME / "1" / "inference.pdiparams").read_bytes())
    assert found[0] == found[1]
