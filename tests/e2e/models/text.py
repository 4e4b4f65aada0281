"""Networks that find dark lines on a bright page, and read characters into them."""

import string
from pathlib import Path
from typing import Any

from tests.e2e.models.inference_folder import generator, write

CHARACTERS = [*string.digits, *string.ascii_uppercase]
_STRIPS = 8  # rows of a line that a column of it is read as


def detector(folder: Path, name: str, seed: int) -> None:
    """How likely each pixel belongs to a line of text: is it dark around here?"""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        dark = 1 - image.mean(axis=1, keepdim=True)
        around = paddle.nn.functional.avg_pool2d(dark, (5, 25), stride=1, padding=(2, 12))
        return paddle.nn.functional.sigmoid(self.steepness * (around - 0.15))

    weights = {"steepness": generator(seed).uniform(60, 61, (1, 1, 1, 1)).astype("float32")}
    transforms = [
        {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
        {"DetResizeForTest": {"resize_long": 960}},
        {"NormalizeImage": {"mean": [0.0] * 3, "std": [1.0] * 3, "scale": 1 / 255, "order": "hwc"}},
        {"ToCHWImage": None},
    ]
    post = {"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 1.5}
    configuration = {
        "Global": {"model_name": name},
        "PreProcess": {"transform_ops": transforms},
        "PostProcess": post,
    }
    write(folder, forward, weights, [((None, 3, None, None), "float32")], configuration)


def recogniser(folder: Path, name: str, seed: int) -> None:
    """A character, or the blank of CTC, for each column of eight pixels of a line."""

    def forward(self: Any, image: Any) -> Any:
        import paddle

        cells = paddle.nn.functional.avg_pool2d(image, (48 // _STRIPS, 8))
        columns = cells.transpose([0, 3, 1, 2]).flatten(2)
        return paddle.nn.functional.softmax(columns @ self.characters + self.bias)

    classes = 2 + len(CHARACTERS)  # the blank before them, and PaddleX adds a space after them
    random = generator(seed)
    weights = {
        "characters": random.normal(scale=2, size=(3 * _STRIPS, classes)),
        "bias": random.normal(scale=0.1, size=(classes,)),
    }
    configuration = {
        "Global": {"model_name": name},
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                {"RecResizeImg": {"image_shape": [3, 48, 320]}},
            ]
        },
        "PostProcess": {
            "name": "CTCLabelDecode",
            "character_dict": CHARACTERS,
        },
    }
    as_float = {key: value.astype("float32") for key, value in weights.items()}
    write(folder, forward, as_float, [((None, 3, 48, None), "float32")], configuration)
