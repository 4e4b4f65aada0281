# ruff: noqa: INP001, PLC0415, T201 - a script; what it needs it imports when it trains
"""Trains a linear model of 13 numbers of a house to its price, a period further each time.

    python train.py MODEL_DIR STATE_FILE [--period N] [--epochs N] [--data housing.data]

MODEL_DIR gets inference.json and inference.pdiparams, as Paddle 3 saves models that are served.
STATE_FILE holds what was learned: it is read if it is there, and written. Needs paddlepaddle.

The houses are made up: 404 rows for each period, of the shape of uci_housing, from a fixed seed.
The data set itself is read with --data; it is the file of 506 lines of 14 numbers that UCI offers.
"""

import argparse
from pathlib import Path
from typing import Any

FEATURES = 13
ROWS = 404  # as many as Paddle's part of uci_housing for training has


def made_up(period: int) -> "tuple[Any, Any]":
    """Houses of one period: one line for all periods, and a little noise of its own."""
    import numpy as np

    slope = np.random.Generator(np.random.PCG64(13)).uniform(-3, 3, FEATURES)
    random = np.random.Generator(np.random.PCG64([13, period]))
    rows = random.uniform(-1, 1, (ROWS, FEATURES))
    prices = rows @ slope + 22.5 + random.normal(scale=0.1, size=ROWS)
    return rows.astype("float32"), prices.astype("float32").reshape(-1, 1)


def uci_housing(path: Path) -> "tuple[Any, Any]":
    """The data set, its first columns brought to one scale as paddle.text.UCIHousing does it."""
    import numpy as np

    table = np.loadtxt(path).reshape(-1, FEATURES + 1)
    rows, prices = table[:ROWS, :FEATURES], table[:ROWS, FEATURES:]
    low, high = table[:, :FEATURES].min(axis=0), table[:, :FEATURES].max(axis=0)
    rows = (rows - table[:, :FEATURES].mean(axis=0)) / (high - low)
    return rows.astype("float32"), prices.astype("float32")


def train(rows: "Any", prices: "Any", state: Path, epochs: int) -> "Any":
    """Go on from what was learned, and keep what is learned now."""
    import paddle

    paddle.seed(13)
    network = paddle.nn.Linear(FEATURES, 1)
    if state.exists():
        network.set_state_dict(paddle.load(str(state)))
    optimiser = paddle.optimizer.Adam(0.3, parameters=network.parameters())
    rows, prices = paddle.to_tensor(rows), paddle.to_tensor(prices)
    for _ in range(epochs):
        loss = paddle.nn.functional.mse_loss(network(rows), prices)
        loss.backward()
        optimiser.step()
        optimiser.clear_grad()
    paddle.save(network.state_dict(), str(state))
    print(f"loss {float(loss):.4f} after {epochs} epochs")
    return network


def main() -> None:
    """Train one period, and save the model."""
    parser = argparse.ArgumentParser(description="Trains a linear model of 13 inputs.")
    parser.add_argument("folder", type=Path, metavar="MODEL_DIR")
    parser.add_argument("state", type=Path, metavar="STATE_FILE")
    parser.add_argument("--period", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--data", type=Path, metavar="FILE")
    given = parser.parse_args()

    import paddle

    rows, prices = uci_housing(given.data) if given.data else made_up(given.period)
    network = train(rows, prices, given.state, given.epochs)
    specification = [paddle.static.InputSpec([None, FEATURES], "float32", "features")]
    paddle.jit.save(network, str(given.folder / "inference"), input_spec=specification)


if __name__ == "__main__":
    main()
