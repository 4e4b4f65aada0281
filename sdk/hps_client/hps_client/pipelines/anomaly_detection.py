"""Pipeline anomaly_detection; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple, Type

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.records import Part, Record


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    label_map: List[int]
    size: Tuple[int, int]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("label_map", "labelMap", records.items(records.integer)),
        Part("size", "size", records.fixed(records.integer, 2)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "anomaly_detection",
    "infer",
    "anomaly-detection",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="image",
)


class AnomalyDetection(Endpoint):
    """Pipeline `anomaly_detection`."""

    def infer(
        self,
        image: FileInput,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
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
                "image": image,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncAnomalyDetection(AsyncEndpoint):
    """Pipeline `anomaly_detection`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `AnomalyDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
