"""Pipeline open_vocabulary_segmentation; PaddleX 3.7.2.

Written by generate.py: do not edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Type

from hps_client import records
from hps_client.endpoint import AsyncEndpoint, Endpoint
from hps_client.inputs import FileInput
from hps_client.operation import Field, Operation
from hps_client.output_file import OutputFile
from hps_client.pipelines.shared import Mask
from hps_client.records import Part, Record


@dataclass(frozen=True)
class MaskInfo(Record):
    """`MaskInfo` of the schema."""

    label: str
    prompt: List[float]

    PARTS = (
        Part("label", "label", records.text),
        Part("prompt", "prompt", records.items(records.number)),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    masks: List[Mask]
    mask_infos: List[MaskInfo]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("masks", "masks", records.items(Mask.from_wire)),
        Part("mask_infos", "maskInfos", records.items(MaskInfo.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "open_vocabulary_segmentation",
    "infer",
    "open-vocabulary-segmentation",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field(
            "prompt",
            "prompt",
            "json",
            "What to find: names, or points and boxes; see the pipeline.",
            required=True,
        ),
        Field(
            "prompt_type",
            "promptType",
            "text",
            "What the prompt holds: box or point.",
            required=True,
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


class OpenVocabularySegmentation(Endpoint):
    """Pipeline `open_vocabulary_segmentation`."""

    def infer(
        self,
        image: FileInput,
        prompt: Sequence[Sequence[float]],
        prompt_type: str,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            prompt: What to find: names, or points and boxes; see the pipeline.
            prompt_type: What the prompt holds: box or point.
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
                "prompt_type": prompt_type,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncOpenVocabularySegmentation(AsyncEndpoint):
    """Pipeline `open_vocabulary_segmentation`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        prompt: Sequence[Sequence[float]],
        prompt_type: str,
        *,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `OpenVocabularySegmentation.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "prompt": prompt,
                "prompt_type": prompt_type,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
