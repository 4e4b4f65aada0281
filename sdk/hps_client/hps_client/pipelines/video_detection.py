"""Pipeline video_detection; PaddleX 3.7.2.

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

    bbox: Tuple[float, float, float, float]
    category_name: str
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("category_name", "categoryName", records.text),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class Frame(Record):
    """`Frame` of the schema."""

    index: int
    detected_objects: List[DetectedObject]

    PARTS = (
        Part("index", "index", records.integer),
        Part("detected_objects", "detectedObjects", records.items(DetectedObject.from_wire)),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    frames: List[Frame]

    PARTS = (Part("frames", "frames", records.items(Frame.from_wire)),)


INFER = Operation(
    "video_detection",
    "infer",
    "video-detection",
    "Ask the pipeline.",
    (
        Field("video", "video", "file", "The film.", required=True),
        Field("nms_thresh", "nmsThresh", "float", "Overlap from which two boxes count as one."),
        Field("score_thresh", "scoreThresh", "float", "Least score of an action."),
    ),
    media="video",
)


class VideoDetection(Endpoint):
    """Pipeline `video_detection`."""

    def infer(
        self,
        video: FileInput,
        *,
        nms_thresh: Optional[float] = None,
        score_thresh: Optional[float] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            video: The film.
            nms_thresh: Overlap from which two boxes count as one.
            score_thresh: Least score of an action.
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
                "nms_thresh": nms_thresh,
                "score_thresh": score_thresh,
            },
        )

    __call__ = infer


class AsyncVideoDetection(AsyncEndpoint):
    """Pipeline `video_detection`, for coroutines."""

    async def infer(
        self,
        video: FileInput,
        *,
        nms_thresh: Optional[float] = None,
        score_thresh: Optional[float] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `VideoDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "video": video,
                "nms_thresh": nms_thresh,
                "score_thresh": score_thresh,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
