"""Pipeline small_object_detection; PaddleX 3.7.2.

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
    "small_object_detection",
    "infer",
    "small-object-detection",
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
    ),
    media="image",
)


class SmallObjectDetection(Endpoint):
    """Pipeline `small_object_detection`."""

    def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[Union[float, Mapping[Any, float]]] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            threshold: Least score of what is kept; one for all, or by class where the pipeline
                allows it.
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
                "threshold": threshold,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncSmallObjectDetection(AsyncEndpoint):
    """Pipeline `small_object_detection`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[Union[float, Mapping[Any, float]]] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `SmallObjectDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "threshold": threshold,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
