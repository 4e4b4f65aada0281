"""Pipeline human_keypoint_detection; PaddleX 3.7.2.

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
class Person(Record):
    """`Person` of the schema."""

    bbox: Tuple[float, float, float, float]
    kpts: List[Tuple[float, float, float]]
    det_score: float
    kpt_score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("kpts", "kpts", records.items(records.fixed(records.number, 3))),
        Part("det_score", "detScore", records.number),
        Part("kpt_score", "kptScore", records.number),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    persons: List[Person]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("persons", "persons", records.items(Person.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "human_keypoint_detection",
    "infer",
    "human-keypoint-detection",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field("det_threshold", "detThreshold", "float", "Least score of a detected object."),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="image",
)


class HumanKeypointDetection(Endpoint):
    """Pipeline `human_keypoint_detection`."""

    def infer(
        self,
        image: FileInput,
        *,
        det_threshold: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            det_threshold: Least score of a detected object.
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
                "det_threshold": det_threshold,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncHumanKeypointDetection(AsyncEndpoint):
    """Pipeline `human_keypoint_detection`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        det_threshold: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `HumanKeypointDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "det_threshold": det_threshold,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
