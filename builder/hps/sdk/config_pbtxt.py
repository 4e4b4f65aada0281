"""config.pbtxt of the models of a package, made from the catalogue.

Triton's model configuration (model_config.proto). Every model takes and gives one text, JSON, and
runs in the Python backend; an execute() gets up to eight requests at a time and answers each for
itself.
"""

import json

from hps.sdk.catalogue import Device, Operation, Pipeline

MOST_REQUESTS = 8  # `max_batch_size`: requests of the shape [1,1] that old clients send stay right

_TEMPLATE = """\
name: {name}
backend: "python"
max_batch_size: {most}
input [ {{ name: "input" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {{ name: "output" data_type: TYPE_STRING dims: [ 1 ] }} ]
instance_group [ {{ {group} }} ]
"""
_PARAMETER = "parameters {{ key: {key} value: {{ string_value: {value} }} }}\n"


def configurations(pipeline: Pipeline, device: Device) -> dict[str, str]:
    """The text of config.pbtxt for each model of a pipeline, by name.

    One operation is one model. Several are one model that holds the pipeline, the engine, and a
    door for each: a door holds nothing, so it needs no device.
    """
    if len(pipeline.operations) == 1:
        (only,) = pipeline.operations
        return {only.model: _text(only.model, device, {"operation": only.id})}
    made = {one.model: _door(pipeline, one) for one in pipeline.operations}
    names = ",".join(one.id for one in pipeline.operations)
    made[pipeline.engine] = _text(pipeline.engine, device, {"operations": names})
    return made


def _door(pipeline: Pipeline, operation: Operation) -> str:
    parameters = {"engine": pipeline.engine, "operation": operation.id}
    return _text(operation.model, "cpu", parameters)


def _text(model: str, device: Device, parameters: dict[str, str]) -> str:
    kind = "KIND_GPU gpus: [ 0 ]" if device == "gpu" else "KIND_CPU"
    head = _TEMPLATE.format(name=_quoted(model), most=MOST_REQUESTS, group=f"count: 1 kind: {kind}")
    return head + "".join(
        _PARAMETER.format(key=_quoted(key), value=_quoted(parameters[key]))
        for key in sorted(parameters)
    )


def _quoted(text: str) -> str:
    """A string of the text format; the catalogue lets nothing in that JSON writes otherwise."""
    return json.dumps(text)
