"""PaddleX's request models with what its schemas do not say."""
# ruff: noqa: N815 - fields are named as on the wire

import math
from typing import Any

import pydantic
import pytest

from hps_server.request_models import completed


class Pair(pydantic.BaseModel):
    image: str
    label: str


class BuildRequest(pydantic.BaseModel):
    imageLabelPairs: list[Pair]


class RemoveRequest(pydantic.BaseModel):
    ids: list[int]
    indexKey: str


class SearchRequest(pydantic.BaseModel):
    image: str
    indexKey: str | None = None
    topk: int | None = None


class PromptRequest(pydantic.BaseModel):
    prompt: list[list[float]]
    promptType: str


class SegmentRequest(pydantic.BaseModel):
    targetSize: int | tuple[int, int] | None = None


class ChatRequest(pydantic.BaseModel):
    keyList: list[str]
    visualInfo: list[dict[str, Any]]


class LookRequest(pydantic.BaseModel):
    keyList: list[str]


class TranslateRequest(pydantic.BaseModel):
    markdownList: list[str] = ["one"]
    llmRequestInterval: float = 0.0


class TalkRequest(pydantic.BaseModel):
    max_image_tokens: int | None = None


class Page(pydantic.BaseModel):
    prunedResult: dict[str, Any]


class PagesRequest(pydantic.BaseModel):
    pages: list[Page]
    concatenatePages: bool = False


class LayoutRequest(pydantic.BaseModel):
    """With a check of the ratio that takes lists only, as PaddleOCR-VL has it."""

    layoutThreshold: float | dict[Any, Any] | None = None
    layoutUnclipRatio: float | tuple[float, float] | dict[Any, Any] | None = None
    layoutMergeBboxesMode: str | dict[Any, Any] | None = None

    @pydantic.field_validator("layoutUnclipRatio")
    @classmethod
    def takes_lists(cls, value: Any) -> Any:
        if isinstance(value, tuple):
            raise ValueError("must be a number or two numbers; got: tuple")
        return value


PAIR = {"image": "a", "label": "b"}
SETTINGS = {"use_doc_preprocessor": False, "use_layout_detection": False}
PAGE = {"width": 1, "height": 1, "model_settings": SETTINGS}
READ = {"use_doc_preprocessor": True, "use_layout_detection": True}
BLOCK = {"block_label": "text", "block_bbox": [0, 0, 1, 1], "block_content": "c"}


@pytest.mark.parametrize(
    ("model", "document"),
    [
        (BuildRequest, {"imageLabelPairs": [PAIR]}),
        (RemoveRequest, {"ids": [], "indexKey": "k"}),
        (RemoveRequest, {"ids": [-(2**63), 2**64 - 1], "indexKey": "k"}),
        (SearchRequest, {"image": "a", "indexKey": "k"}),
        (SearchRequest, {"image": "a", "indexKey": "k", "topk": None}),
        (SearchRequest, {"image": "a", "indexKey": "k", "topk": 1}),
        (PromptRequest, {"prompt": [[1, 2, 3, 4]] * 2, "promptType": "box"}),
        (PromptRequest, {"prompt": [[1, 2.5]], "promptType": "point"}),
        (SegmentRequest, {}),
        (SegmentRequest, {"targetSize": -1}),
        (SegmentRequest, {"targetSize": 64}),
        (SegmentRequest, {"targetSize": [64, 48]}),
        (ChatRequest, {"keyList": ["a"], "visualInfo": []}),
        (LookRequest, {"keyList": []}),
        (TranslateRequest, {}),
        (TranslateRequest, {"llmRequestInterval": 1}),
        (TalkRequest, {"max_image_tokens": 0}),
        (PagesRequest, {"pages": []}),
        (PagesRequest, {"pages": [{"prunedResult": PAGE}]}),
        (PagesRequest, {"pages": [{"prunedResult": {**PAGE, "parsing_res_list": [BLOCK]}}]}),
        (LayoutRequest, {}),
        (LayoutRequest, {"layoutThreshold": 0.5, "layoutUnclipRatio": 1.5}),
        (LayoutRequest, {"layoutMergeBboxesMode": "large", "layoutUnclipRatio": None}),
    ],
)
def test_what_can_be_answered_is_read_as_before(model: Any, document: Any) -> None:
    assert completed(model)(**document).model_dump() == model(**document).model_dump()


@pytest.mark.parametrize(
    ("model", "document", "field", "why"),
    [
        (BuildRequest, {"imageLabelPairs": []}, "imageLabelPairs", "one image at least"),
        (RemoveRequest, {"ids": [2**64], "indexKey": "k"}, "ids", "64 bits"),
        (RemoveRequest, {"ids": [1]}, "indexKey", "Field required"),
        (SearchRequest, {"image": "a"}, "indexKey", "Field required"),
        (SearchRequest, {"image": "a", "indexKey": None}, "indexKey", "valid string"),
        (SearchRequest, {"image": "a", "indexKey": "k", "topk": 0}, "topk", "1 at least"),
        (PromptRequest, {"prompt": [[1, 2]], "promptType": "dot"}, "promptType", "box, point"),
        (PromptRequest, {"prompt": [], "promptType": "box"}, "promptType", "4 numbers"),
        (PromptRequest, {"prompt": [[1, 2]], "promptType": "box"}, "promptType", "4 numbers"),
        (PromptRequest, {"prompt": [[1]], "promptType": "point"}, "promptType", "2 numbers"),
        (PromptRequest, {"prompt": [[1, 2]] * 2, "promptType": "point"}, "promptType", "one point"),
        (
            PromptRequest,
            {"prompt": [[1, math.inf]], "promptType": "point"},
            "promptType",
            "finite",
        ),
        (SegmentRequest, {"targetSize": 0}, "targetSize", "sizes from 1"),
        (SegmentRequest, {"targetSize": [-1, 64]}, "targetSize", "sizes from 1"),
        (ChatRequest, {"keyList": [], "visualInfo": []}, "keyList", "one key at least"),
        (TranslateRequest, {"markdownList": []}, "markdownList", "one page at least"),
        (TranslateRequest, {"llmRequestInterval": -1}, "llmRequestInterval", "from 0"),
        (TranslateRequest, {"llmRequestInterval": math.nan}, "llmRequestInterval", "from 0"),
        (TalkRequest, {"max_image_tokens": -1}, "max_image_tokens", "less than 0"),
        (PagesRequest, {"pages": [], "concatenatePages": True}, "concatenatePages", "no pages"),
        (
            PagesRequest,
            {"pages": [{"prunedResult": {**PAGE, "parsing_res_list": [{}]}}]},
            "pages",
            "block_label",
        ),
        (
            PagesRequest,
            {"pages": [{"prunedResult": {}}]},
            "pages",
            "width, height, model_settings, model_settings.use_doc_preprocessor",
        ),
        (
            PagesRequest,
            {"pages": [{"prunedResult": {**PAGE, "model_settings": READ}}]},
            "pages",
            "hold doc_preprocessor_res, layout_det_res",
        ),
        (
            PagesRequest,
            {"pages": [{"prunedResult": {**PAGE, "model_settings": None}}]},
            "pages",
            "use_doc_preprocessor",
        ),
        (
            PagesRequest,
            {
                "pages": [
                    {
                        "prunedResult": {
                            **PAGE,
                            "parsing_res_list": [{**BLOCK, "block_bbox": ["a"]}],
                        }
                    }
                ]
            },
            "pages",
            "block_label",
        ),
        (
            PagesRequest,
            {"pages": [{"prunedResult": {**PAGE, "parsing_res_list": 1}}]},
            "pages",
            "block_label",
        ),
        (LayoutRequest, {"layoutThreshold": {"1": "high"}}, "layoutThreshold", "a number"),
        (LayoutRequest, {"layoutThreshold": {"1": True}}, "layoutThreshold", "a number"),
        (LayoutRequest, {"layoutUnclipRatio": {"1": [1]}}, "layoutUnclipRatio", "or two"),
        (LayoutRequest, {"layoutUnclipRatio": {"1": ["a", 1]}}, "layoutUnclipRatio", "a number"),
    ],
)
def test_what_never_can_be_is_refused_in_the_words_of_the_model(
    model: Any, document: Any, field: str, why: str
) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        completed(model)(**document)
    said = str(caught.value)
    assert said.startswith(f"1 validation error for {model.__name__}\n{field}\n"), said
    assert why in said


def test_a_pipeline_with_an_index_of_its_own_needs_no_key() -> None:
    made = completed(SearchRequest, default_index=True)
    assert made(image="a").model_dump() == SearchRequest(image="a").model_dump()


def test_a_wrong_prompt_is_told_alone() -> None:
    with pytest.raises(pydantic.ValidationError, match="1 validation error"):
        completed(PromptRequest)(prompt="here", promptType="box")


def test_two_numbers_are_read_as_a_list() -> None:
    with pytest.raises(pydantic.ValidationError, match="got: tuple"):
        LayoutRequest(layoutUnclipRatio=(1.0, 1.1))
    assert completed(LayoutRequest)(layoutUnclipRatio=[1, 1.1]).layoutUnclipRatio == [1.0, 1.1]  # type: ignore[attr-defined]


def test_classes_of_json_become_numbers() -> None:
    read: Any = completed(LayoutRequest)(
        layoutThreshold={"2": 0.5, "10": 1, "default": "x", "٣": 0.1, "1" * 99: 2},
        layoutUnclipRatio={"2": 1.5, "3": [1.0, 1.1]},
        layoutMergeBboxesMode={"2": "large"},
    )
    assert read.layoutThreshold == {2: 0.5, 10: 1, "default": "x", "٣": 0.1, "1" * 99: 2}
    assert read.layoutUnclipRatio == {2: [1.5, 1.5], 3: [1.0, 1.1]}
    assert read.layoutMergeBboxesMode == {2: "large"}


def test_a_model_that_is_complete_is_left_alone() -> None:
    assert completed(LookRequest) is LookRequest
    assert completed(Page) is Page


def test_paddlexs_model_stays_as_it_is() -> None:
    made = completed(SearchRequest)
    assert issubclass(made, SearchRequest)
    assert made.__name__ == "SearchRequest"
    assert made.model_fields.keys() == SearchRequest.model_fields.keys()
    assert SearchRequest(image="a", topk=0).topk == 0
