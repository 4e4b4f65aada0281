"""Pipeline PP-ShiTuV2; PaddleX 3.7.2.

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
from hps_client.pipelines.shared import ImageLabelPair, RecResult
from hps_client.records import Part, Record


@dataclass(frozen=True)
class DetectedObject(Record):
    """`DetectedObject` of the schema."""

    bbox: Tuple[float, float, float, float]
    rec_results: List[RecResult]
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("rec_results", "recResults", records.items(RecResult.from_wire)),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class BuildIndexResult(Record):
    """`BuildIndexResult` of the schema."""

    index_key: str
    image_count: int

    PARTS = (
        Part("index_key", "indexKey", records.text),
        Part("image_count", "imageCount", records.integer),
    )


@dataclass(frozen=True)
class AddImagesToIndexResult(Record):
    """`AddImagesToIndexResult` of the schema."""

    image_count: int

    PARTS = (Part("image_count", "imageCount", records.integer),)


@dataclass(frozen=True)
class RemoveImagesFromIndexResult(Record):
    """`RemoveImagesFromIndexResult` of the schema."""

    image_count: int

    PARTS = (Part("image_count", "imageCount", records.integer),)


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    detected_objects: List[DetectedObject]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("detected_objects", "detectedObjects", records.items(DetectedObject.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


BUILD_INDEX = Operation(
    "PP-ShiTuV2",
    "build_index",
    "shitu-index-build",
    "Make an index of labelled images.",
    (
        Field(
            "image_label_pairs",
            "imageLabelPairs",
            "json",
            "Images and their labels; `image` is a file as everywhere.",
            required=True,
        ),
    ),
    nested_files=(("imageLabelPairs", "image"),),
    media="image",
    repeatable=False,
)

ADD_IMAGES_TO_INDEX = Operation(
    "PP-ShiTuV2",
    "add_images_to_index",
    "shitu-index-add",
    "Put labelled images into an index.",
    (
        Field(
            "image_label_pairs",
            "imageLabelPairs",
            "json",
            "Images and their labels; `image` is a file as everywhere.",
            required=True,
        ),
        Field(
            "index_key", "indexKey", "text", "The index, as its building answered.", required=True
        ),
    ),
    nested_files=(("imageLabelPairs", "image"),),
    media="image",
    repeatable=False,
)

REMOVE_IMAGES_FROM_INDEX = Operation(
    "PP-ShiTuV2",
    "remove_images_from_index",
    "shitu-index-remove",
    "Take images out of an index.",
    (
        Field(
            "ids", "ids", "json", "Numbers of the images to take out of the index.", required=True
        ),
        Field(
            "index_key", "indexKey", "text", "The index, as its building answered.", required=True
        ),
    ),
    repeatable=False,
)

INFER = Operation(
    "PP-ShiTuV2",
    "infer",
    "shitu-infer",
    "Ask the pipeline.",
    (
        Field("image", "image", "file", "The image.", required=True),
        Field("index_key", "indexKey", "text", "The index, as its building answered."),
        Field("det_threshold", "detThreshold", "float", "Least score of a detected object."),
        Field("rec_threshold", "recThreshold", "float", "Least similarity of a match."),
        Field(
            "hamming_radius",
            "hammingRadius",
            "float",
            "Greatest Hamming distance of a match; for binary indexes.",
        ),
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


class PPShiTuV2(Endpoint):
    """Pipeline `PP-ShiTuV2`."""

    def build_index(
        self,
        image_label_pairs: Sequence[Union[ImageLabelPair, Mapping[str, Any]]],
        *,
        timeout: Optional[float] = None,
    ) -> BuildIndexResult:
        """Make an index of labelled images.

        Args:
            image_label_pairs: Images and their labels; `image` is a file as everywhere.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            BUILD_INDEX,
            BuildIndexResult,
            timeout,
            {
                "image_label_pairs": image_label_pairs,
            },
        )

    def add_images_to_index(
        self,
        image_label_pairs: Sequence[Union[ImageLabelPair, Mapping[str, Any]]],
        index_key: str,
        *,
        timeout: Optional[float] = None,
    ) -> AddImagesToIndexResult:
        """Put labelled images into an index.

        Args:
            image_label_pairs: Images and their labels; `image` is a file as everywhere.
            index_key: The index, as its building answered.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            ADD_IMAGES_TO_INDEX,
            AddImagesToIndexResult,
            timeout,
            {
                "image_label_pairs": image_label_pairs,
                "index_key": index_key,
            },
        )

    def remove_images_from_index(
        self,
        ids: Sequence[int],
        index_key: str,
        *,
        timeout: Optional[float] = None,
    ) -> RemoveImagesFromIndexResult:
        """Take images out of an index.

        Args:
            ids: Numbers of the images to take out of the index.
            index_key: The index, as its building answered.
            timeout: Seconds in all; the client's when not given.

        Raises:
            ClientError: see `hps_client.errors`.
        """
        return self._channel.send(
            REMOVE_IMAGES_FROM_INDEX,
            RemoveImagesFromIndexResult,
            timeout,
            {
                "ids": ids,
                "index_key": index_key,
            },
        )

    def infer(
        self,
        image: FileInput,
        *,
        index_key: Optional[str] = None,
        det_threshold: Optional[float] = None,
        rec_threshold: Optional[float] = None,
        hamming_radius: Optional[float] = None,
        topk: Optional[int] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            index_key: The index, as its building answered.
            det_threshold: Least score of a detected object.
            rec_threshold: Least similarity of a match.
            hamming_radius: Greatest Hamming distance of a match; for binary indexes.
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
                "index_key": index_key,
                "det_threshold": det_threshold,
                "rec_threshold": rec_threshold,
                "hamming_radius": hamming_radius,
                "topk": topk,
                "visualize": visualize,
            },
        )

    __call__ = infer


class AsyncPPShiTuV2(AsyncEndpoint):
    """Pipeline `PP-ShiTuV2`, for coroutines."""

    async def build_index(
        self,
        image_label_pairs: Sequence[Union[ImageLabelPair, Mapping[str, Any]]],
        *,
        timeout: Optional[float] = None,
    ) -> BuildIndexResult:
        """As `PPShiTuV2.build_index`."""
        return await self._channel.send(
            BUILD_INDEX,
            BuildIndexResult,
            timeout,
            {
                "image_label_pairs": image_label_pairs,
            },
        )

    async def add_images_to_index(
        self,
        image_label_pairs: Sequence[Union[ImageLabelPair, Mapping[str, Any]]],
        index_key: str,
        *,
        timeout: Optional[float] = None,
    ) -> AddImagesToIndexResult:
        """As `PPShiTuV2.add_images_to_index`."""
        return await self._channel.send(
            ADD_IMAGES_TO_INDEX,
            AddImagesToIndexResult,
            timeout,
            {
                "image_label_pairs": image_label_pairs,
                "index_key": index_key,
            },
        )

    async def remove_images_from_index(
        self,
        ids: Sequence[int],
        index_key: str,
        *,
        timeout: Optional[float] = None,
    ) -> RemoveImagesFromIndexResult:
        """As `PPShiTuV2.remove_images_from_index`."""
        return await self._channel.send(
            REMOVE_IMAGES_FROM_INDEX,
            RemoveImagesFromIndexResult,
            timeout,
            {
                "ids": ids,
                "index_key": index_key,
            },
        )

    async def infer(
        self,
        image: FileInput,
        *,
        index_key: Optional[str] = None,
        det_threshold: Optional[float] = None,
        rec_threshold: Optional[float] = None,
        hamming_radius: Optional[float] = None,
        topk: Optional[int] = None,
        visualize: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `PPShiTuV2.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "index_key": index_key,
                "det_threshold": det_threshold,
                "rec_threshold": rec_threshold,
                "hamming_radius": hamming_radius,
                "topk": topk,
                "visualize": visualize,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = (
    (BUILD_INDEX, BuildIndexResult),
    (ADD_IMAGES_TO_INDEX, AddImagesToIndexResult),
    (REMOVE_IMAGES_FROM_INDEX, RemoveImagesFromIndexResult),
    (INFER, InferResult),
)
