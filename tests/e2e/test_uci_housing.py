"""uci_housing is served by real Triton through Paddle Inference, over HTTP and gRPC."""

import sys

import pytest

from tests.e2e import inside_image
from tests.e2e.models import housing

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

# Run beside the server: what is asked are made-up houses that the training has not seen, and the
# straight line behind their prices is known.
ASK = """
import os
import numpy as np
import tritonclient.grpc, tritonclient.http
from tests.e2e.models import housing

rows, prices = housing.houses(404 + 8)
for protocol, variable in ((tritonclient.http, "HPS_HTTP_PORT"), (tritonclient.grpc, "HPS_GRPC_PORT")):
    client = protocol.InferenceServerClient("127.0.0.1:" + os.environ[variable])
    asked = protocol.InferInput("features", [8, housing.FEATURES], "FP32")
    asked.set_data_from_numpy(rows[404:])
    said = client.infer(housing.NAME, [asked]).as_numpy("price")
    client.close()
    assert said.shape == (8, 1)
    assert np.abs(said - prices[404:]).max() < 1, (said, prices[404:])
    print(protocol.__name__, "agrees")
"""


def test_prices_are_those_of_the_line_that_it_learned() -> None:
    inside_image.prepare()
    with inside_image.work_folder() as work:
        inside_image.run("tests/e2e/models/make.py", work, str(inside_image.WORK), housing.NAME)
        work.joinpath("ask.py").write_text(ASK)
        said = inside_image.served(work, f"{sys.executable} {work / 'ask.py'}")
    assert said.count("agrees") == 2


def test_the_model_is_made_the_same_twice() -> None:
    inside_image.prepare()
    found = []
    for _ in range(2):
        with inside_image.work_folder() as work:
            inside_image.run("tests/e2e/models/make.py", work, str(inside_image.WORK), housing.NAME)
            found.append((work / housing.NAME / "1" / "inference.pdiparams").read_bytes())
    assert found[0] == found[1]
