"""Pipeline image_multilabel_classification; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Type, Union

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
    "image_multilabel_classification",
    "infer",
    "multilabel-image-classification",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
        Field(
            "threshold",
            "threshold",
            "json",
            "Least score of what is kept; one for all, or by class where the pipeline allows it.",
        ),
    ),
    media="image",
)


class ImageMultilabelClassification(Endpoint):
    """Pipeline `image_multilabel_classification`."""

    def infer(
        self,
        image: FileInput,
        *,
        visualize: Optional[bool] = None,
        threshold: Optional[Union[float, Mapping[Any, float], Sequence[float]]] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            visualize: Give images that show the result; the server decides when not given.
            threshold: Least score of what is kept; one for all, or by class where the pipeline
                allows it.
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
                "threshold": threshold,
            },
        )

    __call__ = infer


class AsyncImageMultilabelClassification(AsyncEndpoint):
    """Pipeline `image_multilabel_classification`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        visualize: Optional[bool] = None,
        threshold: Optional[Union[float, Mapping[Any, float], Sequence[float]]] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `ImageMultilabelClassification.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "visualize": visualize,
                "threshold": threshold,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
