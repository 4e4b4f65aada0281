"""Pipeline layout_parsing; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Mapping, Optional, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.pipelines.shared import ImageInfo, PDFInfo, TIFFInfo
from hps_client.records import Part, Record


@dataclass(frozen=True)
class LayoutParsingResult(Record):
    """`LayoutParsingResult` of the schema."""

    pruned_result: Dict[str, Any]
    output_images: Optional[Dict[str, OutputFile]] = None
    input_image: Optional[OutputFile] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part("output_images", "outputImages", records.values(records.output_file), optional=True),
        Part("input_image", "inputImage", records.output_file, optional=True),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    layout_parsing_results: List[LayoutParsingResult]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part(
            "layout_parsing_results",
            "layoutParsingResults",
            records.items(LayoutParsingResult.from_wire),
        ),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


INFER = Operation(
    "layout_parsing",
    "infer",
    "layout-parsing",
    "Ask the pipeline.",
    (
        Field("file", "file", "file", "The document: a PDF, or an image.", required=True),
        Field(
            "file_type",
            "fileType",
            "choice",
            "0 for a PDF, 1 for an image; found out from the content when not given.",
            choices=(0, 1),
        ),
        Field(
            "use_doc_orientation_classify",
            "useDocOrientationClassify",
            "bool",
            "Turn the page upright first.",
        ),
        Field("use_doc_unwarping", "useDocUnwarping", "bool", "Flatten a bent page first."),
        Field(
            "use_textline_orientation",
            "useTextlineOrientation",
            "bool",
            "Turn text lines upright first.",
        ),
        Field("use_seal_recognition", "useSealRecognition", "bool", "Read seals."),
        Field("use_table_recognition", "useTableRecognition", "bool", "Read tables."),
        Field("use_formula_recognition", "useFormulaRecognition", "bool", "Read formulas."),
        Field(
            "layout_threshold",
            "layoutThreshold",
            "json",
            "Least score of a region of the layout; one for all, or by class.",
        ),
        Field("layout_nms", "layoutNms", "bool", "Remove overlapping regions from the layout."),
        Field(
            "layout_unclip_ratio",
            "layoutUnclipRatio",
            "json",
            "How much regions of the layout grow: one factor, width and height, or by class.",
        ),
        Field(
            "layout_merge_bboxes_mode",
            "layoutMergeBboxesMode",
            "text",
            "How overlapping regions become one: large, small or union; or by class.",
        ),
        Field(
            "text_det_limit_side_len",
            "textDetLimitSideLen",
            "int",
            "Side length to which the image is resized for text detection.",
        ),
        Field(
            "text_det_limit_type",
            "textDetLimitType",
            "text",
            "Whether that is the least side (min) or the most (max).",
        ),
        Field("text_det_thresh", "textDetThresh", "float", "Least score of a pixel of text."),
        Field("text_det_box_thresh", "textDetBoxThresh", "float", "Least score of a box of text."),
        Field(
            "text_det_unclip_ratio", "textDetUnclipRatio", "float", "How much boxes of text grow."
        ),
        Field(
            "text_rec_score_thresh",
            "textRecScoreThresh",
            "float",
            "Least score of text that is kept.",
        ),
        Field(
            "seal_det_limit_side_len",
            "sealDetLimitSideLen",
            "int",
            "Side length to which a seal is resized for text detection.",
        ),
        Field(
            "seal_det_limit_type",
            "sealDetLimitType",
            "text",
            "Whether that is the least side (min) or the most (max).",
        ),
        Field(
            "seal_det_thresh", "sealDetThresh", "float", "Least score of a pixel of text in a seal."
        ),
        Field(
            "seal_det_box_thresh",
            "sealDetBoxThresh",
            "float",
            "Least score of a box of text in a seal.",
        ),
        Field(
            "seal_det_unclip_ratio",
            "sealDetUnclipRatio",
            "float",
            "How much boxes of text in a seal grow.",
        ),
        Field(
            "seal_rec_score_thresh",
            "sealRecScoreThresh",
            "float",
            "Least score of text in a seal that is kept.",
        ),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="document",
)


class LayoutParsing(Endpoint):
    """Pipeline `layout_parsing`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        use_formula_recognition: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        seal_det_limit_side_len: Optional[int] = None,
        seal_det_limit_type: Optional[str] = None,
        seal_det_thresh: Optional[float] = None,
        seal_det_box_thresh: Optional[float] = None,
        seal_det_unclip_ratio: Optional[float] = None,
        seal_rec_score_thresh: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            file: The document: a PDF, or an image.
            file_type: 0 for a PDF, 1 for an image; found out from the content when not given.
            use_doc_orientation_classify: Turn the page upright first.
            use_doc_unwarping: Flatten a bent page first.
            use_textline_orientation: Turn text lines upright first.
            use_seal_recognition: Read seals.
            use_table_recognition: Read tables.
            use_formula_recognition: Read formulas.
            layout_threshold: Least score of a region of the layout; one for all, or by class.
            layout_nms: Remove overlapping regions from the layout.
            layout_unclip_ratio: How much regions of the layout grow: one factor, width and height,
                or by class.
            layout_merge_bboxes_mode: How overlapping regions become one: large, small or union; or
                by class.
            text_det_limit_side_len: Side length to which the image is resized for text detection.
            text_det_limit_type: Whether that is the least side (min) or the most (max).
            text_det_thresh: Least score of a pixel of text.
            text_det_box_thresh: Least score of a box of text.
            text_det_unclip_ratio: How much boxes of text grow.
            text_rec_score_thresh: Least score of text that is kept.
            seal_det_limit_side_len: Side length to which a seal is resized for text detection.
            seal_det_limit_type: Whether that is the least side (min) or the most (max).
            seal_det_thresh: Least score of a pixel of text in a seal.
            seal_det_box_thresh: Least score of a box of text in a seal.
            seal_det_unclip_ratio: How much boxes of text in a seal grow.
            seal_rec_score_thresh: Least score of text in a seal that is kept.
            visualize: Give images that show the result; the server decides when not given.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_textline_orientation": use_textline_orientation,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "use_formula_recognition": use_formula_recognition,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "seal_det_limit_side_len": seal_det_limit_side_len,
                "seal_det_limit_type": seal_det_limit_type,
                "seal_det_thresh": seal_det_thresh,
                "seal_det_box_thresh": seal_det_box_thresh,
                "seal_det_unclip_ratio": seal_det_unclip_ratio,
                "seal_rec_score_thresh": seal_rec_score_thresh,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncLayoutParsing(AsyncEndpoint):
    """Pipeline `layout_parsing`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        use_formula_recognition: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        seal_det_limit_side_len: Optional[int] = None,
        seal_det_limit_type: Optional[str] = None,
        seal_det_thresh: Optional[float] = None,
        seal_det_box_thresh: Optional[float] = None,
        seal_det_unclip_ratio: Optional[float] = None,
        seal_rec_score_thresh: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `LayoutParsing.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_textline_orientation": use_textline_orientation,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "use_formula_recognition": use_formula_recognition,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "seal_det_limit_side_len": seal_det_limit_side_len,
                "seal_det_limit_type": seal_det_limit_type,
                "seal_det_thresh": seal_det_thresh,
                "seal_det_box_thresh": seal_det_box_thresh,
                "seal_det_unclip_ratio": seal_det_unclip_ratio,
                "seal_rec_score_thresh": seal_rec_score_thresh,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
