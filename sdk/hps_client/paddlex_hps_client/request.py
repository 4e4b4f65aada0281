"""Requests through a `tritonclient.grpc.InferenceServerClient`, as the old client made them."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional

from hps_client import envelope
from hps_client.call import checked_seconds
from paddlex_hps_client.constants import INPUT_NAME, OUTPUT_NAME

_MICROSECONDS = 1_000_000


def triton_request(
    client: Any,
    model_name: str,
    data: Mapping[str, Any],
    *,
    timeout: Optional[float] = None,
    request_kwargs: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """Send JSON to a model and give the answer's envelope.

    Args:
        client: A `tritonclient.grpc.InferenceServerClient`.
        model_name: Triton's model name.
        data: The request.
        timeout: Seconds, for the client and for the server.
        request_kwargs: Further arguments of `client.infer`; not changed.
    """
    arguments = _arguments(model_name, data, timeout, request_kwargs)
    return _envelope(client.infer(**arguments), model_name)


async def triton_request_async(
    client: Any,
    model_name: str,
    data: Mapping[str, Any],
    *,
    timeout: Optional[float] = None,
    request_kwargs: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """The same through a `tritonclient.grpc.aio.InferenceServerClient`."""
    arguments = _arguments(model_name, data, timeout, request_kwargs)
    return _envelope(await client.infer(**arguments), model_name)


def _arguments(
    model_name: str,
    data: Mapping[str, Any],
    timeout: Optional[float],
    request_kwargs: Optional[Mapping[str, Any]],
) -> Dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - tritonclient needs it, this package does not
    from tritonclient import grpc  # noqa: PLC0415 - an extra

    tensor = grpc.InferInput(INPUT_NAME, [1, 1], "BYTES")
    text = json.dumps(data, separators=(",", ":")).encode("ascii")
    tensor.set_data_from_numpy(np.array([[text]], dtype=np.object_))
    arguments: Dict[str, Any] = {
        "model_name": model_name,
        "inputs": [tensor],
        "outputs": [grpc.InferRequestedOutput(OUTPUT_NAME)],
    }
    seconds = checked_seconds(timeout)
    if seconds is not None:
        arguments["timeout"] = max(1, int(seconds * _MICROSECONDS))
        arguments["client_timeout"] = seconds
    return {**arguments, **(request_kwargs or {})}


def _envelope(answer: Any, model_name: str) -> Dict[str, Any]:
    return envelope.load(bytes(answer.as_numpy(OUTPUT_NAME).reshape(-1)[0]), model_name)
