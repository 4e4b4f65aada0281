"""Pipeline formula_recognition; PaddleX 3.7.2.

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
class FormulaRecResult(Record):
    """`FormulaRecResult` of the schema."""

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

    formula_rec_results: List[FormulaRecResult]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part("formula_rec_results", "formulaRecResults", records.items(FormulaRecResult.from_wire)),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


INFER = Operation(
    "formula_recognition",
    "infer",
    "formula-recognition",
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
            "use_layout_detection",
            "useLayoutDetection",
            "bool",
            "Find the regions of the page first.",
        ),
        Field(
            "use_doc_orientation_classify",
            "useDocOrientationClassify",
            "bool",
            "Turn the page upright first.",
        ),
        Field("use_doc_unwarping", "useDocUnwarping", "bool", "Flatten a bent page first."),
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
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="document",
)


class FormulaRecognition(Endpoint):
    """Pipeline `formula_recognition`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_layout_detection: Optional[bool] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            file: The document: a PDF, or an image.
            file_type: 0 for a PDF, 1 for an image; found out from the content when not given.
            use_layout_detection: Find the regions of the page first.
            use_doc_orientation_classify: Turn the page upright first.
            use_doc_unwarping: Flatten a bent page first.
            layout_threshold: Least score of a region of the layout; one for all, or by class.
            layout_nms: Remove overlapping regions from the layout.
            layout_unclip_ratio: How much regions of the layout grow: one factor, width and height,
                or by class.
            layout_merge_bboxes_mode: How overlapping regions become one: large, small or union; or
                by class.
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
                "use_layout_detection": use_layout_detection,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncFormulaRecognition(AsyncEndpoint):
    """Pipeline `formula_recognition`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_layout_detection: Optional[bool] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float]]] = None,
        layout_merge_bboxes_mode: Optional[str] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `FormulaRecognition.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "use_layout_detection": use_layout_detection,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
