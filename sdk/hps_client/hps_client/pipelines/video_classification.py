"""Pipeline video_classification; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple, Type

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.pipelines.shared import Category
from hps_client.records import Part, Record


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    categories: List[Category]

    PARTS = (Part("categories", "categories", records.items(Category.from_wire)),)


INFER = Operation(
    "video_classification",
    "infer",
    "video-classification",
    "Ask the pipeline.",
    (
        Field("video", "video", "file", "The film.", required=True),
        Field("topk", "topk", "int", "Most answers to give."),
    ),
    media="video",
)


class VideoClassification(Endpoint):
    """Pipeline `video_classification`."""

    def infer(
        self,
        video: FileInput,
        *,
        topk: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            video: The film.
            topk: Most answers to give.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "video": video,
                "topk": topk,
            },
        )

    __call__ = infer


class AsyncVideoClassification(AsyncEndpoint):
    """Pipeline `video_classification`, for coroutines."""

    async def infer(
        self,
        video: FileInput,
        *,
        topk: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `VideoClassification.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "video": video,
                "topk": topk,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
