"""Pipeline table_recognition_v2; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Literal, Optional, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.pipelines.shared import ImageInfo, PDFInfo, TableRecResult, TIFFInfo
from hps_client.records import Part, Record


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    table_rec_results: List[TableRecResult]
    data_info: Union[ImageInfo, PDFInfo, TIFFInfo]

    PARTS = (
        Part("table_rec_results", "tableRecResults", records.items(TableRecResult.from_wire)),
        Part("data_info", "dataInfo", records.one_of(image=ImageInfo, pdf=PDFInfo, tiff=TIFFInfo)),
    )


INFER = Operation(
    "table_recognition_v2",
    "infer",
    "table-recognition",
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
        Field("use_ocr_model", "useOcrModel", "bool", "Read text by the pipeline's own OCR."),
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
            "use_e2e_wired_table_rec_model",
            "useE2eWiredTableRecModel",
            "bool",
            "Read tables with lines by the end-to-end model.",
        ),
        Field(
            "use_e2e_wireless_table_rec_model",
            "useE2eWirelessTableRecModel",
            "bool",
            "Read tables without lines by the end-to-end model.",
        ),
        Field(
            "use_wired_table_cells_trans_to_html",
            "useWiredTableCellsTransToHtml",
            "bool",
            "Make HTML of tables with lines from their cells alone.",
        ),
        Field(
            "use_wireless_table_cells_trans_to_html",
            "useWirelessTableCellsTransToHtml",
            "bool",
            "Make HTML of tables without lines from their cells alone.",
        ),
        Field(
            "use_table_orientation_classify",
            "useTableOrientationClassify",
            "bool",
            "Turn tables upright first.",
        ),
        Field(
            "use_ocr_results_with_table_cells",
            "useOcrResultsWithTableCells",
            "bool",
            "Cut text lines at the cells of tables.",
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


class TableRecognitionV2(Endpoint):
    """Pipeline `table_recognition_v2`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        use_ocr_model: Optional[bool] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        use_e2e_wired_table_rec_model: Optional[bool] = None,
        use_e2e_wireless_table_rec_model: Optional[bool] = None,
        use_wired_table_cells_trans_to_html: Optional[bool] = None,
        use_wireless_table_cells_trans_to_html: Optional[bool] = None,
        use_table_orientation_classify: Optional[bool] = None,
        use_ocr_results_with_table_cells: Optional[bool] = None,
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
            use_ocr_model: Read text by the pipeline's own OCR.
            text_det_limit_side_len: Side length to which the image is resized for text detection.
            text_det_limit_type: Whether that is the least side (min) or the most (max).
            text_det_thresh: Least score of a pixel of text.
            text_det_box_thresh: Least score of a box of text.
            text_det_unclip_ratio: How much boxes of text grow.
            text_rec_score_thresh: Least score of text that is kept.
            use_e2e_wired_table_rec_model: Read tables with lines by the end-to-end model. The
                server's default: false.
            use_e2e_wireless_table_rec_model: Read tables without lines by the end-to-end model. The
                server's default: false.
            use_wired_table_cells_trans_to_html: Make HTML of tables with lines from their cells
                alone. The server's default: false.
            use_wireless_table_cells_trans_to_html: Make HTML of tables without lines from their
                cells alone. The server's default: false.
            use_table_orientation_classify: Turn tables upright first. The server's default: true.
            use_ocr_results_with_table_cells: Cut text lines at the cells of tables. The server's
                default: true.
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
                "use_ocr_model": use_ocr_model,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "use_e2e_wired_table_rec_model": use_e2e_wired_table_rec_model,
                "use_e2e_wireless_table_rec_model": use_e2e_wireless_table_rec_model,
                "use_wired_table_cells_trans_to_html": use_wired_table_cells_trans_to_html,
                "use_wireless_table_cells_trans_to_html": use_wireless_table_cells_trans_to_html,
                "use_table_orientation_classify": use_table_orientation_classify,
                "use_ocr_results_with_table_cells": use_ocr_results_with_table_cells,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncTableRecognitionV2(AsyncEndpoint):
    """Pipeline `table_recognition_v2`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        use_ocr_model: Optional[bool] = None,
        text_det_limit_side_len: Optional[int] = None,
        text_det_limit_type: Optional[str] = None,
        text_det_thresh: Optional[float] = None,
        text_det_box_thresh: Optional[float] = None,
        text_det_unclip_ratio: Optional[float] = None,
        text_rec_score_thresh: Optional[float] = None,
        use_e2e_wired_table_rec_model: Optional[bool] = None,
        use_e2e_wireless_table_rec_model: Optional[bool] = None,
        use_wired_table_cells_trans_to_html: Optional[bool] = None,
        use_wireless_table_cells_trans_to_html: Optional[bool] = None,
        use_table_orientation_classify: Optional[bool] = None,
        use_ocr_results_with_table_cells: Optional[bool] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `TableRecognitionV2.infer`."""
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
                "use_ocr_model": use_ocr_model,
                "text_det_limit_side_len": text_det_limit_side_len,
                "text_det_limit_type": text_det_limit_type,
                "text_det_thresh": text_det_thresh,
                "text_det_box_thresh": text_det_box_thresh,
                "text_det_unclip_ratio": text_det_unclip_ratio,
                "text_rec_score_thresh": text_rec_score_thresh,
                "use_e2e_wired_table_rec_model": use_e2e_wired_table_rec_model,
                "use_e2e_wireless_table_rec_model": use_e2e_wireless_table_rec_model,
                "use_wired_table_cells_trans_to_html": use_wired_table_cells_trans_to_html,
                "use_wireless_table_cells_trans_to_html": use_wireless_table_cells_trans_to_html,
                "use_table_orientation_classify": use_table_orientation_classify,
                "use_ocr_results_with_table_cells": use_ocr_results_with_table_cells,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
