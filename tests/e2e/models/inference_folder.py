"""Writes a network as PaddleX reads it: a folder of inference.json, .pdiparams and .yml."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Weights = Mapping[str, Any]  # NumPy arrays by name
Input = tuple[Sequence[int | None], str]  # shape, None where it may vary, and data type


def generator(seed: int) -> Any:
    """NumPy's generator of the weights: the same on every machine."""
    import numpy as np

    return np.random.default_rng(seed)


def write(
    folder: Path,
    forward: Callable[..., Any],
    weights: Weights,
    inputs: Sequence[Input],
    configuration: Mapping[str, Any],
) -> None:
    """Write one model.

    Args:
        folder: Made if it is missing.
        forward: What the network computes: takes the layer, whose attributes are the weights, and
            the inputs.
        weights: By name. Stored as float32.
        inputs: In the order in which PaddleX gives them.
        configuration: The contents of inference.yml.
    """
    import paddle
    import yaml

    layer = type("Network", (paddle.nn.Layer,), {"forward": forward})()
    for name, value in weights.items():
        parameter = layer.create_parameter(
            list(value.shape), default_initializer=paddle.nn.initializer.Assign(value)
        )
        layer.add_parameter(name, parameter)
    layer.eval()
    specification = [
        paddle.static.InputSpec(list(shape), kind, f"x{number}")
        for number, (shape, kind) in enumerate(inputs)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paddle.jit.save(layer, str(folder / "inference"), input_spec=specification)
    text = yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True)
    folder.joinpath("inference.yml").write_text(text, encoding="utf-8")
