"""Pipeline image_classification; PaddleX 3.7.2.

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
from hps_client.pipelines.shared import Category
from hps_client.records import Part, Record


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    categories: List[Category]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("categories", "categories", records.items(Category.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "image_classification",
    "infer",
    "image-classification",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field("topk", "topk", "int", "Most answers to give."),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="image",
)


class ImageClassification(Endpoint):
    """Pipeline `image_classification`."""

    def infer(
        self,
        image: FileInput,
        *,
        topk: Optional[int] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            topk: Most answers to give.
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
                "topk": topk,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncImageClassification(AsyncEndpoint):
    """Pipeline `image_classification`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        topk: Optional[int] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `ImageClassification.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "topk": topk,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
