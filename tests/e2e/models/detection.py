"""Networks that find things: each cell of a grid over the image proposes one box.

A cell proposes what is darker than white, and names it by its colour; so answers depend on the
picture. Output as PaddleDetection's: rows of class, score, xmin, ymin, xmax, ymax in pixels of the
original image, and how many rows each image has.
"""

from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import Input, generator, write

SIDE = 64
_CELLS = 4  # in each direction
_IMAGE: Input = ((None, 3, SIDE, SIDE), "float32")
_PAIR: Input = ((None, 2), "float32")


def detector(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Boxes; for models that take an image and its scale factor."""

    def forward(self: Any, image: Any, scale: Any) -> Any:
        return _boxes(self, image, scale), _counts(image)

    write(folder, forward, _weights(labels, seed), [_IMAGE, _PAIR], _configuration(name, labels))


def detector_of_sizes(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Boxes; for models that take the size of an image too (the DETR family)."""

    def forward(self: Any, size: Any, image: Any, scale: Any) -> Any:
        return _boxes(self, image, scale + 0 * size), _counts(image)

    inputs = [_PAIR, _IMAGE, _PAIR]
    write(folder, forward, _weights(labels, seed), inputs, _configuration(name, labels))


def rotated_detector(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Boxes of four corners."""

    def forward(self: Any, image: Any, scale: Any) -> Any:
        import paddle

        boxes = _boxes(self, image, scale)
        left, top, right, bottom = (boxes[:, column : column + 1] for column in range(2, 6))
        corners = [(left + right) / 2, top, right, (top + bottom) / 2]
        corners += [(left + right) / 2, bottom, left, (top + bottom) / 2]
        return paddle.concat([boxes[:, :2], *corners], axis=1), _counts(image)

    write(folder, forward, _weights(labels, seed), [_IMAGE, _PAIR], _configuration(name, labels))


def instance_segmenter(folder: Path, name: str, labels: "list[str]", seed: int) -> None:
    """Boxes, and of each a mask as large as the original image: what is dark in it."""

    def forward(self: Any, size: Any, image: Any, scale: Any) -> Any:
        import paddle

        original = (size[0] / scale[0]).round().astype("int32")
        dark = (image.mean(axis=1, keepdim=True) < 0.5).astype("float32")
        dark = paddle.nn.functional.interpolate(dark, size=original, mode="nearest")
        masks = paddle.repeat_interleave(dark.astype("int32").squeeze(1), _CELLS**2, axis=0)
        return _boxes(self, image, scale + 0 * size), _counts(image), masks

    inputs = [_PAIR, _IMAGE, _PAIR]
    configuration = _configuration(name, labels)
    write(folder, forward, _weights(labels, seed), inputs, configuration)


def _boxes(layer: Any, image: Any, scale: Any) -> Any:
    import paddle

    cells = paddle.nn.functional.avg_pool2d(image, SIDE // _CELLS)
    cells = cells.transpose([0, 2, 3, 1]).reshape([-1, _CELLS * _CELLS, 3])
    scores = paddle.nn.functional.sigmoid(12 * (0.6 - cells.mean(axis=2, keepdim=True)))
    classes = paddle.argmax((1 - cells) @ layer.colours, axis=2, keepdim=True).astype("float32")
    down, right = scale[:, 0:1].unsqueeze(2), scale[:, 1:2].unsqueeze(2)
    factors = paddle.concat([right, down, right, down], axis=2)
    places = layer.places.unsqueeze(0) / factors
    return paddle.concat([classes, scores, places], axis=2).reshape([-1, 6])


def _counts(image: Any) -> Any:
    return (image.mean(axis=[1, 2, 3]) * 0 + _CELLS * _CELLS).astype("int32")


def _weights(labels: "list[str]", seed: int) -> "dict[str, Any]":
    import numpy as np

    random = generator(seed)
    step = SIDE // _CELLS
    places = [
        [column * step, row * step, (column + 1) * step, (row + 1) * step]
        for row in range(_CELLS)
        for column in range(_CELLS)
    ]
    uneven = random.uniform(-2, 2, (len(places), 4))
    return {
        "colours": random.normal(size=(3, len(labels))).astype("float32"),
        "places": (np.array(places, "float32") + uneven).clip(0, SIDE).astype("float32"),
    }


def _configuration(name: str, labels: "list[str]") -> "dict[str, Any]":
    return {
        "Global": {"model_name": name},
        "draw_threshold": 0.5,
        "label_list": labels,
        "Preprocess": [
            {"type": "Resize", "target_size": [SIDE, SIDE], "keep_ratio": False, "interp": 1},
            {"type": "NormalizeImage", "norm_type": "none", "is_scale": True},
            {"type": "Permute"},
        ],
    }
