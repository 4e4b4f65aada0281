"""Pipeline open_vocabulary_detection; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple, Type

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
    category_name: str
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
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
    "open_vocabulary_detection",
    "infer",
    "open-vocabulary-detection",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "prompt",
            "prompt",
            "text",
            "What to find: names, or points and boxes; see the pipeline.",
            required=True,
        ),
        Field("thresholds", "thresholds", "json", "Least scores by name."),
        Field(
            "visualize",
            "visualize",
            "bool",
            "Give images that show the result; the server decides when not given.",
        ),
    ),
    media="image",
)


class OpenVocabularyDetection(Endpoint):
    """Pipeline `open_vocabulary_detection`."""

    def infer(
        self,
        image: FileInput,
        prompt: str,
        *,
        thresholds: Optional[Mapping[Any, float]] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            prompt: What to find: names, or points and boxes; see the pipeline.
            thresholds: Least scores by name.
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
                "prompt": prompt,
                "thresholds": thresholds,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncOpenVocabularyDetection(AsyncEndpoint):
    """Pipeline `open_vocabulary_detection`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        prompt: str,
        *,
        thresholds: Optional[Mapping[Any, float]] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `OpenVocabularyDetection.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "prompt": prompt,
                "thresholds": thresholds,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
