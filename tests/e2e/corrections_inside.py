# mypy: disable-error-code="import-not-found,import-untyped"
"""PaddleX's mistakes and what we do about them, with the PaddleX of the image; run by its Python.

Each mistake is looked at before and after; one that PaddleX does not make any more says what to
delete. JSON on stdout.
"""

import json
import sys
import unittest
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pydantic
from paddlex.inference.models.common.ts import funcs
from paddlex.inference.models.common.ts.processors import TSCutOff
from paddlex.inference.models.image_classification.processors import Topk
from paddlex.inference.models.image_feature.processors import NormalizeFeatures
from paddlex.inference.models.image_multilabel_classification.processors import (
    MultiLabelThreshOutput,
)
from paddlex.inference.models.layout_analysis.processors import LayoutAnalysisProcess
from paddlex.inference.models.object_detection.processors import DetPostProcess
from paddlex.inference.models.open_vocabulary_segmentation.processors import SAMProcessor
from paddlex.inference.models.open_vocabulary_segmentation.results import SAMSegResult
from paddlex.inference.models.semantic_segmentation.processors import Resize
from paddlex.inference.models.text_detection.processors import DetResizeForTest
from paddlex.inference.models.video_classification.processors import VideoClasTopk
from paddlex.inference.pipelines.components import FaissBuilder, FaissIndexer
from paddlex.inference.pipelines.doc_preprocessor.pipeline import _DocPreprocessorPipeline
from paddlex.inference.pipelines.layout_parsing.pipeline import _LayoutParsingPipeline
from paddlex.inference.pipelines.layout_parsing.pipeline_v2 import _LayoutParsingPipelineV2
from paddlex.inference.pipelines.ocr.pipeline import _OCRPipeline
from paddlex.inference.pipelines.paddleocr_vl.pipeline import _PaddleOCRVLPipeline
from paddlex.inference.pipelines.pp_chatocr.pipeline_v3 import PP_ChatOCRv3_Pipeline
from paddlex.inference.pipelines.pp_chatocr.pipeline_v4 import PP_ChatOCRv4_Pipeline
from paddlex.inference.pipelines.pp_doctranslation.pipeline import PP_DocTranslation_Pipeline
from paddlex.inference.pipelines.pp_shitu_v2.pipeline import ShiTuV2Pipeline
from paddlex.inference.pipelines.table_recognition.pipeline import _TableRecognitionPipeline
from paddlex.inference.serving.schemas import (
    formula_recognition,
    layout_parsing,
    paddleocr_vl,
    pp_chatocrv3_doc,
    pp_chatocrv4_doc,
    pp_doctranslation,
    pp_shituv2,
    pp_structurev3,
    seal_recognition,
)

from hps_server.batching import PredictionError
from hps_server.blame import blamed
from hps_server.corrections import CORRECTIONS
from hps_server.refused import Refused
from hps_server.request_models import completed

IMAGE = np.zeros((32, 32, 3), np.uint8)
ROWS = np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)
BOXES = np.array([[0, 0.4, 0, 0, 8, 8], [1, 0.6, 9, 9, 20, 20]], np.float32)


def without_models(kind: Any, **attributes: Any) -> Any:
    """A pipeline that has nothing but these."""
    made = object.__new__(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def tried(work: "Callable[[], Any]") -> Any:
    """What comes of it: what it gives, or what it raises."""
    try:
        return work()
    except Exception as error:
        return error


def an_index() -> Any:
    """Four things in a real index."""
    vectors = [{"feature": row} for row in np.eye(4, dtype=np.float32)]
    return FaissBuilder.build(vectors, list("abcd"), lambda given: given, "IP", "Flat")


def retrieved(topk: "int | None") -> Any:
    """The labels of one thing in an image."""
    box = {"coordinate": [0, 0, 8, 8], "score": 0.5}
    pipeline = without_models(
        ShiTuV2Pipeline,
        _topk=3,
        _rec_threshold=0.0,
        _hamming_radius=None,
        _det_threshold=0.5,
        indexer=None,
        batch_sampler=lambda images: [SimpleNamespace(instances=images)],
        img_reader=lambda images: images,
        det_model=lambda images, **_: [{"boxes": [box]} for _ in images],
        rec_model=lambda images: [{"feature": np.ones(4, np.float32)} for _ in images],
        crop_by_boxes=lambda image, boxes: [{"img": image} for _ in boxes],
    )
    (result,) = pipeline.predict([IMAGE], index=an_index(), topk=topk)
    return len(result["boxes"][0]["labels"])


def with_a_point() -> Any:
    """How large the image is that shows a prompt."""
    data = {
        "input_img": IMAGE,
        "prompts": {"point_prompt": [[8.5, 9.0]]},
        "masks": np.ones((1, 1, 32, 32), bool),
    }
    return SAMSegResult(data).img["res"].size


def classes(threshold: Any) -> Any:
    """The classes of two images, by their scores."""
    ids, _, _ = MultiLabelThreshOutput(["a", "b"])([ROWS], threshold)
    return [list(row) for row in ids]


def ocr(**asked: Any) -> Any:
    """The first that comes of a pipeline without models for pages and lines that are turned."""
    off = {"use_doc_preprocessor": False, "use_textline_orientation": False}
    return next(without_models(_OCRPipeline, **off).predict(None, **asked))


def preprocessed() -> Any:
    """The same of a part of other pipelines."""
    off = {"use_doc_orientation_classify": False, "use_doc_unwarping": False}
    pipeline = without_models(_DocPreprocessorPipeline, **off)
    return next(pipeline.predict(None, use_doc_unwarping=True))


def a_table_unread() -> Any:
    """The same where a pipeline has what a client does not want."""
    on = {"use_doc_preprocessor": True, "use_layout_detection": True, "use_ocr_model": True}
    pipeline = without_models(_TableRecognitionPipeline, **on)
    return next(pipeline.predict(None, use_ocr_model=False))


def unchecked(kind: Any, name: str) -> Any:
    """What a pipeline without a model says when it is asked for it."""
    asked = dict.fromkeys(
        ("use_doc_preprocessor", "use_seal_recognition", "use_table_recognition"), False
    )
    pipeline = without_models(kind, **asked, **{name: False})
    return tried(lambda: pipeline.check_model_settings_valid({**asked, name: True}))


UNCHECKED = (
    (_LayoutParsingPipeline, "use_formula_recognition"),
    (_LayoutParsingPipelineV2, "use_chart_recognition"),
    (_LayoutParsingPipelineV2, "use_formula_recognition"),
    (_LayoutParsingPipelineV2, "use_region_detection"),
    (_PaddleOCRVLPipeline, "use_layout_detection"),
)


# What is looked at, by the correction that changes it.
EFFECTS: "Mapping[str, Callable[[], Any]]" = {
    "image-classification-rows": lambda: type(Topk(["a", "b"])([ROWS], topk=1)[0]),
    "video-classification-rows": lambda: type(VideoClasTopk(["a", "b"])([ROWS], topk=1)[0]),
    "feature-rows": lambda: type(NormalizeFeatures()([ROWS])),
    "multilabel-thresholds": lambda: [
        classes({"default": 0.9, 1: 0.5}),
        classes([0.9, 0.2]),
        classes(0.5),
    ],
    "retrieval-topk": lambda: [retrieved(2), retrieved(1 << 40), retrieved(None)],
    "point-prompts": lambda: tried(with_a_point),
    "model-settings": lambda: [
        tried(lambda: ocr(use_textline_orientation=True)),
        tried(preprocessed),
        tried(a_table_unread),
        *[unchecked(*each) for each in UNCHECKED],
    ],
}
BEFORE = {name: look() for name, look in EFFECTS.items()}
NEEDED = {name: mend() for name, mend in CORRECTIONS.items()}
AFTER = {name: look() for name, look in EFFECTS.items()}


class Corrections(unittest.TestCase):
    def test_each_is_needed(self) -> None:
        for name, needed in NEEDED.items():
            with self.subTest(name):
                assert needed, f"delete correction {name}: PaddleX no longer has the mistake"

    def test_each_is_made_once(self) -> None:
        again = [name for name, mend in CORRECTIONS.items() if mend()]
        assert again == [], again

    def test_rows_are_dealt_out_as_lists(self) -> None:
        for name in ("image-classification-rows", "video-classification-rows", "feature-rows"):
            with self.subTest(name):
                assert (BEFORE[name], AFTER[name]) == (np.ndarray, list)

    def test_each_class_has_its_threshold(self) -> None:
        before, after = BEFORE["multilabel-thresholds"], AFTER["multilabel-thresholds"]
        assert before[:2] != after[:2]
        assert after == [[[1], []], [[1], [1]], [[1], [0]]], after
        assert before[2] == after[2]

    def test_as_many_are_told_as_are_asked_for(self) -> None:
        assert BEFORE["retrieval-topk"] == [3, 3, 3]
        assert AFTER["retrieval-topk"] == [2, 4, 3]

    def test_a_point_is_drawn(self) -> None:
        assert isinstance(BEFORE["point-prompts"], Exception)
        assert AFTER["point-prompts"] == (32, 32)

    def test_a_model_that_is_not_there_is_refused(self) -> None:
        for found in BEFORE["model-settings"][:3]:
            said = PredictionError(found["error"])
            assert blamed(said), f"PaddleX says it in other words: {said}"
        for (_, name), found in zip(UNCHECKED, BEFORE["model-settings"][3:], strict=True):
            assert found is True, f"delete {name} of _UNCHECKED: PaddleX looks at it"
        missing, inside, unread, *others = AFTER["model-settings"]
        for (_, name), found in zip(UNCHECKED, others, strict=True):
            assert str(found) == f"The pipeline is configured without {name}"
        assert all(isinstance(each, Refused) for each in AFTER["model-settings"])
        assert str(missing) == "The pipeline is configured without use_textline_orientation"
        assert str(inside) == "The pipeline is configured without use_doc_unwarping"
        assert str(unread).startswith("The pipeline cannot do without "), unread
        assert "use_ocr_model" in str(unread)


LAYOUTS = (
    formula_recognition.InferRequest,
    layout_parsing.InferRequest,
    paddleocr_vl.InferRequest,
    pp_chatocrv3_doc.AnalyzeImagesRequest,
    pp_chatocrv4_doc.AnalyzeImagesRequest,
    pp_doctranslation.AnalyzeImagesRequest,
    pp_structurev3.InferRequest,
    seal_recognition.InferRequest,
)


def detected(**values: Any) -> int:
    """How many boxes are left of two, the score of the first being 0.4."""
    given = {"layout_nms": False, "layout_unclip_ratio": None, "layout_merge_bboxes_mode": None}
    counts = {
        len(kind(labels=["a", "b"], **more).apply(BOXES.copy(), (32, 32), **{**given, **values}))
        for kind, more in ((DetPostProcess, {}), (LayoutAnalysisProcess, {"scale_size": [32, 32]}))
    }
    (count,) = counts
    return count


class Models(unittest.TestCase):
    """`hps_server.request_models` on PaddleX's own."""

    def test_two_numbers_as_ratio(self) -> None:
        document: dict[str, Any] = {"file": "", "layoutUnclipRatio": [1.0, 1.1]}
        model = paddleocr_vl.InferRequest
        made: Any = completed(model)
        refusal = tried(lambda: model(**document))
        said = "delete the list of _unclip_ratio: PaddleX takes two numbers"
        assert isinstance(refusal, pydantic.ValidationError), said
        assert made(**document).layoutUnclipRatio == [1.0, 1.1]
        for wrong in ([0, 1], [1], [1, 2, 3], -1):
            document["layoutUnclipRatio"] = wrong
            assert isinstance(tried(lambda: made(**document)), ValueError), wrong
        for other in LAYOUTS:
            read: Any = completed(other)(file="", layoutUnclipRatio=[1.0, 1.1])
            assert list(read.layoutUnclipRatio) == [1.0, 1.1]

    def test_values_by_class(self) -> None:
        values: dict[str, Any] = {"layoutThreshold": {"0": 0.3}, "layoutUnclipRatio": {"0": 1.5}}
        read: Any
        for model in LAYOUTS:
            with self.subTest(model.__module__):
                said = "delete the classes of request_models: PaddleX has them as numbers"
                before = model(file="", layoutThreshold={"0": 0.3})
                assert before.layoutThreshold == {"0": 0.3}, said
                read = completed(model)(file="", layoutThreshold=values["layoutThreshold"])
                assert read.layoutThreshold == {0: 0.3}
        assert detected(threshold={"0": 0.3}) == 1, said
        assert detected(threshold={0: 0.3}) == 2
        read = completed(paddleocr_vl.InferRequest)(file="", **values)
        ratio = read.layoutUnclipRatio
        assert detected(threshold={0: 0.3}, layout_unclip_ratio=ratio) == 2
        assert isinstance(
            tried(lambda: detected(threshold=0.1, layout_unclip_ratio={0: 1.5})), TypeError
        )

    def test_what_is_refused_would_fail(self) -> None:
        """A PaddleX that can answer something of it makes a check needless: it is told here."""
        index = an_index()
        search = FaissIndexer(index)
        block: list[Any] = [{"res": {"parsing_res_list": [{}], "model_settings": {}}}]
        chat = without_models(PP_ChatOCRv4_Pipeline)
        translation = without_models(PP_DocTranslation_Pipeline, chat_bot=SimpleNamespace())
        schema = pp_chatocrv4_doc.ChatResult
        fails: Mapping[str, Callable[[], Any]] = {
            "ids": lambda: FaissBuilder.remove([1 << 64], an_index()),
            "imageLabelPairs": lambda: FaissBuilder.build([], [], lambda _: [], "IP", "Flat"),
            "imageLabelPairs, more": lambda: FaissBuilder.append([], [], lambda _: [], an_index()),
            "topk": lambda: search(np.eye(4, dtype=np.float32)[:1], 0.0, None, 0),
            "promptType": lambda: SAMProcessor().preprocess([IMAGE], point_prompt=[[1, 2], [3, 4]]),
            "promptType, box": lambda: SAMProcessor().preprocess([IMAGE], box_prompt=[[1, 2]]),
            "targetSize": lambda: Resize()([IMAGE], target_size=0),
            "targetSize, pair": lambda: Resize()([IMAGE], target_size=(-1, 8)),
            "keyList": lambda: schema(chatResult=chat.chat([], [])["chat_res"]),
            "markdownList": lambda: list(translation.translate([])),
            "pages": lambda: list(_PaddleOCRVLPipeline.restructure_pages(None, block)),
            "concatenatePages": lambda: next(
                _PaddleOCRVLPipeline.restructure_pages(None, [], concatenate_pages=True)
            ),
        }
        for name, work in fails.items():
            with self.subTest(name):
                outcome = tried(work)
                said = f"delete the check of {name}: PaddleX answers {outcome!r}"
                assert isinstance(outcome, Exception), said

    def test_ids_that_are_not_there_change_nothing(self) -> None:
        for ids in ([99], [-1], []):
            assert len(FaissBuilder.remove(ids, an_index()).id_map) == 4

    def test_retrieval_needs_an_index(self) -> None:
        pipeline = without_models(ShiTuV2Pipeline, indexer=None)
        said = "delete INDEX_KEY of request_models: PaddleX answers without an index"
        assert isinstance(tried(lambda: next(pipeline.predict(IMAGE))), Exception), said
        refusal = tried(lambda: completed(pp_shituv2.InferRequest)(image=""))
        assert "indexKey\n  Field required" in str(refusal)


def related() -> Any:
    pipeline = without_models(PP_ChatOCRv4_Pipeline, retriever=SimpleNamespace(model_name="a"))
    vector = {"vector": "", "flag_too_short_text": False, "model_name": "b"}
    return pipeline.get_related_normal_text(None, True, vector, ["key"], [], 1)


def translated() -> Any:
    prompts = SimpleNamespace(generate_prompt=lambda **_: "a prompt")
    pipeline = without_models(
        PP_DocTranslation_Pipeline, chat_bot=SimpleNamespace(), translate_pe=prompts
    )
    return list(pipeline.translate([{"markdown_texts": "text"}], chunk_size=1))


class Words(unittest.TestCase):
    def test_paddlex_says_what_means_the_client(self) -> None:
        table = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=3), "a": [1.0, 2, 3]})
        cut = TSCutOff({"in_chunk_len": 9, "skip_chunk_len": 0})
        columns = {"time_col": "time", "freq": "D"}
        for work in (
            lambda: classes({1: 0.5}),
            lambda: classes({"default": 0.5, 7: 0.5}),
            lambda: classes([0.5]),
            lambda: DetResizeForTest()([IMAGE], None, "half"),
            lambda: detected(threshold=0.1, layout_merge_bboxes_mode="huge"),
            lambda: detected(threshold=0.1, layout_merge_bboxes_mode={0: "huge"}),
            lambda: funcs.load_from_dataframe(table, time_col="when", target_cols=["a"]),
            lambda: funcs.load_from_dataframe(table, target_cols=["b"], **columns),
            lambda: funcs.load_from_dataframe(table, target_cols=["a", "b"], **columns),
            lambda: cut([table]),
            lambda: without_models(PP_ChatOCRv3_Pipeline).merge_visual_info_list([{}]),
            lambda: without_models(PP_ChatOCRv4_Pipeline).merge_visual_info_list([{}]),
            related,
            translated,
        ):
            error = tried(work)
            with self.subTest(repr(error)):
                assert isinstance(error, Exception), "PaddleX answers: see hps_server.blame"
                assert blamed(error), "PaddleX says it in other words: see hps_server.blame"


if __name__ == "__main__":
    outcome = unittest.main(exit=False, argv=[sys.argv[0]], verbosity=1).result
    print(json.dumps({"run": outcome.testsRun, "well": outcome.wasSuccessful()}))
    sys.exit(not outcome.wasSuccessful())
