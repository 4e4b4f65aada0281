"""One operation of a pipeline, as data: which model answers it and what its request holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

from hps_client.errors import InvalidInput
from hps_client.inputs import file_type_of, wire_file, wire_value

FILE_TYPE = "fileType"


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Attributes:
        name: Python's name, snake_case.
        wire: The name on the wire.
        kind: How a command line reads it: file, bool, int, float, text, choice, json.
        doc: What it does.
        required: Whether a request without it is refused.
        choices: The values it may have, for kind `choice`.
    """

    name: str
    wire: str
    kind: str
    doc: str
    required: bool = False
    choices: Tuple[Any, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        pipeline: PaddleX's name of the pipeline.
        name: Python's name of the operation.
        model: Triton's model name.
        doc: What it does.
        fields: Of the request, in the schema's order.
        nested_files: Fields inside lists that hold files, as (wire name of the list, key).
        media: What its files may be: document, image, video, audio, table, tar; empty for none.
        repeatable: Asking twice changes nothing on the server and costs nothing but time, so a
            broken connection may be tried again.
    """

    pipeline: str
    name: str
    model: str
    doc: str
    fields: Tuple[Field, ...]
    nested_files: Tuple[Tuple[str, str], ...] = ()
    media: str = ""
    repeatable: bool = True

    def request(self, values: Mapping[str, Any]) -> Dict[str, Any]:
        """The request's JSON object; values that are None are left out.

        Raises:
            InvalidInput: a file cannot be read, or a value has no form in JSON.
        """
        request: Dict[str, Any] = {}
        guessed = None
        for field in self.fields:
            value = values.get(field.name)
            if value is None and field.required:
                raise InvalidInput(f"{self.pipeline} needs {field.name}, it is None", "")
            if value is None:
                continue
            if field.kind == "file":
                request[field.wire] = wire_file(value)
                guessed = file_type_of(request[field.wire])
            else:
                request[field.wire] = self._plain(field, value)
        # Servers that see base64 without a type refuse it: they have no file name to guess from.
        wants_type = any(field.wire == FILE_TYPE for field in self.fields)
        if wants_type and FILE_TYPE not in request and guessed is not None:
            request[FILE_TYPE] = guessed
        return request

    def _plain(self, field: Field, value: Any) -> Any:
        plain = wire_value(value, field.name)
        for wire, key in self.nested_files:
            if wire == field.wire:
                return [_with_file(item, key, field.name) for item in plain]
        return plain


def _with_file(item: Any, key: str, name: str) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise InvalidInput(f"an item of {name} has no {key!r}: {type(item).__name__}", "")
    return {**item, key: wire_file(item[key])}
