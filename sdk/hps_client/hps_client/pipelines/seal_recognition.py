"""Pipeline seal_recognition; PaddleX 3.7.2.

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
class SealRecResult(Record):
    """`SealRecResult` of the schema."""

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

    seal_rec_results: List[SealRecResult]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part("seal_rec_results", "sealRecResults", records.items(SealRecResult.from_wire)),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


INFER = Operation(
    "seal_recognition",
    "infer",
    "seal-recognition",
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
            "use_layout_detection",
            "useLayoutDetection",
            "bool",
            "Find the regions of the page first.",
        ),
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


class SealRecognition(Endpoint):
    """Pipeline `seal_recognition`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
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
            use_layout_detection: Find the regions of the page first.
            layout_threshold: Least score of a region of the layout; one for all, or by class.
            layout_nms: Remove overlapping regions from the layout.
            layout_unclip_ratio: How much regions of the layout grow: one factor, width and height,
                or by class.
            layout_merge_bboxes_mode: How overlapping regions become one: large, small or union; or
                by class.
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
                "use_layout_detection": use_layout_detection,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
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


class AsyncSealRecognition(AsyncEndpoint):
    """Pipeline `seal_recognition`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
        seal_det_limit_side_len: Optional[int] = None,
        seal_det_limit_type: Optional[str] = None,
        seal_det_thresh: Optional[float] = None,
        seal_det_box_thresh: Optional[float] = None,
        seal_det_unclip_ratio: Optional[float] = None,
        seal_rec_score_thresh: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `SealRecognition.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_layout_detection": use_layout_detection,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
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
