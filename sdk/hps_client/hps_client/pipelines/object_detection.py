"""Pipeline object_detection; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple, Type, Union

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.records import Part, Record


@dataclass(frozen=True)
class DetectedObject(Record):
    """`DetectedObject` of the schema."""

    bbox: Tuple[float, float, float, float]
    category_id: int
    category_name: str
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("category_id", "categoryId", records.integer),
        Part("category_name", "categoryName", records.text),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    detected_objects: List[DetectedObject]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("detected_objects", "detectedObjects", records.items(DetectedObject.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "object_detection",
    "infer",
    "object-detection",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "threshold",
            "threshold",
            "json",
            "Least score of what is kept; one for all, or by class where the pipeline allows it.",
        ),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
        Field(
            "log_id",
            "logId",
            "text",
            "Name of this request in the server's log; made by the server when not given.",
        ),
    ),
    media="image",
)


class ObjectDetection(Endpoint):
    """Pipeline `object_detection`."""

    def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[Union[float, Mapping[Any, float]]] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            threshold: Least score of what is kept; one for all, or by class where the pipeline
                allows it.
            visualize: Give images that show the result; the server decides when not given.
            log_id: Name of this request in the server's log; made by the server when not given.
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
                "threshold": threshold,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


class AsyncObjectDetection(AsyncEndpoint):
    """Pipeline `object_detection`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[Union[float, Mapping[Any, float]]] = None,
        visualize: Optional[bool] = None,
        log_id: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `ObjectDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "threshold": threshold,
                "visualize": visualize,
                "log_id": log_id,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
