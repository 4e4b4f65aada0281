"""What comes in: every file of a request is fetched, looked at and put back as plain base64.

PaddleX fetches any URL, decodes what it is given, and takes some strings for paths of this
machine. After admission a request holds files only as base64 of checked content, so none of this
happens. Fields that are missing or of the wrong type are left for PaddleX's schema to refuse.
"""

import asyncio
import base64
import binascii
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hps_server.archive import clean_tar
from hps_server.fetching import Fetcher, is_url
from hps_server.file_checks import (
    Media,
    check_image,
    check_media,
    check_pdf,
    check_table,
    invalid,
)
from hps_server.limits import Limits
from hps_server.refused import Refused

__all__ = ["Refused", "admit", "check_bots", "check_identifiers"]

PDF, IMAGE = 0, 1  # fileType of PaddleX's schemas
DECODED_PAGES = 10  # PaddleX's default of max_num_input_imgs
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_BOTS = ("chatBotConfig", "mllmChatBotConfig", "retrieverConfig")
_DATA_URI = re.compile(
    r"data:([a-z0-9!#$&^_.+/-]{0,127})(?:;[^,;]{1,99}){0,9};base64,", re.IGNORECASE
)
_DATA_URI_HEAD = 1400
_UNKNOWN_TYPE = "File type cannot be determined"


@dataclass
class _File:
    """One string of a request that holds a file, and where it is put back."""

    holder: "dict[str, Any] | list[Any]"
    key: "str | int"
    text: str

    def put(self, value: Any) -> None:
        cast("Any", self.holder)[self.key] = value


@dataclass(frozen=True)
class _Rules:
    """How the files of one operation are read."""

    media: Media
    limits: Limits
    pages: "int | None"
    file_type: Any = None


class _Budget:
    """What the files of one request take together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self._pixels = 0

    def take_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limits.max_total_bytes:
            most = self._limits.max_total_bytes
            raise Refused(f"The files of the request exceed {most} bytes together")

    def take_pixels(self, count: int) -> None:
        self._pixels += count
        if self._pixels > self._limits.max_total_pixels:
            most = self._limits.max_total_pixels
            raise Refused(f"The images or pages of the request exceed {most} pixels together")


def check_identifiers(document: "Mapping[str, Any]") -> None:
    """Refuse a logId or indexKey that could be anything but a name: both become parts of paths.

    Raises:
        Refused: it is not 1 to 128 letters, digits, dots, underscores and hyphens.
    """
    for name in ("logId", "indexKey"):
        value = document.get(name)
        if name == "logId" and value == "":  # PaddleX makes one up, as for a missing one
            continue
        if isinstance(value, str) and not _IDENTIFIER.fullmatch(value):
            raise Refused(
                f"{name} must be 1 to 128 letters, digits, '.', '_' or '-', the first not '.'"
            )


async def check_bots(document: "Mapping[str, Any]", fetcher: Fetcher) -> None:
    """Refuse configurations of language models that would lead the server to an inside host.

    Raises:
        Refused: a `base_url` is not a URL that the server may ask.
    """
    for name in _BOTS:
        config = document.get(name)
        url = config.get("base_url") if isinstance(config, dict) else None
        if isinstance(url, str):
            await fetcher.check_address(url, f"{name}.base_url cannot be used")


async def admit(
    document: "dict[str, Any]",
    files: "Sequence[str]",
    media: str,
    limits: Limits,
    fetcher: Fetcher,
    *,
    pages: "int | None" = DECODED_PAGES,
    file_type_of: "Callable[[str], str | None] | None" = None,
) -> "dict[str, Any]":
    """Check every file of a request and put it back as base64; the document itself is changed.

    Args:
        document: the request as JSON gave it.
        files: paths of the fields that hold files: `file`, `imageLabelPairs[].image`, and
            `pages[].markdownImages{}` for all values of an object (left alone when the request
            has no `outputFormats`). For media `chat`, the images of OpenAI's messages are found
            without being named.
        media: what the files may be, see `Media`.
        limits: of sizes, pixels, pages and number.
        fetcher: fetches what is named by URL.
        pages: how many pages or frames of a document PaddleX decodes (`max_num_input_imgs`).
        file_type_of: tells "PDF" from "IMAGE" by a URL; PaddleX's own rule by default.

    Raises:
        Refused: some file is not taken; the message says why.
    """
    if not files and media != Media.CHAT.value:
        return document
    kind = Media(media)
    if kind is Media.CHAT:
        found = list(_chat_images(document))
    else:
        # PaddleX hands such images back as they came, and reads them only to write a document.
        read = [path for path in files if not path.endswith("{}") or document.get("outputFormats")]
        found = [file for path in read for file in _find(document, path.split("."))]
    if len(found) > limits.max_files:
        raise Refused(f"The request holds {len(found)} files, more than {limits.max_files}")
    file_type = None
    if kind is Media.DOCUMENT and found:
        file_type = _file_type(document, found[0].text, file_type_of or _paddlex_rule)
        document["fileType"] = file_type
    rules, budget = _Rules(kind, limits, pages, file_type), _Budget(limits)
    await _together([_admit(file, rules, budget, fetcher) for file in found])
    return document


async def _together(work: "list[Any]") -> None:
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    finally:  # the first refusal ends the others, as does the caller's cancellation
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _admit(file: _File, rules: _Rules, budget: _Budget, fetcher: Fetcher) -> None:
    text = ""
    if is_url(file.text):
        data = await fetcher.fetch(file.text)
    else:
        text = _bare_base64(file.text, rules.limits)
        data = await asyncio.to_thread(_decode, text, rules.limits)
    budget.take_bytes(len(data))
    checked, pixels = await asyncio.to_thread(_check, data, rules)
    budget.take_pixels(pixels)
    if not text or checked is not data:
        text = (await asyncio.to_thread(base64.b64encode, checked)).decode("ascii")
    if rules.media is Media.CHAT:
        text = f"data:{_image_type(checked)};base64,{text}"
    file.put({"url": text} if isinstance(file, _BareImage) else text)


def _check(data: bytes, rules: _Rules) -> "tuple[bytes, int]":
    """The bytes that PaddleX gets, and the pixels that it decodes of them."""
    limits, media = rules.limits, rules.media
    if not data:
        raise invalid("it is empty")
    if media is Media.DOCUMENT:
        check = check_pdf if rules.file_type == PDF else check_image
        return data, check(data, limits, pages=rules.pages)
    if media is Media.TAR:
        return _clean_tar(data, limits)
    if media is Media.TABLE:
        check_table(data)
        return data, 0
    if media in (Media.IMAGE, Media.CHAT):
        return data, check_image(data, limits, pages=1, animated=media is Media.CHAT)
    check_media(data, media)
    return data, 0


def _clean_tar(data: bytes, limits: Limits) -> "tuple[bytes, int]":
    pixels = 0

    def look(name: str, content: bytes) -> None:
        nonlocal pixels
        if not name.endswith((".bin", ".pkl")):  # point clouds and annotations
            pixels = max(pixels, check_image(content, limits, pages=1))

    return clean_tar(data, limits, look), pixels


def _bare_base64(text: str, limits: Limits) -> str:
    """The base64 of a string that may be a data URI (RFC 2397) or broken into lines."""
    if text[:5].lower() == "data:":
        head = _DATA_URI.match(text[:_DATA_URI_HEAD])
        if head is None:
            raise invalid("it is a data URI without base64")
        text = text[head.end() :]
    # Four signs are three bytes; line ends of old encoders are a few percent.
    if len(text) > limits.max_file_bytes * 4 // 3 * 1.1 + 8:
        raise invalid(f"it is larger than {limits.max_file_bytes} bytes")
    return "".join(text.split()) if any(sign in text for sign in " \t\r\n") else text


def _decode(text: str, limits: Limits) -> bytes:
    """The bytes of base64 (RFC 4648 section 4), nothing else among it."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("it is neither a URL nor base64") from None
    if len(data) > limits.max_file_bytes:
        raise invalid(f"it is larger than {limits.max_file_bytes} bytes")
    return data


def _file_type(
    document: "dict[str, Any]", text: str, file_type_of: "Callable[[str], str | None]"
) -> int:
    """The fileType of a document as PaddleX would see it, while the URL is still there."""
    given = document.get("fileType")
    if given is not None:
        if given not in (PDF, IMAGE):
            raise Refused("fileType must be 0 (PDF) or 1 (image)")
        return int(given)
    if is_url(text):
        types = {"PDF": PDF, "IMAGE": IMAGE}
        found = file_type_of(text) or ""
        if found not in types:
            raise Refused("Unsupported file type")
        return types[found]
    head = _DATA_URI.match(text[:_DATA_URI_HEAD])
    media_type = head.group(1).lower() if head else ""
    if media_type != "application/pdf" and not media_type.startswith("image/"):
        raise Refused(_UNKNOWN_TYPE)
    return PDF if media_type == "application/pdf" else IMAGE


def _paddlex_rule(url: str) -> "str | None":
    module = importlib.import_module("paddlex.inference.serving.infra.utils")
    try:
        return cast("str | None", module.infer_file_type(url))
    except ValueError:  # urlparse of Python on a broken host
        return None


def _find(value: Any, parts: "list[str]") -> "Iterator[_File]":
    """The strings at a path; what is not shaped as the path says is the schema's to refuse."""
    name, rest = parts[0], parts[1:]
    bare = name.removesuffix("[]").removesuffix("{}")
    if not isinstance(value, dict) or bare not in value:
        return
    holder: Any = value
    keys: list[Any] = [bare]
    if bare != name:
        holder = value[bare]
        if name.endswith("[]") and isinstance(holder, list):
            keys = list(range(len(holder)))
        elif name.endswith("{}") and isinstance(holder, dict):
            keys = list(holder)
        else:
            return
    for key in keys:
        if rest:
            yield from _find(holder[key], rest)
        elif isinstance(holder[key], str):
            yield _File(holder, key, holder[key])


class _BareImage(_File):
    """An image_url that is a bare string, where the schema takes a URL only: an object is put."""


def _chat_images(document: "dict[str, Any]") -> "Iterator[_File]":
    """The images of OpenAI's messages, in whatever part they are given.

    Raises:
        Refused: there are messages, and none of the user's holds an image: PaddleX needs one.
    """
    messages = document.get("messages")
    count = 0
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            image = part.get("image_url") if isinstance(part, dict) else None
            if isinstance(image, str):
                yield _BareImage(part, "image_url", image)
            elif isinstance(image, dict) and isinstance(image.get("url"), str):
                yield _File(image, "url", image["url"])
            else:
                continue
            count += message.get("role") == "user"
    if isinstance(messages, list) and not count:
        raise Refused("The messages of the user hold no image")


def _image_type(data: bytes) -> str:
    """The media type of an image that was checked; PaddleX only asks that it begins with image/."""
    heads = {b"\x89PNG": "png", b"GIF8": "gif", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}
    for head, name in heads.items():
        if data.startswith(head):
            return f"image/{name}"
    return "image/tiff" if data[:2] in (b"II", b"MM") else "image/bmp"
