"""uci_housing: 13 numbers of a house to its price, as a Triton model that runs Paddle Inference.

Trained here on houses that are made up: the data set itself is not needed for its shape.
"""

import shutil
from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator

NAME = "uci_housing"
FEATURES = 13
COUNT = 404  # houses that it learns from
_SERVED = Path(__file__).with_name(NAME)


def houses(count: int, seed: int = 13) -> "tuple[Any, Any]":
    """Houses, and what they cost: a straight line and a little noise."""
    random = generator(seed)
    slope = random.uniform(-3, 3, FEATURES)  # the same for any count
    rows = random.uniform(-1, 1, (count, FEATURES))
    prices = rows @ slope + 22.5 + random.normal(scale=0.1, size=count)
    return rows.astype("float32"), prices.astype("float32").reshape(-1, 1)


def make(out: Path) -> Path:
    """Make `out`/uci_housing, a model of a Triton repository, and give its folder."""
    import paddle

    paddle.seed(13)
    network = paddle.nn.Linear(FEATURES, 1)
    optimiser = paddle.optimizer.Adam(0.3, parameters=network.parameters())
    rows, prices = (paddle.to_tensor(part) for part in houses(COUNT))
    for _ in range(200):
        loss = paddle.nn.functional.mse_loss(network(rows), prices)
        loss.backward()
        optimiser.step()
        optimiser.clear_grad()
    folder = out / NAME
    (folder / "1").mkdir(parents=True)
    specification = [paddle.static.InputSpec([None, FEATURES], "float32", "features")]
    paddle.jit.save(network, str(folder / "1" / "inference"), input_spec=specification)
    shutil.copyfile(_SERVED / "config.pbtxt", folder / "config.pbtxt")
    shutil.copyfile(_SERVED / "model.py", folder / "1" / "model.py")
    return folder
