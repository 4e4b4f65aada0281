"""Mends what PaddleX 3.7.2 does wrong and no configuration can avoid.

Each repair says what goes wrong without it; tests/e2e/test_repairs.py shows that it still does, so
that a repair is dropped when a PaddleX does without. A repair may be made twice and changes
nothing where there is nothing to mend.
"""

import functools
from typing import Any


def repair() -> None:
    """Make all repairs; before the pipeline is created, in the process that runs it."""
    _split_arrays()


def _split_arrays() -> None:
    """Give each result of a batch its own row of an array.

    `BasePredictor.apply` deals lists out to the results of a batch, but hands an array to each as
    a whole. These predictors return arrays. Without the repair image and video classification
    answer with an error for each request, retrieval cannot build an index, and OCR turns all lines
    of a batch as the first line.
    """
    # Seconds of imports, that only the process of a model pays.
    from paddlex.inference.models.face_feature.predictor import (  # noqa: PLC0415
        FaceFeaturePredictor,
    )
    from paddlex.inference.models.image_classification.predictor import (  # noqa: PLC0415
        ClasRunnerPredictor,
    )
    from paddlex.inference.models.image_feature.predictor import (  # noqa: PLC0415
        ImageFeatureRunnerPredictor,
    )
    from paddlex.inference.models.video_classification.predictor import (  # noqa: PLC0415
        VideoClasRunnerPredictor,
    )

    for predictor in (
        ClasRunnerPredictor,
        VideoClasRunnerPredictor,
        ImageFeatureRunnerPredictor,
        FaceFeaturePredictor,
    ):
        predictor.process = _dealing(predictor.process)


def _dealing(process: Any) -> Any:
    if hasattr(process, "__wrapped__"):
        return process

    @functools.wraps(process)
    def dealt(self: Any, *args: Any, **kwargs: Any) -> "dict[str, Any]":
        found = process(self, *args, **kwargs)
        return {
            key: list(value) if hasattr(value, "ndim") and value.ndim else value
            for key, value in found.items()
        }

    return dealt
