"""Pipeline vehicle_attribute_recognition; PaddleX 3.7.2.

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
from hps_client.pipelines.shared import Attribute
from hps_client.records import Part, Record


@dataclass(frozen=True)
class Vehicle(Record):
    """`Vehicle` of the schema."""

    bbox: Tuple[float, float, float, float]
    attributes: List[Attribute]
    score: float

    PARTS = (
        Part("bbox", "bbox", records.fixed(records.number, 4)),
        Part("attributes", "attributes", records.items(Attribute.from_wire)),
        Part("score", "score", records.number),
    )


@dataclass(frozen=True)
class InferResult(Record):
    """`InferResult` of the schema."""

    vehicles: List[Vehicle]
    image: Optional[OutputFile] = None

    PARTS = (
        Part("vehicles", "vehicles", records.items(Vehicle.from_wire)),
        Part("image", "image", records.output_file, optional=True),
    )


INFER = Operation(
    "vehicle_attribute_recognition",
    "infer",
    "vehicle-attribute-recognition",
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
        Field(
            "cls_threshold",
            "clsThreshold",
            "json",
            "Least score of an attribute: one for all, by class number or `default`, or a list.",
        ),
    ),
    media="image",
)


class VehicleAttributeRecognition(Endpoint):
    """Pipeline `vehicle_attribute_recognition`."""

    def infer(
        self,
        image: FileInput,
        *,
        det_threshold: Optional[float] = None,
        visualize: Optional[bool] = None,
        cls_threshold: Optional[Union[float, Mapping[Any, float], Sequence[float]]] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """Ask the pipeline.

        Args:
            image: The image.
            det_threshold: Least score of a detected object.
            visualize: Give images that show the result; the server decides when not given.
            cls_threshold: Least score of an attribute: one for all, by class number or `default`,
                or a list.
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
                "cls_threshold": cls_threshold,
            },
        )

    __call__ = infer


class AsyncVehicleAttributeRecognition(AsyncEndpoint):
    """Pipeline `vehicle_attribute_recognition`, for coroutines."""

    async def infer(
        self,
        image: FileInput,
        *,
        det_threshold: Optional[float] = None,
        visualize: Optional[bool] = None,
        cls_threshold: Optional[Union[float, Mapping[Any, float], Sequence[float]]] = None,
        timeout: Optional[float] = None,
    ) -> InferResult:
        """As `VehicleAttributeRecognition.infer`."""
        return await self._channel.send(
            INFER,
            InferResult,
            timeout,
            {
                "image": image,
                "det_threshold": det_threshold,
                "visualize": visualize,
                "cls_threshold": cls_threshold,
            },
        )

    __call__ = infer


OPERATIONS: Tuple[Tuple[Operation, Type[Record]], ...] = ((INFER, InferResult),)
