"""Predicts house prices with Paddle Inference, from inference.json and inference.pdiparams."""

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's Python backend looks for in a model.py, by this name."""

    def initialize(self, args: "dict[str, str]") -> None:
        """Load the network; an exception here becomes the reason why the load failed."""
        from paddle import inference

        folder = Path(args["model_repository"]) / args["model_version"]
        config = inference.Config(
            str(folder / "inference.json"), str(folder / "inference.pdiparams")
        )
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(1)
        self._predictor = inference.create_predictor(config)

    def execute(self, requests: "list[Any]") -> "list[Any]":
        """Answer each request with one price per row."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "features").as_numpy()
        (prices,) = self._predictor.run([self._tensor(rows)])
        return pb_utils.InferenceResponse([pb_utils.Tensor("price", prices.numpy())])

    def _tensor(self, rows: Any) -> Any:
        import paddle

        return paddle.to_tensor(rows, place=paddle.CPUPlace())
