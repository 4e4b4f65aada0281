"""Pipeline PP-StructureV3; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.pipelines.shared import DocumentExports, ImageInfo, PDFInfo, TIFFInfo
from hps_client.records import Part, Record


@dataclass(frozen=True)
class MarkdownData(Record):
    """`MarkdownData` of the schema."""

    text: str
    is_start: bool
    is_end: bool
    images: Optional[Dict[str, OutputFile]] = None

    PARTS = (
        Part("text", "text", records.text),
        Part("is_start", "isStart", records.boolean),
        Part("is_end", "isEnd", records.boolean),
        Part("images", "images", records.values(records.output_file), optional=True),
    )


@dataclass(frozen=True)
class LayoutParsingResult(Record):
    """`LayoutParsingResult` of the schema."""

    pruned_result: Dict[str, Any]
    markdown: MarkdownData
    output_images: Optional[Dict[str, OutputFile]] = None
    input_image: Optional[OutputFile] = None
    exports: Optional[DocumentExports] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part("markdown", "markdown", MarkdownData.from_wire),
        Part("output_images", "outputImages", records.values(records.output_file), optional=True),
        Part("input_image", "inputImage", records.output_file, optional=True),
        Part("exports", "exports", DocumentExports.from_wire, optional=True),
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
    "PP-StructureV3",
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
        Field("output_formats", "outputFormats", "json", "Further formats to give: docx."),
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
        Field("use_chart_recognition", "useChartRecognition", "bool", "Read charts."),
        Field(
            "use_region_detection",
            "useRegionDetection",
            "bool",
            "Find out which regions belong together.",
        ),
        Field(
            "format_block_content",
            "formatBlockContent",
            "bool",
            "Give the content of blocks as Markdown.",
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
            "json",
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
            "markdown_ignore_labels",
            "markdownIgnoreLabels",
            "json",
            "Kinds of regions to leave out of the Markdown.",
        ),
        Field("prettify_markdown", "prettifyMarkdown", "bool", "Make Markdown for reading."),
        Field(
            "show_formula_number",
            "showFormulaNumber",
            "bool",
            "Give the numbers of formulas in the Markdown.",
        ),
        Field(
            "return_markdown_images",
            "returnMarkdownImages",
            "bool",
            "Give the images that the Markdown shows.",
        ),
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


class PPStructureV3(Endpoint):
    """Pipeline `PP-StructureV3`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        output_formats: Optional[Sequence[str]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        use_formula_recognition: Optional[bool] = None,
        use_chart_recognition: Optional[bool] = None,
        use_region_detection: Optional[bool] = None,
        format_block_content: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
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
        use_wired_table_cells_trans_to_html: Optional[bool] = None,
        use_wireless_table_cells_trans_to_html: Optional[bool] = None,
        use_table_orientation_classify: Optional[bool] = None,
        use_ocr_results_with_table_cells: Optional[bool] = None,
        use_e2e_wired_table_rec_model: Optional[bool] = None,
        use_e2e_wireless_table_rec_model: Optional[bool] = None,
        markdown_ignore_labels: Optional[Sequence[str]] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            file: The document: a PDF, or an image.
            file_type: 0 for a PDF, 1 for an image; found out from the content when not given.
            output_formats: Further formats to give: docx.
            use_doc_orientation_classify: Turn the page upright first.
            use_doc_unwarping: Flatten a bent page first.
            use_textline_orientation: Turn text lines upright first.
            use_seal_recognition: Read seals.
            use_table_recognition: Read tables.
            use_formula_recognition: Read formulas.
            use_chart_recognition: Read charts.
            use_region_detection: Find out which regions belong together.
            format_block_content: Give the content of blocks as Markdown.
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
            use_wired_table_cells_trans_to_html: Make HTML of tables with lines from their cells
                alone. The server's default: false.
            use_wireless_table_cells_trans_to_html: Make HTML of tables without lines from their
                cells alone. The server's default: false.
            use_table_orientation_classify: Turn tables upright first. The server's default: true.
            use_ocr_results_with_table_cells: Cut text lines at the cells of tables. The server's
                default: true.
            use_e2e_wired_table_rec_model: Read tables with lines by the end-to-end model. The
                server's default: false.
            use_e2e_wireless_table_rec_model: Read tables without lines by the end-to-end model. The
                server's default: true.
            markdown_ignore_labels: Kinds of regions to leave out of the Markdown.
            prettify_markdown: Make Markdown for reading. The server's default: true.
            show_formula_number: Give the numbers of formulas in the Markdown. The server's default:
                false.
            return_markdown_images: Give the images that the Markdown shows. The server's default:
                true.
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
                "output_formats": output_formats,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_textline_orientation": use_textline_orientation,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "use_formula_recognition": use_formula_recognition,
                "use_chart_recognition": use_chart_recognition,
                "use_region_detection": use_region_detection,
                "format_block_content": format_block_content,
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
                "use_wired_table_cells_trans_to_html": use_wired_table_cells_trans_to_html,
                "use_wireless_table_cells_trans_to_html": use_wireless_table_cells_trans_to_html,
                "use_table_orientation_classify": use_table_orientation_classify,
                "use_ocr_results_with_table_cells": use_ocr_results_with_table_cells,
                "use_e2e_wired_table_rec_model": use_e2e_wired_table_rec_model,
                "use_e2e_wireless_table_rec_model": use_e2e_wireless_table_rec_model,
                "markdown_ignore_labels": markdown_ignore_labels,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


class AsyncPPStructureV3(AsyncEndpoint):
    """Pipeline `PP-StructureV3`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        output_formats: Optional[Sequence[str]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_textline_orientation: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_table_recognition: Optional[bool] = None,
        use_formula_recognition: Optional[bool] = None,
        use_chart_recognition: Optional[bool] = None,
        use_region_detection: Optional[bool] = None,
        format_block_content: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
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
        use_wired_table_cells_trans_to_html: Optional[bool] = None,
        use_wireless_table_cells_trans_to_html: Optional[bool] = None,
        use_table_orientation_classify: Optional[bool] = None,
        use_ocr_results_with_table_cells: Optional[bool] = None,
        use_e2e_wired_table_rec_model: Optional[bool] = None,
        use_e2e_wireless_table_rec_model: Optional[bool] = None,
        markdown_ignore_labels: Optional[Sequence[str]] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `PPStructureV3.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "file": file,
                "file_type": file_type,
                "output_formats": output_formats,
                "use_doc_orientation_classify": use_doc_orientation_classify,
                "use_doc_unwarping": use_doc_unwarping,
                "use_textline_orientation": use_textline_orientation,
                "use_seal_recognition": use_seal_recognition,
                "use_table_recognition": use_table_recognition,
                "use_formula_recognition": use_formula_recognition,
                "use_chart_recognition": use_chart_recognition,
                "use_region_detection": use_region_detection,
                "format_block_content": format_block_content,
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
                "use_wired_table_cells_trans_to_html": use_wired_table_cells_trans_to_html,
                "use_wireless_table_cells_trans_to_html": use_wireless_table_cells_trans_to_html,
                "use_table_orientation_classify": use_table_orientation_classify,
                "use_ocr_results_with_table_cells": use_ocr_results_with_table_cells,
                "use_e2e_wired_table_rec_model": use_e2e_wired_table_rec_model,
                "use_e2e_wireless_table_rec_model": use_e2e_wireless_table_rec_model,
                "markdown_ignore_labels": markdown_ignore_labels,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
