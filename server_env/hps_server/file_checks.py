"""Looks at a file before PaddleX decodes it: what it is, and how much it would unfold to.

Only headers are read: of images by Pillow (which decodes nothing on opening), of TIFF by walking
its directories, of PDF by PDFium's page tree. Each check returns the pixels that PaddleX would
decode, so that a request's files can be bounded together.
"""

import codecs
import contextlib
import importlib
import io
import math
import os
import struct
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, cast

from hps_server.limits import Limits
from hps_server.refused import Refused

# What OpenCV 4.10 decodes; other readers of Pillow start programs or are rarely looked after.
# "JPEG" opens phone cameras' MPO too.
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "WEBP", "TIFF", "JPEG2000", "PPM")
# PaddleX renders a page at this scale, or smaller so that it holds no more than this many pixels.
_RENDER_SCALE_VARIABLE = "PADDLE_PDX_PDF_RENDER_SCALE"
_RENDER_SCALE = 2.0
_RENDER_PIXELS = 178_956_970
_PDF_HEAD = 1024  # PDF 32000-1 annex H: readers accept the header within the first 1024 bytes
_CSV_PIECE = 1 << 20
_MOST_TAGS = 4096  # of one TIFF directory; a few dozen are usual


class Media(Enum):
    """What an operation takes in its file fields; the values are those of the catalogue."""

    IMAGE = "image"
    DOCUMENT = "document"
    VIDEO = "video"
    AUDIO = "audio"
    TABLE = "table"
    TAR = "tar"
    CHAT = "chat"


def invalid(reason: str) -> Refused:
    """The refusal of a file, with the words that servers have always used and the reason."""
    return Refused(f"Input file is invalid: {reason}")


def is_pdf(data: bytes) -> bool:
    """Whether PDFium takes these bytes for a PDF."""
    return b"%PDF-" in data[:_PDF_HEAD]


def check_image(data: bytes, limits: Limits, *, pages: "int | None", animated: bool = False) -> int:
    """Check an image's header and return the pixels that are decoded of it.

    Args:
        data: the file.
        limits: of pixels and of TIFF frames.
        pages: how many TIFF frames PaddleX decodes; None for all.
        animated: GIF and animated WebP are taken too, as Pillow will decode their first frame;
            OpenCV 4.10 decodes neither.

    Raises:
        Refused: it is no image that PaddleX decodes, it is broken, or too large.
    """
    from PIL import Image  # noqa: PLC0415 - tables and tests without images do not pay

    if data[:4] in (b"II\x2b\x00", b"MM\x00\x2b"):
        raise invalid("BigTIFF is not taken")
    frames = _tiff_frames(data, limits) if data[:4] in (b"II\x2a\x00", b"MM\x00\x2a") else 1
    formats = (*IMAGE_FORMATS, "GIF") if animated else IMAGE_FORMATS
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            moving = image.format == "WEBP" and getattr(image, "is_animated", False)
            sizes = [image.size]
            for frame in range(1, min(frames, pages or frames)):
                image.seek(frame)
                sizes.append(image.size)
    except Image.DecompressionBombError:  # Pillow's own limit, twice MAX_IMAGE_PIXELS
        raise invalid(f"an image exceeds the limit of {limits.max_pixels} pixels") from None
    except Exception:  # noqa: BLE001 - Pillow's readers raise of every kind on broken files
        kind = "a PDF, not an image" if is_pdf(data) else "no image that can be read"
        raise invalid(f"it is {kind}") from None
    if moving and not animated:
        raise invalid("an animated WebP is not taken")
    return sum(_bounded(width, height, limits, "an image") for width, height in sizes)


def _tiff_frames(data: bytes, limits: Limits) -> int:
    """Count the image file directories of a TIFF (TIFF 6.0 section 2) up to the limit."""
    order = "<" if data[:2] == b"II" else ">"
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(f"{order}I", data, 4)
        while place and place not in seen:
            seen.add(place)
            if len(seen) > limits.max_pages:
                raise invalid(f"it has more than {limits.max_pages} pages")
            (entries,) = struct.unpack_from(f"{order}H", data, place)
            _check_tags(data, place + 2, entries, order)
            (place,) = struct.unpack_from(f"{order}I", data, place + 2 + 12 * entries)
    except struct.error:
        raise invalid("it is a TIFF that is cut off") from None
    return max(len(seen), 1)


def _check_tags(data: bytes, start: int, entries: int, order: str) -> None:
    """Refuse a directory that names its size twice: readers need not agree which one holds."""
    low, high = (0, 1) if order == "<" else (1, 0)
    end = start + 12 * entries
    tags = zip(data[start + low : end : 12], data[start + high : end : 12], strict=False)
    sizes = [tag for tag in tags if tag in ((0, 1), (1, 1))]  # ImageWidth 256, ImageLength 257
    if entries > _MOST_TAGS or len(sizes) != len(set(sizes)):
        raise invalid("it is a TIFF that is broken")


def check_pdf(data: bytes, limits: Limits, *, pages: "int | None") -> int:
    """Check a PDF's pages and return the pixels that PaddleX renders of it.

    Args:
        data: the file.
        limits: of pages and pixels.
        pages: how many pages PaddleX renders; None for all.

    Raises:
        Refused: it is no PDF, locked, broken, or too large.
    """
    import pypdfium2  # type: ignore[import-untyped]  # noqa: PLC0415 - 50 ms

    if not is_pdf(data):
        raise invalid("it is no PDF")
    with pdfium_lock():
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            locked = "password" in str(error).lower()
            raise invalid("the PDF is locked" if locked else "the PDF is broken") from None
        try:
            count = len(document)
            if not count:
                raise invalid("the PDF is broken")
            if count > limits.max_pages:
                raise invalid(f"it has {count} pages, more than {limits.max_pages}")
            sizes = [document.get_page_size(page) for page in range(min(count, pages or count))]
        except pypdfium2.PdfiumError:
            raise invalid("the PDF is broken") from None
        finally:
            document.close()
    return sum(_page_pixels(width, height, limits) for width, height in sizes)


def _page_pixels(width: float, height: float, limits: Limits) -> int:
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise invalid("the PDF has a page without a size")
    try:
        scale = float(os.environ.get(_RENDER_SCALE_VARIABLE, _RENDER_SCALE))
    except ValueError:
        scale = _RENDER_SCALE
    across, down = math.ceil(width * scale), math.ceil(height * scale)
    if across * down > _RENDER_PIXELS:  # PaddleX makes such a page smaller
        shrink = math.sqrt(_RENDER_PIXELS / (across * down))
        across, down = math.floor(across * shrink), math.floor(down * shrink)
    return _bounded(across, down, limits, "a page")


def _bounded(width: int, height: int, limits: Limits, what: str) -> int:
    if width * height > limits.max_pixels:
        raise invalid(
            f"{what} of {width} x {height} pixels exceeds the limit of {limits.max_pixels} pixels"
        )
    return width * height


def pdfium_lock() -> "AbstractContextManager[Any]":
    """PDFium is not thread-safe: PaddleX's own lock, where PaddleX is."""
    try:
        module = importlib.import_module("paddlex.inference.utils.pdfium_lock")
    except ImportError:
        return contextlib.nullcontext()
    return cast("AbstractContextManager[Any]", module.pdfium_lock)


def check_media(data: bytes, media: Media) -> None:
    """Check that a file is video or audio in a container that PaddleX can name.

    Raises:
        Refused: it is something else.
    """
    import filetype  # type: ignore[import-untyped]  # noqa: PLC0415 - only images have it

    # PaddleX names its temporary file by this library, and fails on what the library cannot name.
    found = filetype.guess(data[:8192])
    kind = found.mime.partition("/")[0] if found is not None else ""
    # Sound also comes in the containers of video.
    if kind not in ({"video"} if media is Media.VIDEO else {"audio", "video"}):
        raise invalid(f"it is no {media.value} in a known container")


def check_table(data: bytes) -> None:
    """Check that a CSV is text.

    Raises:
        Refused: it is empty, not UTF-8, or holds NUL.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CSV_PIECE):
            decoder.decode(data[start : start + _CSV_PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise invalid("the table is not UTF-8") from None
    if not data.strip() or b"\x00" in data:
        raise invalid("the table is empty" if not data.strip() else "the table holds NUL")
