"""In the place of PaddleX's `create_pipeline`: pipelines without networks, for all of PaddleX's.

Each answers with PaddleX's own result classes (or dicts, where PaddleX gives dicts), in the shape
and the types that the real pipeline gives, so that its serving app does all of its work on them:
pruning, drawing, Markdown, Word. What is answered depends on the input: one thing is found, as
large as the image, and its score is the mean brightness; so answers cannot be mixed up unseen.
Indexes are real, on features of 12 numbers; restructuring pages is PaddleX's own.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

TEXT = "Hello 4711"
LABEL = "thing"
_PERSON_JOINTS = 17


def create_pipeline(
    *, config: "Mapping[str, Any]", device: "str | None" = None, use_hpip: bool = False
) -> "Fake":
    """A pipeline of the name that the configuration says."""
    name = config["pipeline_name"]
    return KINDS.get(name, Fake)(name, config)


class Fake:
    """A pipeline with one operation, `predict`.

    Args:
        name: PaddleX's.
        config: The pipeline's configuration.
    """

    def __init__(self, name: str, config: "Mapping[str, Any]") -> None:
        self.name = name
        self.config = dict(config)
        self._answer = ANSWERS[name]

    def predict(self, input: Any, **parameters: Any) -> "Iterator[Any]":  # noqa: A002
        """One result for each input."""
        for number, each in enumerate(input if isinstance(input, list) else [input]):
            yield self._answer(each, number, parameters)


class FakeRetrieval(Fake):
    """Builds and searches real indexes."""

    def build_index(self, images: Any, labels: Any, *, metric_type: str, index_type: str) -> Any:
        """A new index."""
        return _faiss().build(images, labels, _features, metric_type, index_type)

    def append_index(self, images: Any, labels: Any, index: Any) -> Any:
        """The index with more images."""
        return _faiss().append(images, labels, _features, index)

    def remove_index(self, ids: Any, index: Any) -> Any:
        """The index without some."""
        return _faiss().remove(ids, index)


class FakeDocuments(Fake):
    """Restructures pages as PaddleX does."""

    def restructure_pages(self, *args: Any, **kwargs: Any) -> "Iterator[Any]":
        """The pages as one document, or with titles and tables put right."""
        from paddlex.inference.pipelines.paddleocr_vl.pipeline import _PaddleOCRVLPipeline

        yield from _PaddleOCRVLPipeline.restructure_pages(None, *args, **kwargs)


class FakeVisual(Fake):
    """Has no `predict`, but looks at pages and then talks about them."""

    def inintial_visual_predictor(self, config: Any) -> None:
        """PaddleX's name, with its slip."""

    def visual_predict(self, input: Any, **parameters: Any) -> "Iterator[dict[str, Any]]":  # noqa: A002
        """What each page holds."""
        for result in self.predict(input, **parameters):
            yield {
                "visual_info": {"normal_text_dict": {LABEL: TEXT}},
                "layout_parsing_result": result,
            }

    def build_vector(self, visual_info: Any, **parameters: Any) -> "dict[str, Any]":
        """What a retriever would be asked with."""
        block = parameters["block_size"]
        return {"flag_too_short_text": False, "vector": f"{len(visual_info)} pages by {block}"}

    def mllm_pred(self, image: Any, keys: "list[str]", **_: Any) -> "dict[str, Any]":
        """What a model that sees would say."""
        return {"mllm_res": {key: f"{_brightness(image):.3f}" for key in keys}}

    def chat(self, keys: "list[str]", visual_info: Any, **_: Any) -> "dict[str, Any]":
        """What a model that talks would say."""
        return {"chat_res": {key: f"{key} of {len(visual_info)} pages" for key in keys}}

    def translate(
        self, pages: Any, *, target_language: str, **_: Any
    ) -> "Iterator[dict[str, Any]]":
        """Each page in another language."""
        for page in pages:
            yield {
                "language": target_language,
                "markdown_texts": page["markdown_texts"].upper(),
                "page_continuation_flags": page["page_continuation_flags"],
            }


def _classified(image: Any, _number: int, parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.image_classification.result import TopkResult

    count = parameters.get("topk") or 1
    return TopkResult(
        {
            "input_path": None,
            "page_index": None,
            "input_img": image,
            "class_ids": np.arange(count, dtype="int32"),
            "scores": np.full(count, _brightness(image), "float32"),
            "label_names": [LABEL] * count,
        }
    )


def _labelled(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.image_multilabel_classification.result import MLClassResult

    return MLClassResult(
        {
            "input_path": None,
            "page_index": None,
            "input_img": image,
            "class_ids": np.array([0]),
            "scores": np.array([_brightness(image)]),
            "label_names": [LABEL],
        }
    )


def _detected(image: Any, _number: int = 0, _parameters: Any = None) -> Any:
    from paddlex.inference.models.object_detection.result import DetResult

    return DetResult(
        {"input_path": None, "page_index": None, "input_img": image, "boxes": [_box(image)]}
    )


def _detected_rotated(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    found = _detected(image)
    left, top, right, bottom = found["boxes"][0]["coordinate"]
    found["boxes"][0]["coordinate"] = [left, top, right, top, right, bottom, left, bottom]
    return found


def _segmented_instances(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.instance_segmentation.result import InstanceSegResult

    mask = np.ones(image.shape[:2], "int32")
    return InstanceSegResult(
        {
            "input_path": None,
            "page_index": None,
            "input_img": image,
            "boxes": [_box(image)],
            "masks": [mask],
        }
    )


def _segmented(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.semantic_segmentation.result import SegResult

    pred = (image.mean(axis=2) < 128).astype("int32")[None]
    return SegResult({"input_path": None, "page_index": None, "input_img": image, "pred": pred})


def _anomalous(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.anomaly_detection.result import UadResult

    pred = 255 * (image.mean(axis=2) < 128).astype("uint8")[None]
    return UadResult({"input_path": None, "page_index": None, "input_img": image, "pred": pred})


def _posed(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.keypoint_detection.result import KptResult

    joints = np.full((_PERSON_JOINTS, 3), 3.0, "float32")
    person = {
        "coordinate": _box(image)["coordinate"],
        "det_score": _brightness(image),
        "keypoints": joints,
        "kpt_score": np.float32(0.5),
    }
    return KptResult(
        {"input_path": None, "page_index": None, "input_img": image, "boxes": [person]}
    )


def _attributed(image: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.pipelines.attribute_recognition.result import AttributeRecResult

    found = {
        "coordinate": _box(image)["coordinate"],
        "labels": [LABEL],
        "cls_scores": np.array([_brightness(image)]),
        "det_score": _brightness(image),
    }
    return AttributeRecResult({"input_path": None, "input_img": image, "boxes": [found]})


def _prompted_boxes(image: Any, _number: int, parameters: "Mapping[str, Any]") -> Any:
    found = _detected(image)
    found["boxes"][0]["label"] = parameters["prompt"]
    return found


def _prompted_masks(image: Any, _number: int, parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.open_vocabulary_segmentation.results import SAMSegResult

    prompts = parameters["prompt"]
    masks = np.ones((len(prompts), 1, *image.shape[:2]), bool)
    return SAMSegResult(
        {
            "input_path": None,
            "input_img": image,
            "prompts": {f"{parameters['prompt_type']}_prompt": prompts},
            "masks": masks,
        }
    )


def _retrieved(result: str) -> "Callable[..., Any]":
    def answer(image: Any, _number: int, parameters: "Mapping[str, Any]") -> Any:
        import importlib

        from paddlex.inference.pipelines.components import FaissIndexer

        module, _, name = result.partition(":")
        search = FaissIndexer(parameters["index"])
        feature = [found["feature"] for found in _features([image])]
        (known,) = search(feature, score_thres=0.5, hamming_radius=None, topk=1)
        box = {
            "labels": known["label"],
            "rec_scores": known["score"],
            "det_score": _brightness(image),
            "coordinate": _box(image)["coordinate"],
        }
        made = getattr(importlib.import_module(module), name)
        return made({"input_path": None, "input_img": image, "boxes": [box]})

    return answer


def _preprocessed(image: Any, number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.doc_preprocessor.result import DocPreprocessorResult

    return DocPreprocessorResult(
        {
            "input_path": None,
            "page_index": number,
            "input_img": image,
            "model_settings": {"use_doc_orientation_classify": True, "use_doc_unwarping": False},
            "angle": 0,
            "rot_img": image,
            "output_img": image,
        }
    )


def _read(image: Any, number: int, parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.pipelines.ocr.result import OCRResult

    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], "int16")
    return OCRResult(
        {
            "input_path": None,
            "page_index": number,
            "doc_preprocessor_res": _preprocessed(image, number, {}),
            "model_settings": {"use_doc_preprocessor": True, "use_textline_orientation": False},
            "dt_polys": [corners],
            "text_det_params": {"thresh": parameters.get("text_det_thresh") or 0.3},
            "text_type": "general",
            "text_rec_score_thresh": 0.0,
            "return_word_box": False,
            "rec_texts": [TEXT],
            "rec_scores": [_brightness(image)],
            "rec_polys": [corners],
            "rec_boxes": np.array([[0, 0, width, height]], "int16"),
            "vis_fonts": [],
        }
    )


def _sealed(image: Any, number: int, parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.seal_recognition.result import SealRecognitionResult

    seal = _read(image, number, parameters)
    seal["seal_region_id"] = 1
    return SealRecognitionResult({**_page(image, number), "seal_res_list": [seal]})


def _formulated(image: Any, number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.formula_recognition.result import FormulaRecognitionResult

    formula = {"rec_formula": "a+b=c", "formula_region_id": 1, "dt_polys": [0, 0, 20, 20]}
    return FormulaRecognitionResult({**_page(image, number), "formula_res_list": [formula]})


def _tabulated(image: Any, number: int, parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.table_recognition.result import (
        SingleTableRecognitionResult,
        TableRecognitionResult,
    )

    table = SingleTableRecognitionResult(
        {
            "cell_box_list": [[0, 0, 20, 20]],
            "pred_html": f"<html><body><table><tr><td>{TEXT}</td></tr></table></body></html>",
            "table_ocr_pred": {"rec_texts": [TEXT]},
            "table_region_id": 1,
        }
    )
    read = _read(image, number, parameters)
    return TableRecognitionResult(
        {**_page(image, number), "overall_ocr_res": read, "table_res_list": [table]}
    )


def _parsed(image: Any, number: int, parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.layout_parsing.result import LayoutParsingResult

    read = _read(image, number, parameters)
    blocks = [{"block_label": "text", "block_content": TEXT, "block_bbox": [0, 0, 20, 20]}]
    return LayoutParsingResult(
        {**_page(image, number), "overall_ocr_res": read, "parsing_res_list": blocks}
    )


def _structured(image: Any, number: int, parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.layout_parsing.layout_objects import LayoutBlock
    from paddlex.inference.pipelines.layout_parsing.result_v2 import LayoutParsingResultV2

    blocks = _blocks(LayoutBlock, image)
    for order, block in enumerate(blocks):
        block.index = block.order_index = order
        block.start_coordinate, block.end_coordinate = block.bbox[0], block.bbox[2]
    read = _read(image, number, parameters)
    pictures = [block.image for block in blocks if block.image]
    return LayoutParsingResultV2(
        {
            **_page(image, number),
            "overall_ocr_res": read,
            "parsing_res_list": blocks,
            "imgs_in_doc": pictures,
        }
    )


def _understood_page(image: Any, number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.pipelines.paddleocr_vl.result import PaddleOCRVLBlock, PaddleOCRVLResult

    blocks = _blocks(PaddleOCRVLBlock, image)
    pictures = [block.image for block in blocks if block.image]
    return PaddleOCRVLResult(
        {**_page(image, number), "parsing_res_list": blocks, "imgs_in_doc": pictures}
    )


def _asked(question: "Mapping[str, Any]", _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.doc_vlm.result import DocVLMResult

    said = f"{question['query']} {type(question['image']).__name__}"
    return DocVLMResult({"query": question["query"], "result": said})


def _forecast(frame: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.ts_forecasting.result import TSFcResult

    later = frame.set_index(frame.columns[0])
    return TSFcResult(
        {"input_path": None, "forecast": later, "cutoff_ts": frame, "input_ts": frame}
    )


def _series_anomalies(frame: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.ts_anomaly_detection.result import TSAdResult

    flags = frame.set_index(frame.columns[0]).iloc[:, :1] > 0
    return TSAdResult({"input_path": None, "input_ts": frame, "anomaly": flags.astype(int)})


def _series_class(frame: Any, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    import pandas as pd
    from paddlex.inference.models.ts_classification.result import TSClsResult

    found = pd.DataFrame({"classid": [3], "score": [float(frame.iloc[:, 1].mean())]})
    column = frame.columns[1]
    return TSClsResult(
        {
            "input_path": None,
            "classification": found,
            "input_ts": frame,
            "input_ts_data": frame,
            "target_cols": [column],
        }
    )


def _heard(path: str, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.multilingual_speech_recognition.result import WhisperResult

    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": float(Path(path).stat().st_size),
        "text": TEXT,
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.5,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.25,
    }
    heard = {"text": TEXT, "segments": [segment], "language": "en"}
    return WhisperResult({"input_path": path, "result": heard})


def _watched(path: str, _number: int, parameters: "Mapping[str, Any]") -> Any:
    import numpy as np
    from paddlex.inference.models.video_classification.result import TopkVideoResult

    count = parameters.get("topk") or 1
    return TopkVideoResult(
        {
            "input_path": path,
            "class_ids": np.arange(count, dtype="int32"),
            "scores": np.full(count, 1 / Path(path).stat().st_size),
            "label_names": [LABEL] * count,
        }
    )


def _watched_things(path: str, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.video_detection.result import DetVideoResult

    size = float(Path(path).stat().st_size)
    return DetVideoResult(
        {"input_path": path, "result": [[[[0.0, 0.0, size, size], 0.5, LABEL]], []]}
    )


def _surrounded(path: str, _number: int, _parameters: "Mapping[str, Any]") -> Any:
    from paddlex.inference.models.m_3d_bev_detection.result import BEV3DDetResult

    size = float(Path(path).stat().st_size)
    boxes = [[size, *range(1, 9)]]
    return BEV3DDetResult(
        {"input_path": path, "boxes_3d": boxes, "labels_3d": [1], "scores_3d": [0.5]}
    )


def _page(image: Any, number: int) -> "dict[str, Any]":
    """What all results about pages have."""
    settings = dict.fromkeys(
        (
            "use_doc_preprocessor",
            "use_layout_detection",
            "use_table_recognition",
            "use_formula_recognition",
            "use_seal_recognition",
            "use_region_detection",
            "use_chart_recognition",
        ),
        False,
    )
    settings.update(use_doc_preprocessor=True, use_layout_detection=True)
    return {
        "input_path": None,
        "page_index": number,
        "page_count": None,
        "width": image.shape[1],
        "height": image.shape[0],
        "model_settings": {**settings, "markdown_ignore_labels": []},
        "doc_preprocessor_res": _preprocessed(image, number, {}),
        "layout_det_res": _detected(image),
        "table_res_list": [],
        "seal_res_list": [],
        "formula_res_list": [],
    }


def _blocks(kind: "Callable[..., Any]", image: Any) -> "list[Any]":
    """A title, a line of text and a picture."""
    from PIL import Image

    height, width = image.shape[:2]
    title = kind("doc_title", [0, 0, width, height // 4], "A title")
    text = kind("text", [0, height // 4, width, height // 2], TEXT)
    picture = kind("image", [0, height // 2, width, height], "")
    cut = Image.fromarray(image[height // 2 :, :, ::-1])
    box = "_".join(str(edge) for edge in picture.bbox)
    picture.image = {"path": f"imgs/img_in_image_box_{box}.jpg", "img": cut}
    return [title, text, picture]


def _box(image: Any) -> "dict[str, Any]":
    height, width = image.shape[:2]
    corners = [0.0, 0.0, float(width), float(height)]
    return {"cls_id": 0, "label": LABEL, "score": _brightness(image), "coordinate": corners}


def _brightness(image: Any) -> float:
    return float(image.mean()) / 255


def _features(images: "list[Any]") -> "Iterator[dict[str, Any]]":
    """The means of four parts of an image by colour, of length 1."""
    import numpy as np

    for image in images:
        height, width = (side // 2 for side in image.shape[:2])
        parts = [image[:height, :width], image[:height, width:], image[height:, :width]]
        means = np.array([part.mean(axis=(0, 1)) for part in [*parts, image[height:, width:]]])
        flat = means.flatten().astype("float32") - 128
        yield {"feature": flat / (np.linalg.norm(flat) or 1)}


def _faiss() -> Any:
    from paddlex.inference.pipelines.components import FaissBuilder

    return FaissBuilder


KINDS: "Mapping[str, type[Fake]]" = {
    "PP-ChatOCRv3-doc": FakeVisual,
    "PP-ChatOCRv4-doc": FakeVisual,
    "PP-DocTranslation": FakeVisual,
    "PP-ShiTuV2": FakeRetrieval,
    "PaddleOCR-VL": FakeDocuments,
    "PaddleOCR-VL-1.5": FakeDocuments,
    "PaddleOCR-VL-1.6": FakeDocuments,
    "face_recognition": FakeRetrieval,
}

_RESULTS = "paddlex.inference.pipelines"
ANSWERS: "Mapping[str, Callable[..., Any]]" = {
    "3d_bev_detection": _surrounded,
    "OCR": _read,
    "PP-ChatOCRv3-doc": _parsed,
    "PP-ChatOCRv4-doc": _parsed,
    "PP-DocTranslation": _structured,
    "PP-ShiTuV2": _retrieved(f"{_RESULTS}.pp_shitu_v2.result:ShiTuResult"),
    "PP-StructureV3": _structured,
    "PaddleOCR-VL": _understood_page,
    "PaddleOCR-VL-1.5": _understood_page,
    "PaddleOCR-VL-1.6": _understood_page,
    "anomaly_detection": _anomalous,
    "doc_preprocessor": _preprocessed,
    "doc_understanding": _asked,
    "face_recognition": _retrieved(f"{_RESULTS}.face_recognition.result:FaceRecResult"),
    "formula_recognition": _formulated,
    "human_keypoint_detection": _posed,
    "image_classification": _classified,
    "image_multilabel_classification": _labelled,
    "instance_segmentation": _segmented_instances,
    "layout_parsing": _parsed,
    "multilingual_speech_recognition": _heard,
    "object_detection": _detected,
    "open_vocabulary_detection": _prompted_boxes,
    "open_vocabulary_segmentation": _prompted_masks,
    "pedestrian_attribute_recognition": _attributed,
    "rotated_object_detection": _detected_rotated,
    "seal_recognition": _sealed,
    "semantic_segmentation": _segmented,
    "small_object_detection": _detected,
    "table_recognition": _tabulated,
    "table_recognition_v2": _tabulated,
    "ts_anomaly_detection": _series_anomalies,
    "ts_classification": _series_class,
    "ts_forecast": _forecast,
    "vehicle_attribute_recognition": _attributed,
    "video_classification": _watched,
    "video_detection": _watched_things,
}
