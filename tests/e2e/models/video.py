"""A network that sees eight frames of a video."""

from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator, write

_SIDE = 64
_FRAMES = 8
_CELLS = 3 * 4 * 4


def classifier(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """The class of a video, from the means of its frames and of their differences."""

    def forward(self: Any, frames: Any) -> Any:
        import paddle

        flat = frames.reshape([-1, 3, _SIDE, _SIDE])
        means = paddle.nn.functional.avg_pool2d(flat, _SIDE // 4).reshape([-1, _FRAMES, _CELLS])
        moved = (means[:, 1:] - means[:, :-1]).abs().mean(axis=1)
        both = paddle.concat([means.mean(axis=1), moved], axis=1)
        return both @ self.classes

    weights = {"classes": generator(seed).normal(size=(2 * _CELLS, len(labels)))}
    transforms = [
        {"ReadVideo": {"num_seg": _FRAMES, "seg_len": 1, "sample_type": "uniform"}},
        {"Scale": {"short_size": _SIDE}},
        {"CenterCrop": {"target_size": _SIDE}},
        {"Image2Array": {"data_format": "tchw"}},
        {"NormalizeVideo": {"mean": [0.5] * 3, "std": [0.5] * 3}},
    ]
    configuration = {
        "Global": {"model_name": name},
        "PreProcess": {"transform_ops": transforms},
        # The pipeline's default too; an app that is not told how many gives as many as it says here.
        "PostProcess": {"Topk": {"topk": 1, "label_list": labels}},
    }
    as_float = {key: value.astype("float32") for key, value in weights.items()}
    inputs = [((None, _FRAMES, 3, _SIDE, _SIDE), "float32")]
    write(folder, forward, as_float, inputs, configuration)
