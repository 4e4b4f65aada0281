"""Pipeline 3d_bev_detection; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple, Type

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.records import Part, Record


@dataclass(frozen=True)
class DetectedObject(Record):
    """`DetectedObject` of the schema."""

    bbox: Tuple[float, float, float, float, float, float, float, float, float]
    category_id: int
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 9)),
        Part("category_id", "categoryId", records.integer),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    detected_objects: List[DetectedObject]

    PARTS = (Part("detected_objects", "detectedObjects", records.items(DetectedObject.from_wire)),)


INFER = Operation(
    "3d_bev_detection",
    "infer",
    "bev-3d-object-detection",
    "Ask the pipeline.",
    (
        Field(
            "tar",
            "tar",
            "file",
            "An archive with one frame: images, points of the lidar and calibration.",
            required=True,
        ),
    ),
    media="tar",
)


class M3dBevDetection(Endpoint):
    """Pipeline `3d_bev_detection`."""

    def infer(
        self,
        tar: FileInput,
        *,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            tar: An archive with one frame: images, points of the lidar and calibration.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "tar": tar,
            },
        )

    __call__ = infer


class AsyncM3dBevDetection(AsyncEndpoint):
    """Pipeline `3d_bev_detection`, for coroutines."""

    async def infer(
        self,
        tar: FileInput,
        *,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `M3dBevDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "tar": tar,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
