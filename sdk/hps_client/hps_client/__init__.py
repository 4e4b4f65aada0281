"""Typed client for PaddleX pipelines served by Triton Inference Server.

>>> from hps_client import Client
>>> with Client("localhost:8000") as client:          # doctest: +SKIP
...     result = client.ocr("scan.pdf")
...     result.save("out")
"""

from __future__ import annotations

from hps_client.client import AsyncClient, Client
from hps_client.errors import (
    CallCancelled,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidInput,
    MissingExtra,
    RequestRefused,
    ServerError,
    ServerGaveUp,
    Unavailable,
)
from hps_client.inputs import FileInput, data_uri
from hps_client.output_file import OutputFile

__all__ = [
    "AsyncClient",
    "CallCancelled",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "FileInput",
    "InvalidAnswer",
    "InvalidInput",
    "MissingExtra",
    "OutputFile",
    "RequestRefused",
    "ServerError",
    "ServerGaveUp",
    "Unavailable",
    "data_uri",
]
