"""Types that several pipelines have; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from hps_client import records
from hps_client.inputs import FileInput
from hps_client.output_file import OutputFile
from hps_client.records import Part, Record


@dataclass(frozen=True)
class Attribute(Record):
    """`Attribute` of the schema."""

    label: str
    score: float

    PARTS = (
        Part("label", "label", records.text),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class Category(Record):
    """`Category` of the schema."""

    id: int
    name: str
    score: float

    PARTS = (
        Part("id", "id", records.integer),
        Part("name", "name", records.text),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class ExportContent(Record):
    """`ExportContent` of the schema."""

    content: OutputFile
    file_name: str

    PARTS = (
        Part("content", "content", records.output_file),
        Part("file_name", "fileName", records.text),
    )


@dataclass(frozen=True)
class DocumentExports(Record):
    """`DocumentExports` of the schema."""

    docx: Optional[ExportContent] = None

    PARTS = (Part("docx", "docx", ExportContent.from_wire, optional=True),)


@dataclass(frozen=True)
class ImageInfo(Record):
    """`ImageInfo` of the schema."""

    height: int
    width: int
    type: str = "image"

    PARTS = (
        Part("height", "height", records.integer),
        Part("width", "width", records.integer),
        Part("type", "type", records.text, optional=True),
    )


@dataclass(frozen=True)
class ImageLabelPair(Record):
    """`ImageLabelPair` of the schema."""

    image: FileInput
    label: str

    PARTS = (
        Part("image", "image", records.output_file),
        Part("label", "label", records.text),
    )


@dataclass(frozen=True)
class Mask(Record):
    """`Mask` of the schema."""

    rle_result: str
    size: Tuple[int, int]

    PARTS = (
        Part("rle_result", "rleResult", records.text),
        Part("size", "size", records.fixed(records.integer, 2)),
    )


@dataclass(frozen=True)
class PDFPageInfo(Record):
    """`PDFPageInfo` of the schema."""

    height: int
    width: int

    PARTS = (
        Part("height", "height", records.integer),
        Part("width", "width", records.integer),
    )


@dataclass(frozen=True)
class PDFInfo(Record):
    """`PDFInfo` of the schema."""

    num_pages: int
    pages: List[PDFPageInfo]
    type: str = "pdf"

    PARTS = (
        Part("num_pages", "numPages", records.integer),
        Part("pages", "pages", records.items(PDFPageInfo.from_wire)),
        Part("type", "type", records.text, optional=True),
    )


@dataclass(frozen=True)
class RecResult(Record):
    """`RecResult` of the schema."""

    label: str
    score: float

    PARTS = (
        Part("label", "label", records.text),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class TIFFInfo(Record):
    """`TIFFInfo` of the schema."""

    num_pages: int
    pages: List[PDFPageInfo]
    type: str = "tiff"

    PARTS = (
        Part("num_pages", "numPages", records.integer),
        Part("pages", "pages", records.items(PDFPageInfo.from_wire)),
        Part("type", "type", records.text, optional=True),
    )


@dataclass(frozen=True)
class TableRecResult(Record):
    """`TableRecResult` of the schema."""

    pruned_result: Dict[str, Any]
    input_image: Optional[OutputFile] = None
    output_images: Optional[Dict[str, OutputFile]] = None

    PARTS = (
        Part("pruned_result", "prunedResult", records.mapping),
        Part("input_image", "inputImage", records.output_file, optional=True),
        Part("output_images", "outputImages", records.values(records.output_file), optional=True),
    )
