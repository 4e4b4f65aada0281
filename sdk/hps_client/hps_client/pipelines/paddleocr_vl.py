"""Pipeline PaddleOCR-VL; PaddleX 3.7.2.

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
    images: Optional[Dict[str, OutputFile]] = None

    PARTS = (
        Part("text", "text", records.text),
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
class Page(Record):
    """`Page` of the schema."""

    pruned_result: Dict[str, Any]
    markdown_images: Optional[Dict[str, OutputFile]] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part(
            "markdown_images", "markdownImages", records.values(records.output_file), optional=True
        ),
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


@dataclass(frozen=True)
class RestructurePagesResult(Record):
    """`RestructurePagesResult` of the schema."""

    layout_parsing_results: List[LayoutParsingResult]

    PARTS = (
        Part(
            "layout_parsing_results",
            "layoutParsingResults",
            records.items(LayoutParsingResult.from_wire),
        ),
    )


INFER = Operation(
    "PaddleOCR-VL",
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
            "use_layout_detection",
            "useLayoutDetection",
            "bool",
            "Find the regions of the page first.",
        ),
        Field("use_chart_recognition", "useChartRecognition", "bool", "Read charts."),
        Field("use_seal_recognition", "useSealRecognition", "bool", "Read seals."),
        Field("use_ocr_for_image_block", "useOcrForImageBlock", "bool", "Read text in images."),
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
            "layout_shape_mode",
            "layoutShapeMode",
            "choice",
            "Shape of the regions: rect, quad, poly or auto.",
            choices=("rect", "quad", "poly", "auto"),
        ),
        Field(
            "prompt_label",
            "promptLabel",
            "text",
            "What the model does when there is no layout detection: ocr, formula, table or chart.",
        ),
        Field(
            "format_block_content",
            "formatBlockContent",
            "bool",
            "Give the content of blocks as Markdown.",
        ),
        Field(
            "repetition_penalty",
            "repetitionPenalty",
            "float",
            "How much repetition is punished while the model writes.",
        ),
        Field(
            "temperature", "temperature", "float", "How freely the model writes; 0 is not at all."
        ),
        Field("top_p", "topP", "float", "Share of the probability from which tokens are drawn."),
        Field(
            "min_pixels",
            "minPixels",
            "int",
            "Least pixels of an image for the model; smaller ones are enlarged.",
        ),
        Field(
            "max_pixels",
            "maxPixels",
            "int",
            "Most pixels of an image for the model; larger ones are shrunk.",
        ),
        Field("max_new_tokens", "maxNewTokens", "int", "Most tokens the model may produce."),
        Field(
            "merge_layout_blocks",
            "mergeLayoutBlocks",
            "bool",
            "Join regions that belong together across columns.",
        ),
        Field(
            "markdown_ignore_labels",
            "markdownIgnoreLabels",
            "json",
            "Kinds of regions to leave out of the Markdown.",
        ),
        Field("vlm_extra_args", "vlmExtraArgs", "json", "Further settings of the model."),
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
            "restructure_pages",
            "restructurePages",
            "bool",
            "Put all pages of the document together.",
        ),
        Field(
            "merge_tables", "mergeTables", "bool", "Join tables that go on over the end of a page."
        ),
        Field(
            "relevel_titles",
            "relevelTitles",
            "bool",
            "Find out the level of each title over all pages.",
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

RESTRUCTURE_PAGES = Operation(
    "PaddleOCR-VL",
    "restructure_pages",
    "restructure-pages",
    "Put the pages of a document together.",
    (
        Field(
            "pages",
            "pages",
            "json",
            "The pages to put together, as `infer` gives them.",
            required=True,
        ),
        Field("output_formats", "outputFormats", "json", "Further formats to give: docx."),
        Field(
            "merge_tables", "mergeTables", "bool", "Join tables that go on over the end of a page."
        ),
        Field(
            "relevel_titles",
            "relevelTitles",
            "bool",
            "Find out the level of each title over all pages.",
        ),
        Field("concatenate_pages", "concatenatePages", "bool", "Join all pages into one."),
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
            "log_id",
            "logId",
            "text",
            "Name of this request in the server's log; made by the server when not given.",
        ),
    ),
    media="image",
)


class PaddleOCRVL(Endpoint):
    """Pipeline `PaddleOCR-VL`."""

    def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        output_formats: Optional[Sequence[str]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        use_chart_recognition: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_ocr_for_image_block: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
        layout_shape_mode: Optional[Literal["rect", "quad", "poly", "auto"]] = None,
        prompt_label: Optional[str] = None,
        format_block_content: Optional[bool] = None,
        repetition_penalty: Optional[float] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        min_pixels: Optional[int] = None,
        max_pixels: Optional[int] = None,
        max_new_tokens: Optional[int] = None,
        merge_layout_blocks: Optional[bool] = None,
        markdown_ignore_labels: Optional[Sequence[str]] = None,
        vlm_extra_args: Optional[Mapping[str, Any]] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        restructure_pages: Optional[bool] = None,
        merge_tables: Optional[bool] = None,
        relevel_titles: Optional[bool] = None,
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
            use_layout_detection: Find the regions of the page first.
            use_chart_recognition: Read charts.
            use_seal_recognition: Read seals.
            use_ocr_for_image_block: Read text in images.
            layout_threshold: Least score of a region of the layout; one for all, or by class.
            layout_nms: Remove overlapping regions from the layout.
            layout_unclip_ratio: How much regions of the layout grow: one factor, width and height,
                or by class.
            layout_merge_bboxes_mode: How overlapping regions become one: large, small or union; or
                by class.
            layout_shape_mode: Shape of the regions: rect, quad, poly or auto. The server's default:
                "auto".
            prompt_label: What the model does when there is no layout detection: ocr, formula, table
                or chart.
            format_block_content: Give the content of blocks as Markdown.
            repetition_penalty: How much repetition is punished while the model writes.
            temperature: How freely the model writes; 0 is not at all.
            top_p: Share of the probability from which tokens are drawn.
            min_pixels: Least pixels of an image for the model; smaller ones are enlarged.
            max_pixels: Most pixels of an image for the model; larger ones are shrunk.
            max_new_tokens: Most tokens the model may produce.
            merge_layout_blocks: Join regions that belong together across columns.
            markdown_ignore_labels: Kinds of regions to leave out of the Markdown.
            vlm_extra_args: Further settings of the model.
            prettify_markdown: Make Markdown for reading. The server's default: true.
            show_formula_number: Give the numbers of formulas in the Markdown. The server's default:
                false.
            return_markdown_images: Give the images that the Markdown shows. The server's default:
                true.
            restructure_pages: Put all pages of the document together. The server's default: false.
            merge_tables: Join tables that go on over the end of a page. The server's default: true.
            relevel_titles: Find out the level of each title over all pages. The server's default:
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
                "use_layout_detection": use_layout_detection,
                "use_chart_recognition": use_chart_recognition,
                "use_seal_recognition": use_seal_recognition,
                "use_ocr_for_image_block": use_ocr_for_image_block,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "layout_shape_mode": layout_shape_mode,
                "prompt_label": prompt_label,
                "format_block_content": format_block_content,
                "repetition_penalty": repetition_penalty,
                "temperature": temperature,
                "top_p": top_p,
                "min_pixels": min_pixels,
                "max_pixels": max_pixels,
                "max_new_tokens": max_new_tokens,
                "merge_layout_blocks": merge_layout_blocks,
                "markdown_ignore_labels": markdown_ignore_labels,
                "vlm_extra_args": vlm_extra_args,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "restructure_pages": restructure_pages,
                "merge_tables": merge_tables,
                "relevel_titles": relevel_titles,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer

    def restructure_pages(
        self,
        pages: Sequence[Union[Page, Mapping[str, Any]]],
        *,
        output_formats: Optional[Sequence[str]] = None,
        merge_tables: Optional[bool] = None,
        relevel_titles: Optional[bool] = None,
        concatenate_pages: Optional[bool] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> RestructurePagesResult:
        """Put the pages of a document together.

        Args:
            pages: The pages to put together, as `infer` gives them.
            output_formats: Further formats to give: docx.
            merge_tables: Join tables that go on over the end of a page. The server's default: true.
            relevel_titles: Find out the level of each title over all pages. The server's default:
                true.
            concatenate_pages: Join all pages into one. The server's default: false.
            prettify_markdown: Make Markdown for reading. The server's default: true.
            show_formula_number: Give the numbers of formulas in the Markdown. The server's default:
                false.
            return_markdown_images: Give the images that the Markdown shows. The server's default:
                true.
            log_id: Name of this request in the server's log; made by the server when not given.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            RESTRUCTURE_PAGES,
            RestructurePagesResult,
            timeout,
            {
                "pages": pages,
                "output_formats": output_formats,
                "merge_tables": merge_tables,
                "relevel_titles": relevel_titles,
                "concatenate_pages": concatenate_pages,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "log_id": log_id,
            },
        )


class AsyncPaddleOCRVL(AsyncEndpoint):
    """Pipeline `PaddleOCR-VL`, for coroutines."""

    async def infer(
        self,
        file: FileInput,
        *,
        file_type: Optional[Literal[0, 1]] = None,
        output_formats: Optional[Sequence[str]] = None,
        use_doc_orientation_classify: Optional[bool] = None,
        use_doc_unwarping: Optional[bool] = None,
        use_layout_detection: Optional[bool] = None,
        use_chart_recognition: Optional[bool] = None,
        use_seal_recognition: Optional[bool] = None,
        use_ocr_for_image_block: Optional[bool] = None,
        layout_threshold: Optional[Union[float, Mapping[str, Any]]] = None,
        layout_nms: Optional[bool] = None,
        layout_unclip_ratio: Optional[Union[float, Tuple[float, float], Mapping[str, Any]]] = None,
        layout_merge_bboxes_mode: Optional[Union[str, Mapping[str, Any]]] = None,
        layout_shape_mode: Optional[Literal["rect", "quad", "poly", "auto"]] = None,
        prompt_label: Optional[str] = None,
        format_block_content: Optional[bool] = None,
        repetition_penalty: Optional[float] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        min_pixels: Optional[int] = None,
        max_pixels: Optional[int] = None,
        max_new_tokens: Optional[int] = None,
        merge_layout_blocks: Optional[bool] = None,
        markdown_ignore_labels: Optional[Sequence[str]] = None,
        vlm_extra_args: Optional[Mapping[str, Any]] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        restructure_pages: Optional[bool] = None,
        merge_tables: Optional[bool] = None,
        relevel_titles: Optional[bool] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `PaddleOCRVL.infer`."""
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
                "use_layout_detection": use_layout_detection,
                "use_chart_recognition": use_chart_recognition,
                "use_seal_recognition": use_seal_recognition,
                "use_ocr_for_image_block": use_ocr_for_image_block,
                "layout_threshold": layout_threshold,
                "layout_nms": layout_nms,
                "layout_unclip_ratio": layout_unclip_ratio,
                "layout_merge_bboxes_mode": layout_merge_bboxes_mode,
                "layout_shape_mode": layout_shape_mode,
                "prompt_label": prompt_label,
                "format_block_content": format_block_content,
                "repetition_penalty": repetition_penalty,
                "temperature": temperature,
                "top_p": top_p,
                "min_pixels": min_pixels,
                "max_pixels": max_pixels,
                "max_new_tokens": max_new_tokens,
                "merge_layout_blocks": merge_layout_blocks,
                "markdown_ignore_labels": markdown_ignore_labels,
                "vlm_extra_args": vlm_extra_args,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "restructure_pages": restructure_pages,
                "merge_tables": merge_tables,
                "relevel_titles": relevel_titles,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer

    async def restructure_pages(
        self,
        pages: Sequence[Union[Page, Mapping[str, Any]]],
        *,
        output_formats: Optional[Sequence[str]] = None,
        merge_tables: Optional[bool] = None,
        relevel_titles: Optional[bool] = None,
        concatenate_pages: Optional[bool] = None,
        prettify_markdown: Optional[bool] = None,
        show_formula_number: Optional[bool] = None,
        return_markdown_images: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> RestructurePagesResult:
        """As `PaddleOCRVL.restructure_pages`."""
        return await self._channel.send(
            RESTRUCTURE_PAGES,
            RestructurePagesResult,
            timeout,
            {
                "pages": pages,
                "output_formats": output_formats,
                "merge_tables": merge_tables,
                "relevel_titles": relevel_titles,
                "concatenate_pages": concatenate_pages,
                "prettify_markdown": prettify_markdown,
                "show_formula_number": show_formula_number,
                "return_markdown_images": return_markdown_images,
                "log_id": log_id,
            },
        )


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = (
    (INFER, InferResult),
    (RESTRUCTURE_PAGES, RestructurePagesResult),
)
