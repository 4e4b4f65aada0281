"""Files in and out, by the names that the old client had."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Union

from hps_client import inputs
from hps_client.output_file import OutputFile


def is_url(text: str) -> bool:
    """Whether it is an http or https URL."""
    return inputs.is_url(text)


def prepare_input_file(file: Union[str, Path], include_header: bool = False) -> str:
    """A URL as it is, a file as base64 or, with a header, as a data URI."""
    if include_header:
        return inputs.data_uri(file)
    return inputs.wire_file(file)


def save_output_file(file: str, path: Union[str, Path], include_header: bool = False) -> None:
    """Write base64, a data URI or what lies at a URL to a file."""
    if include_header and not is_url(file):
        file = file.partition(",")[2]
    content = OutputFile(file).data() if is_url(file) else base64.b64decode(file)
    Path(path).write_bytes(content)
