"""Asks the example model `housing` one question over HTTP and the same over gRPC.

Started by `hps run cpu --models sdk/examples/models --then "python sdk/examples/ask.py"`, which
sets the ports. Needs tritonclient and NumPy (`pip install 'hps[client]'`). The price is computed
here again from the model's weights, so a wrong answer ends with an error.
"""

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

WEIGHTS = Path(__file__).parent / "models" / "housing" / "1" / "weights.json"
# The first house of the data set: what 13 numbers look like.
HOUSE = [0.00632, 18.0, 2.31, 0.0, 0.538, 6.575, 65.2, 4.09, 1.0, 296.0, 15.3, 396.9, 4.98]


def expected() -> float:
    """The price by hand: coefficients times numbers, plus the intercept."""
    weights = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    products = zip(weights["coefficients"].values(), HOUSE, strict=True)
    return float(sum(one * other for one, other in products) + weights["intercept"])


def ask(protocol: ModuleType, port: str) -> float:
    """Send the question with `tritonclient.http` or `tritonclient.grpc`."""
    client: Any = protocol.InferenceServerClient(f"127.0.0.1:{port}")
    try:
        features = protocol.InferInput("features", [1, 13], "FP32")
        features.set_data_from_numpy(np.array([HOUSE], dtype=np.float32))
        return float(client.infer("housing", [features]).as_numpy("price")[0, 0])
    finally:
        client.close()


def main() -> int:
    """Ask over both protocols and compare with what it should be."""
    import tritonclient.grpc  # noqa: PLC0415 - slow, and --help of nothing needs it
    import tritonclient.http  # noqa: PLC0415

    right = expected()
    wrong = 0
    for name, protocol, variable, default in (
        ("HTTP", tritonclient.http, "HPS_HTTP_PORT", "8000"),
        ("gRPC", tritonclient.grpc, "HPS_GRPC_PORT", "8001"),
    ):
        price = ask(protocol, os.environ.get(variable, default))
        good = abs(price - right) < 1e-3 * abs(right)
        wrong += not good
        verdict = "as it should be" if good else f"WRONG, should be {right:.3f}"
        sys.stdout.write(f"{name}: a house for {price:.3f} thousand dollars, {verdict}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
