"""Predicts house prices: a linear network in Paddle, its weights readable in weights.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FEATURES = 13


class TritonPythonModel:
    """What Triton's Python backend looks for in a model.py, by this name."""

    def initialize(self, args: dict[str, str]) -> None:
        """Build the network; an exception here becomes the reason why the load failed."""
        import paddle  # noqa: PLC0415 - takes seconds, and only the model's own process pays

        paddle.set_device("cpu")
        folder = Path(args["model_repository"]) / args["model_version"]
        weights = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
        column = np.array([*weights["coefficients"].values()], dtype=np.float32).reshape(-1, 1)
        self._paddle = paddle
        self._network = paddle.nn.Linear(FEATURES, 1)
        self._network.set_state_dict(
            {
                "weight": paddle.to_tensor(column),
                "bias": paddle.to_tensor([weights["intercept"]], dtype="float32"),
            }
        )
        self._network.eval()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request with one price per row."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "features").as_numpy()
        with self._paddle.no_grad():
            prices = self._network(self._paddle.to_tensor(rows)).numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("price", prices.astype(np.float32))])
