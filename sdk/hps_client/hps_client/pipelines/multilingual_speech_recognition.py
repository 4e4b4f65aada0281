"""Pipeline multilingual_speech_recognition; PaddleX 3.7.2.

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
class Segment(Record):
    """`Segment` of the schema."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: List[int]
    temperature: float
    avg_log_prob: float
    compression_ratio: float
    no_speech_prob: float

    PARTS = (
        Part("id", "id", records.integer),
        Part("seek", "seek", records.integer),
        Part("start", "start", records.number),
        Part("end", "end", records.number),
        Part("text", "text", records.text),
        Part("tokens", "tokens", records.items(records.integer)),
        Part("temperature", "temperature", records.number),
        Part("avg_log_prob", "avgLogProb", records.number),
        Part("compression_ratio", "compressionRatio", records.number),
        Part("no_speech_prob", "noSpeechProb", records.number),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    text: str
    segments: List[Segment]
    language: str

    PARTS = (
        Part("text", "text", records.text),
        Part("segments", "segments", records.items(Segment.from_wire)),
        Part("language", "language", records.text),
    )


INFER = Operation(
    "multilingual_speech_recognition",
    "infer",
    "multilingual-speech-recognition",
    "Ask the pipeline.",
    (Field("audio", "audio", "file", "The recording.", required=True),),
    media="audio",
)


class MultilingualSpeechRecognition(Endpoint):
    """Pipeline `multilingual_speech_recognition`."""

    def infer(
        self,
        audio: FileInput,
        *,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            audio: The recording.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "audio": audio,
            },
        )

    __call__ = infer


class AsyncMultilingualSpeechRecognition(AsyncEndpoint):
    """Pipeline `multilingual_speech_recognition`, for coroutines."""

    async def infer(
        self,
        audio: FileInput,
        *,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `MultilingualSpeechRecognition.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "audio": audio,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
