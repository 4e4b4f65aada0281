"""Asks a model whether it answers, by an inference and not by a flag.

Triton 2.51 says "ready" of a model whose Python process has died; only a request shows the truth.
The models of a package answer a request of their own kind: the JSON object `{"hps:probe": true}`,
which goes the way of every other request. Other models cannot be asked, since nobody here knows
what they take; of them only the processes are watched.
"""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

PROBE = '{"hps:probe":true}'
# What stands in the envelope of a model that is alive and has no time, or does not know the probe.
_ALIVE = {0, 422, 429, 503, 504}
_LARGEST = 1 << 20


class Answer(Enum):
    """What came back."""

    ALIVE = "answers"
    FAILED = "fails"
    SILENT = "does not answer"
    UNLOADED = "is not loaded"


@dataclass(frozen=True)
class Probed:
    """The answer to one probe.

    Args:
        answer: what came back.
        reason: in words, for the log; empty when all is well.
        busy_for: for how many seconds the model's present inference has been running, if it says.
    """

    answer: Answer
    reason: str = ""
    busy_for: float = 0.0


@dataclass(frozen=True)
class Model:
    """What Triton says of a loaded model.

    Args:
        name: of the model.
        instances: how many Python processes a version of it has; 0 for other backends.
        engine: the model that does its work, when it only hands requests on.
        operation: one that it offers; empty when it does not answer probes.
    """

    name: str
    instances: int = 0
    engine: str = ""
    operation: str = ""


def read_model(name: str, config: Any) -> Model:
    """Read the answer to `GET /v2/models/NAME/config`."""
    config = config if isinstance(config, dict) else {}
    parameters = config.get("parameters") or {}
    groups = config.get("instance_group") or []
    python = config.get("backend") == "python"
    return Model(
        name=name,
        instances=sum(map(_instances, groups)) if python else 0,
        engine=_parameter(parameters, "engine"),
        operation=_parameter(parameters, "operation")
        or _parameter(parameters, "operations").split(",")[0],
    )


def describe(address: str, port: int, name: str, *, timeout: float) -> Model:
    """Ask Triton for the configuration of a model.

    Raises:
        OSError: no answer in time.
        http.client.HTTPException: the answer is no HTTP.
        ValueError: it is no JSON.
    """
    path = f"/v2/models/{quote(name, safe='')}/config"
    _, body = exchange(address, port, "GET", path, timeout=timeout)
    return read_model(name, json.loads(body or b"null"))


def ask(address: str, port: int, model: Model, *, timeout: float) -> Probed:
    """Send the probe to a model and judge what comes back."""
    # An engine of several operations is told which by a parameter, as its doors do.
    document = request(PROBE) | {"parameters": {"operation": model.operation}}
    body = json.dumps(document).encode()
    path = f"/v2/models/{quote(model.name, safe='')}/infer"
    try:
        status, answer = exchange(address, port, "POST", path, body, timeout=timeout)
    except TimeoutError:
        return Probed(Answer.SILENT, f"no answer within {timeout:g} s")
    except (OSError, http.client.HTTPException) as error:
        return Probed(Answer.SILENT, f"{type(error).__name__}: {error}")
    return judge(status, answer)


def request(text: str, identity: str = "") -> "dict[str, Any]":
    """The body of an inference request that carries one text."""
    tensor = {"name": "input", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    return {"id": identity, "inputs": [tensor], "outputs": [{"name": "output"}]}


def judge(status: int, body: bytes) -> Probed:
    """Judge the answer to a probe by its HTTP status and body."""
    try:
        document = json.loads(body)
        if status == http.client.OK:
            return _judge_envelope(json.loads(document["outputs"][0]["data"][0]))
        said = str(document["error"])
    except (ValueError, KeyError, IndexError, TypeError):
        # Not of this package, and it does answer: that is no reason to end it.
        alive = status == http.client.OK
        said = f"HTTP {status} with another body than expected"
        return Probed(Answer.ALIVE if alive else Answer.FAILED, said)
    if status == http.client.SERVICE_UNAVAILABLE:  # a full queue
        return Probed(Answer.ALIVE, said)
    if status in (http.client.BAD_REQUEST, http.client.NOT_FOUND):
        return Probed(Answer.UNLOADED, said)
    return Probed(Answer.FAILED, said)


def _judge_envelope(envelope: Any) -> Probed:
    code = envelope["errorCode"]
    if code not in _ALIVE:
        return Probed(Answer.FAILED, f"error {code}: {envelope.get('errorMsg')}")
    result = envelope.get("result")
    busy = result.get("busyFor") if isinstance(result, dict) else None
    return Probed(Answer.ALIVE, busy_for=float(busy) if isinstance(busy, (int, float)) else 0.0)


class Ready:
    """Whether a server that was started is ready: it says so, and each model answers its probe.

    Args:
        where: the address and port of its HTTP.
        models: what it loads at its start.
        timeout: seconds for each question.
    """

    def __init__(
        self, where: "tuple[str, int]", models: "Sequence[str]", *, timeout: float = 2.0
    ) -> None:
        self._where = where
        self._left = list(models)
        self._timeout = timeout

    def __call__(self) -> bool:
        """Ask those models that have not answered yet."""
        try:
            status, _ = exchange(*self._where, "GET", "/v2/health/ready", timeout=self._timeout)
            while status == http.client.OK and self._left:
                model = describe(*self._where, self._left[0], timeout=self._timeout)
                if model.operation and not self._answers(model):
                    return False
                self._left.pop(0)
        except (OSError, ValueError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def _answers(self, model: Model) -> bool:
        probed = ask(*self._where, model, timeout=self._timeout)
        return probed.answer is Answer.ALIVE


def exchange(
    address: str, port: int, method: str, path: str, body: "bytes | None" = None, *, timeout: float
) -> "tuple[int, bytes]":
    """One request on a connection of its own: an idle one would hold up the server's stop.

    Raises:
        OSError: no connection, or no answer in time.
        http.client.HTTPException: the answer is no HTTP.
    """
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        headers = {"Connection": "close", "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(_LARGEST)
    finally:
        connection.close()


def _instances(group: Any) -> int:
    # One process for each GPU that the group names.
    return int(group.get("count", 1)) * max(1, len(group.get("gpus") or []))


def _parameter(parameters: Any, key: str) -> str:
    value = parameters.get(key)
    return str(value.get("string_value", "")) if isinstance(value, dict) else ""
