"""Pipeline ts_forecast; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Type

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.records import Part, Record


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    csv: OutputFile
    image: Optional[OutputFile] = None

    PARTS = (
        Part("csv", "csv", records.output_file),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "ts_forecast",
    "infer",
    "time-series-forecasting",
    "Ask the pipeline.",
    (
        Field("csv", "csv", "file", "The time series as CSV in UTF-8.", required=True),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="table",
)


class TsForecast(Endpoint):
    """Pipeline `ts_forecast`."""

    def infer(
        self,
        csv: FileInput,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            csv: The time series as CSV in UTF-8.
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
                "csv": csv,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncTsForecast(AsyncEndpoint):
    """Pipeline `ts_forecast`, for coroutines."""

    async def infer(
        self,
        csv: FileInput,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `TsForecast.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "csv": csv,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
