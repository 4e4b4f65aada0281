"""What a REST request holds, as the JSON text that an operation takes.

JSON bodies pass as they are. A file can come as it is too: as the whole body with its own
Content-Type, or as the part of a form; it goes into the operation's file field as base64.
"""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hps_server.package import Operation

JSON = "application/json"
FORM = "multipart/form-data"
_UNDECLARED = ("", "application/x-www-form-urlencoded")
# PaddleX tells documents by a number: 0 is a PDF, 1 an image.
_PDF, _IMAGE = 0, 1
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class BodyError(Exception):
    """A body that cannot be taken.

    Args:
        status: of the HTTP answer.
        message: for who asked.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def usable_identity(given: "str | None") -> "str | None":
    """A request id that is safe in logs, headers and names of files; None when it is not."""
    return given if given and _IDENTITY.fullmatch(given) else None


def file_field(operation: Operation) -> "str | None":
    """The one field that holds a file; None when there are several, none or a list."""
    plain = [name for name in operation.files if "[" not in name and "." not in name]
    return plain[0] if len(plain) == len(operation.files) == 1 else None


def checked_json(body: bytes) -> bytes:
    """A JSON body, if it is an object.

    Raises:
        BodyError: 400, it is not.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyError(400, f"the body is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise BodyError(400, "the body is no JSON object")
    return body


def check_type(operation: Operation, content_type: str) -> str:
    """How a body is to be read: `JSON`, `FORM`, or `file` for a file as it is.

    Raises:
        BodyError: 415, the operation takes nothing of this type.
    """
    field = file_field(operation)
    if content_type == JSON or content_type.endswith("+json"):
        return JSON
    if content_type == FORM:
        return FORM
    if field is None or content_type in _UNDECLARED:
        also = "" if field is None else f", {FORM}, or the file with its own type"
        raise BodyError(415, f"the type {content_type or 'of the body'} is not taken; {JSON}{also}")
    return "file"


def from_file(
    operation: Operation, content_type: str, data: bytes, query: "Iterable[tuple[str, str]]"
) -> bytes:
    """A file as the whole body; the other fields stand in the query of the URL."""
    field = file_field(operation)
    if field is None:
        raise BodyError(415, f"the operation takes no single file; send {JSON}")
    fields = {name: value_of(text) for name, text in query}
    return with_file(fields, field, data, kind=_kind(operation, content_type))


def from_form(
    operation: Operation,
    files: "Mapping[str, tuple[str, bytes]]",
    texts: "Iterable[tuple[str, str]]",
) -> bytes:
    """A form: at most one file, by whatever name, and texts.

    Args:
        operation: it is for.
        files: by the name of its part, type and contents.
        texts: names and texts of the other parts.

    Raises:
        BodyError: 400 for several files, 415 for a file where none is taken.
    """
    fields = {name: value_of(text) for name, text in texts}
    if not files:
        return json.dumps(fields).encode()
    if len(files) > 1:
        raise BodyError(400, f"one file, not {len(files)}: {', '.join(sorted(files))}")
    field = file_field(operation)
    if field is None:
        raise BodyError(415, f"the operation takes no single file; send {JSON}")
    ((content_type, data),) = files.values()
    return with_file(fields, field, data, kind=_kind(operation, content_type))


def value_of(text: str) -> Any:
    """A text of a form or a query: what it means as JSON, else itself.

    So `true` and `0.5` are no strings; who means a string that reads as JSON quotes it.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def with_file(
    fields: "dict[str, Any]", field: str, data: bytes, *, kind: "int | None" = None
) -> bytes:
    """The JSON text of some fields and a file; the file is not copied more often than needed."""
    others = {name: value for name, value in fields.items() if name != field}
    if kind is not None:
        others.setdefault("fileType", kind)
    head = json.dumps({field: ""} | others).encode()
    begin = len(json.dumps({field: ""})) - 2  # before the closing quote and brace
    return b"".join((head[:begin], base64.b64encode(data), head[begin:]))


def _kind(operation: Operation, content_type: str) -> "int | None":
    if operation.media != "document":
        return None
    if content_type == "application/pdf":
        return _PDF
    return _IMAGE if content_type.startswith("image/") else None
