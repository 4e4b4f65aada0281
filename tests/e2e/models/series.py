"""Networks that see a time series of 96 steps."""

from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator, write

STEPS = 96
_SIZE = {"in_chunk_len": STEPS, "out_chunk_len": STEPS, "skip_chunk_len": 0}


def forecaster(folder: Path, name: str, seed: int) -> None:
    """The next 96 steps: the mean, and a linear map of what differs from it."""

    def forward(self: Any, past: Any) -> Any:
        level = past.mean(axis=1, keepdim=True)
        return level + self.weights @ (past - level)

    weights = {"weights": generator(seed).normal(scale=0.1, size=(STEPS, STEPS)).astype("float32")}
    configuration = {
        "Global": {"model_name": name},
        "size": _SIZE,
        "scale": False,
        "time_feat": False,
        "info_params": {"target_cols": ["load"], "time_col": "date", "freq": "1h"},
        "input_data": {"past_target": [-1, STEPS, 1]},
    }
    write(folder, forward, weights, [((None, STEPS, 1), "float32")], configuration)


def anomaly_finder(folder: Path, name: str, seed: int) -> None:
    """The series without what leaps out of it."""

    def forward(self: Any, past: Any) -> Any:
        return self.smoothing @ past

    smoothing = generator(seed).uniform(0.9, 1.1, (STEPS, STEPS))
    smoothing /= smoothing.sum(axis=1, keepdims=True)
    configuration = {
        "Global": {"model_name": name},
        "size": _SIZE,
        "scale": False,
        "time_feat": False,
        "model_threshold": 4.0,
        "info_params": {
            "feature_cols": ["first", "second"],
            "time_col": "timestamp",
            "freq": 1,
        },
        "input_data": {"observed_cov_numeric": [-1, STEPS, 2]},
    }
    inputs = [((None, STEPS, 2), "float32")]
    write(folder, forward, {"smoothing": smoothing.astype("float32")}, inputs, configuration)


def classifier(folder: Path, name: str, classes: int, seed: int) -> None:
    """The class of a series, from the steps that its mask says are there."""

    def forward(self: Any, features: Any, mask: Any) -> Any:
        import paddle

        present = features * mask.unsqueeze(2)
        return paddle.tanh(present.flatten(1) @ self.first) @ self.second

    random = generator(seed)
    weights = {
        "first": random.normal(scale=0.2, size=(STEPS, 16)).astype("float32"),
        "second": random.normal(size=(16, classes)).astype("float32"),
    }
    configuration = {
        "Global": {"model_name": name},
        "size": _SIZE,
        "scale": False,
        "info_params": {"target_cols": ["value"], "time_col": "time", "freq": 1},
        "input_data": {"features": [-1, STEPS, 1], "pad_mask": [-1, STEPS]},
    }
    inputs = [((None, STEPS, 1), "float32"), ((None, STEPS), "float32")]
    write(folder, forward, weights, inputs, configuration)
