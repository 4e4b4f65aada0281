"""Networks that see a whole image: classification, segmentation, anomalies, features.

All work on 64 by 64 RGB; the means of 8 by 8 pixels (192 numbers) go through random weights, so
that answers depend on the picture and on nothing else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator, write

SIDE = 64
_PATCHES = 3 * 8 * 8
_IMAGE = [((None, 3, SIDE, SIDE), "float32")]
_TRANSFORMS = [
    {"ResizeImage": {"size": [SIDE, SIDE]}},
    {"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "order": ""}},
    {"ToCHWImage": None},
]


def classifier(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Probabilities of classes that exclude each other."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        means = paddle.nn.functional.avg_pool2d(image, 8).reshape([-1, _PATCHES])
        return paddle.nn.functional.softmax(paddle.tanh(means @ self.first) @ self.second)

    post = {"Topk": {"topk": min(5, len(labels)), "label_list": labels}}
    write(folder, forward, _perceptron(len(labels), seed), _IMAGE, _configuration(name, post))


def labeller(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Probabilities of labels that may go together."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        means = paddle.nn.functional.avg_pool2d(image, 8).reshape([-1, _PATCHES])
        return paddle.nn.functional.sigmoid(paddle.tanh(means @ self.first) @ self.second)

    post = {"MultiLabelThreshOutput": {"threshold": 0.5, "label_list": labels}}
    write(folder, forward, _perceptron(len(labels), seed), _IMAGE, _configuration(name, post))


def embedder(folder: Path, name: str, seed: int) -> None:
    """64 numbers of which like images have like ones."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        means = paddle.nn.functional.avg_pool2d(image, 8).reshape([-1, _PATCHES])
        return means @ self.projection

    weights = {"projection": generator(seed).normal(size=(_PATCHES, 64)).astype("float32")}
    post = {"NormalizeFeatures": None}
    write(folder, forward, weights, _IMAGE, _configuration(name, post))


def segmenter(folder: Path, name: str, classes: int, seed: int) -> None:
    """The class of each pixel, from its colour and that of its surroundings."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        blurred = paddle.nn.functional.avg_pool2d(image, 5, stride=1, padding=2)
        scores = paddle.nn.functional.conv2d(blurred, self.colours)
        return paddle.argmax(scores, axis=1).astype("int32")

    weights = {"colours": generator(seed).normal(size=(classes, 3, 1, 1)).astype("float32")}
    write(folder, forward, weights, _IMAGE, _deployed(name))


def anomaly_finder(folder: Path, name: str, seed: int) -> None:
    """How much each pixel differs from the image's mean, above a little noise of the weights."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        blurred = paddle.nn.functional.avg_pool2d(image, 9, stride=1, padding=4)
        away = (blurred - image.mean(axis=[2, 3], keepdim=True)).abs()
        score = paddle.nn.functional.conv2d(away, self.colours)
        return paddle.nn.functional.relu(score - 0.4)

    weights = {"colours": generator(seed).uniform(0.3, 0.4, (1, 3, 1, 1)).astype("float32")}
    write(folder, forward, weights, _IMAGE, _deployed(name))


def unwarper(folder: Path, name: str, seed: int) -> None:
    """A page made a little darker, pixel for pixel; of any size."""

    def forward(self: Any, image: Any) -> Any:
        return image * self.gain

    weights = {"gain": generator(seed).uniform(0.9, 0.95, (1, 3, 1, 1)).astype("float32")}
    inputs = [((None, 3, None, None), "float32")]
    write(folder, forward, weights, inputs, {"Global": {"model_name": name}})


def _perceptron(outputs: int, seed: int) -> "dict[str, Any]":
    random = generator(seed)
    return {
        "first": random.normal(scale=0.3, size=(_PATCHES, 32)).astype("float32"),
        "second": random.normal(size=(32, outputs)).astype("float32"),
    }


def _configuration(name: str, post: "Mapping[str, Any]") -> "dict[str, Any]":
    return {
        "Global": {"model_name": name},
        "PreProcess": {"transform_ops": _TRANSFORMS},
        "PostProcess": dict(post),
    }


def _deployed(name: str) -> "dict[str, Any]":
    """As PaddleSeg's models say it."""
    transforms = [
        {"type": "Resize", "target_size": [SIDE, SIDE], "keep_ratio": False},
        {"type": "Normalize", "mean": [0.5] * 3, "std": [0.5] * 3},
    ]
    return {"Global": {"model_name": name}, "Deploy": {"transforms": transforms}}
