"""Mistakes of PaddleX that make an operation unusable, mended where they are made.

Each correction names what is wrong and looks first whether it still is, so that a PaddleX without
the mistake is left alone. What its schemas get wrong is in `hps_server.request_models`.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from hps_server.refused import Refused

_PROBABILITIES = np.array([[0.25, 0.75]])
_UNCHECKED = {  # by the pipeline's class
    "_LayoutParsingPipeline": frozenset({"use_formula_recognition"}),
    "_LayoutParsingPipelineV2": frozenset(
        {"use_chart_recognition", "use_formula_recognition", "use_region_detection"}
    ),
    "_PaddleOCRVLPipeline": frozenset({"use_layout_detection"}),
}
_MODELS = "paddlex.inference.models"
_PIPELINES = "paddlex.inference.pipelines"


def correct() -> "list[str]":
    """Mend what this PaddleX needs; the names of the corrections that were made."""
    return [name for name, mend in CORRECTIONS.items() if mend()]


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


def _multilabel_thresholds() -> bool:
    """PaddleX 3.7: thresholds of classes are applied to the images of a batch.

    So the first class's threshold decides about all classes of an image that is alone.
    """
    module = importlib.import_module(f"{_MODELS}.image_multilabel_classification.processors")
    output = module.MultiLabelThreshOutput
    (ids,) = output(["a", "b"])([_PROBABILITIES], [0.9, 0.5])[0]
    if list(ids) == [1]:
        return False
    found = output.__call__

    @functools.wraps(found)
    def by_class(self: Any, preds: Any, threshold: Any) -> Any:
        result = found(self, preds, threshold)  # refuses thresholds that cannot be meant
        if not isinstance(threshold, (dict, list)):
            return result
        rows = preds[0]
        limits = _limits(threshold, rows)
        ids = [_above(row, limits) for row in rows]
        pairs = list(zip(rows, ids, strict=True))
        scores = [np.around(row[each].astype(float), 5) for row, each in pairs]
        return ids, scores, [[self.class_id_map[number] for number in each] for each in ids]

    output.__call__ = by_class
    return True


def _limits(threshold: "dict[Any, float] | list[float]", rows: Any) -> Any:
    """The threshold of each class."""
    if isinstance(threshold, list):
        return np.array(threshold, rows.dtype)
    limits = np.full(rows.shape[-1], threshold["default"], rows.dtype)
    for name, value in threshold.items():
        if name != "default":
            limits[int(name)] = value
    return limits


def _above(row: Any, limits: Any) -> Any:
    """The classes whose scores exceed their thresholds, the highest score first."""
    chosen = np.flatnonzero(row > limits)
    return chosen[np.argsort(-row[chosen])]


def _retrieval_topk() -> bool:
    """PaddleX 3.7: retrieval reads `rec_topk`, and its serving app says `topk`.

    So the configuration decides how many things of the index are told, whatever a client asks for.
    FAISS takes memory for as many as it is asked for: never for more than there are.
    """
    pipeline = importlib.import_module(f"{_PIPELINES}.pp_shitu_v2.pipeline").ShiTuV2Pipeline
    if next(pipeline.predict(_retrieval(), None, topk=2)) == 2:  # noqa: PLR2004 - what was asked
        return False
    found = pipeline.predict

    @functools.wraps(found)
    def with_topk(self: Any, input: Any, index: Any = None, **parameters: Any) -> Any:  # noqa: A002
        if (topk := parameters.get("topk")) is not None:
            known = getattr(index if index is not None else self.indexer, "id_map", None)
            most = topk if known is None else max(len(known), 1)
            parameters["rec_topk"] = min(topk, most)
        return found(self, input, index, **parameters)

    pipeline.predict = with_topk
    return True


def _retrieval() -> Any:
    """Stands for a pipeline of one image that tells how many things it was asked for."""
    return SimpleNamespace(
        _topk=5,
        _rec_threshold=0.0,
        _hamming_radius=None,
        _det_threshold=0.0,
        indexer=True,
        batch_sampler=lambda _: [SimpleNamespace(instances=[0])],
        img_reader=lambda images: images,
        det_model=lambda images, **_: images,
        get_rec_result=lambda *given: given[-1],
        get_final_result=lambda *given: given[-1],
    )


def _point_prompts() -> bool:
    """PaddleX 3.7: OpenCV refuses to draw the point of a prompt, whose numbers are no integers."""
    module: Any = importlib.import_module(
        f"{_MODELS}.open_vocabulary_segmentation.results.sam_result"
    )
    found = module.draw_segm
    point = {"label": "point_prompt", "prompt": [4.0, 4.0]}
    try:
        found(np.zeros((8, 8, 3)), [np.ones((8, 8))], [point])
    except Exception:  # noqa: BLE001 - OpenCV has errors of its own
        module.draw_segm = _with_whole_points(found)
        return True
    return False


def _with_whole_points(found: "Callable[..., Any]") -> "Callable[..., Any]":
    @functools.wraps(found)
    def draw(image: Any, masks: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        return found(image, masks, [_whole(each) for each in prompts], *args, **kwargs)

    return draw


def _whole(prompt: "dict[str, Any]") -> "dict[str, Any]":
    if prompt["label"] != "point_prompt":
        return prompt
    return {**prompt, "prompt": [round(number) for number in prompt["prompt"]]}


def _model_settings() -> bool:
    """PaddleX 3.7: a pipeline that is asked for a model it has not loaded goes on without it.

    It reports the error in the place of a result and fails at the model's first use; in a pipeline
    within another one nobody sees the report. Some models it does not look for at all. The client
    is told now, before anything runs.
    """
    module = importlib.import_module(f"{_PIPELINES}.ocr.pipeline")
    probe = object.__new__(module._OCRPipeline)  # noqa: SLF001 - without its models
    probe.use_doc_preprocessor = probe.use_textline_orientation = False
    try:
        first = next(probe.predict(None, use_textline_orientation=True))
    except Exception:  # noqa: BLE001 - whatever a PaddleX that refuses raises
        return False
    if not (isinstance(first, dict) and first.keys() == {"error"}):
        return False
    base = importlib.import_module(f"{_PIPELINES}.base").BasePipeline
    for pipeline in _below(base):
        if check := vars(pipeline).get("check_model_settings_valid"):
            unchecked = _UNCHECKED.get(pipeline.__name__, frozenset())
            pipeline.check_model_settings_valid = _telling(check, unchecked)
    return True


def _below(kind: Any) -> "Iterator[Any]":
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _telling(check: "Callable[..., bool]", unchecked: "frozenset[str]") -> "Callable[..., bool]":
    """A check that refuses what the client has asked for, and leaves all else to PaddleX.

    Args:
        check: PaddleX's.
        unchecked: the settings that it does not look at, and whose models are used on every page.
    """

    @functools.wraps(check)
    def tell(self: Any, asked: "Mapping[str, Any]", *given: Any, **named: Any) -> bool:
        well = check(self, asked, *given, **named)
        for wish, said in ((True, "is configured without"), (False, "cannot do without")):
            names = [
                name
                for name, value in asked.items()
                if value is wish and getattr(self, name, None) is (not wish)
                if not well or (wish and name in unchecked)
            ]
            if names:
                raise Refused(f"The pipeline {said} {', '.join(names)}")
        return well

    return tell


CORRECTIONS: "Mapping[str, Callable[[], bool]]" = {
    "image-classification-rows": _image_rows,
    "video-classification-rows": _video_rows,
    "feature-rows": _feature_rows,
    "multilabel-thresholds": _multilabel_thresholds,
    "retrieval-topk": _retrieval_topk,
    "point-prompts": _point_prompts,
    "model-settings": _model_settings,
}
