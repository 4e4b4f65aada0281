"""Pipeline instance_segmentation; PaddleX 3.7.2.

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
from hps_client.pipelines.shared import Mask
from hps_client.records import Part, Record


@dataclass(frozen=True)
class Instance(Record):
    """`Instance` of the schema."""

    bbox: Tuple[float, float, float, float]
    category_id: int
    category_name: str
    score: float
    mask: Mask

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("category_id", "categoryId", records.integer),
        Part("category_name", "categoryName", records.text),
        Part("score", "score", records.number),
        Part("mask", "mask", Mask.from_wire),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    instances: List[Instance]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("instances", "instances", records.items(Instance.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "instance_segmentation",
    "infer",
    "instance-segmentation",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "threshold",
            "threshold",
            "float",
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


class InstanceSegmentation(Endpoint):
    """Pipeline `instance_segmentation`."""

    def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[float] = None,
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


class AsyncInstanceSegmentation(AsyncEndpoint):
    """Pipeline `instance_segmentation`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        threshold: Optional[float] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `InstanceSegmentation.infer`."""
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
