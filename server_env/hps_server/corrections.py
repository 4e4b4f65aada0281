"""Mistakes of PaddleX that make an operation unusable, mended where they are made.

Each correction names what is wrong and looks first whether it still is, so that a PaddleX without
the mistake is left alone.
"""

import functools
from typing import Any

import numpy as np

_PROBABILITIES = np.array([[0.25, 0.75]])


def correct() -> "list[str]":
    """Mend what this PaddleX needs; the names of the corrections that were made."""
    corrections = (
        ("image-classification-rows", _image_rows),
        ("video-classification-rows", _video_rows),
        ("feature-rows", _feature_rows),
    )
    return [name for name, mend in corrections if mend()]


def _image_rows() -> bool:
    """PaddleX 3.7: the class ids of a batch go to each of its images as one array.

    The predictor hands out lists by position and everything else whole; `Topk` gives the ids as an
    array. So the serving app finds an array where it expects a number, and answers 500 to all; and
    OCR, which classifies how lines of text are turned, turns a batch of lines as its first.
    """
    from paddlex.inference.models.image_classification.processors import Topk  # noqa: PLC0415

    return _deal_out(Topk, Topk(["a", "b"])([_PROBABILITIES], topk=1))


def _video_rows() -> bool:
    """PaddleX 3.7: the same with videos."""
    from paddlex.inference.models.video_classification.processors import (  # noqa: PLC0415
        VideoClasTopk,
    )

    return _deal_out(VideoClasTopk, VideoClasTopk(["a", "b"])([_PROBABILITIES], topk=1))


def _feature_rows() -> bool:
    """PaddleX 3.7: the same with features, of which no index of faces or things can be built."""
    from paddlex.inference.models.image_feature.processors import (  # noqa: PLC0415
        NormalizeFeatures,
    )

    return _deal_out(NormalizeFeatures, NormalizeFeatures()([_PROBABILITIES]))


def _deal_out(processor: Any, given: Any) -> bool:
    """Make a processor give lists of rows for arrays, if what it has given holds an array."""
    found = processor.__call__
    if not any(isinstance(part, np.ndarray) for part in _parts(given)):
        return False

    @functools.wraps(found)
    def rows(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = found(self, *args, **kwargs)
        listed = [list(part) if isinstance(part, np.ndarray) else part for part in _parts(result)]
        return tuple(listed) if isinstance(result, tuple) else listed[0]

    processor.__call__ = rows
    return True


def _parts(result: Any) -> "tuple[Any, ...]":
    return result if isinstance(result, tuple) else (result,)
