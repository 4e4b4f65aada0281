"""Mistakes of PaddleX that make an operation unusable, mended where they are made.

Each correction names what is wrong and looks first whether it still is, so that a PaddleX without
the mistake is left alone.
"""

import functools
from typing import Any

import numpy as np


def correct() -> "list[str]":
    """Mend what this PaddleX needs; the names of the corrections that were made."""
    return [name for name, mend in (("image-classification-rows", _topk_rows),) if mend()]


def _topk_rows() -> bool:
    """PaddleX 3.7: the class ids of a batch go to each of its images as one array.

    The predictor hands out lists by position and everything else whole; `Topk` gives the ids as an
    array. So the serving app finds an array where it expects a number, and answers 500 to all.
    """
    from paddlex.inference.models.image_classification.processors import Topk  # noqa: PLC0415

    found = Topk.__call__
    if isinstance(Topk(["a", "b"])([np.array([[0.25, 0.75]])], topk=1)[0], list):
        return False

    @functools.wraps(found)
    def rows(self: Any, *args: Any, **kwargs: Any) -> Any:
        indexes, scores, names = found(self, *args, **kwargs)
        return [[int(index) for index in row] for row in indexes], scores, names

    Topk.__call__ = rows
    return True
