"""Pipeline OCR; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Optional, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.pipelines.shared import ImageInfo, PDFInfo, TIFFInfo
from hps_client.records import Part, Record


@dataclass(frozen=True)
class OCRResult(Record):
    """`OCRResult` of the schema."""

    pruned_result: Dict[str, Any]
    ocr_image: Optional[OutputFile] = None
    doc_preprocessing_image: Optional[OutputFile] = None
    input_image: Optional[OutputFile] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part("ocr_image", "ocrImage", records.output_file, optional=True),
        Part(
            "doc_preprocessing_image", "docPreprocessingImage", records.output_file, optional=True
        ),
        Part("input_image", "inputImage", records.output_file, optional=True),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    ocr_results: List[OCRResult]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part("ocr_results", "ocrResults", records.items(OCRResult.from_wire)),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


INFER = Operation(
    "OCR",
    "infer",
    "ocr",
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
        Field("return_word_box", "returnWordBox", "bool", "Give a box for each word."),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
        Field(
            "log_id",
            "logId",
            "text",
            "Name of this request in the server's log; made by the server when not given.",
        ),
    ),
    media="document",
)


class OCR(Endpoint):
    """Pipeline `OCR`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        return_word_box: Optional[bool] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            file: The document: a PDF, or an image.
            file_type: 0 for a PDF, 1 for an image; found out from the content when not given.
            use_doc_orientation_classify: Turn the page upright first.
            use_doc_unwarping: Flatten a bent page first.
            use_textline_orientation: Turn text lines upright first.
            text_det_limit_side_len: Side length to which the image is resized for text detection.
            text_det_limit_type: Whether that is the least side (min) or the most (max).
            text_det_thresh: Least score of a pixel of text.
            text_det_box_thresh: Least score of a box of text.
            text_det_unclip_ratio: How much boxes of text grow.
            text_rec_score_thresh: Least score of text that is kept.
            return_word_box: Give a box for each word.
            visualize: Give images that show the result; the server decides when not given.
            log_id: Name of this request in the server's log; made by the server when not given.
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
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "return_word_box": return_word_box,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


class AsyncOCR(AsyncEndpoint):
    """Pipeline `OCR`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        return_word_box: Optional[bool] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `OCR.infer`."""
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
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "return_word_box": return_word_box,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
