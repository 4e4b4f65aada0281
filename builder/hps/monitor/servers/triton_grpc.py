"""Triton's gRPC service, as far as a monitor needs it: every call with a deadline, errors by code.

The messages are those that tritonclient ships; the calls are made with grpcio itself, because the
client of tritonclient hides the status codes of which the difference between "no" and "nobody
knows" is made. Loads go over gRPC only: over HTTP they stall the requests of others.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from hps.errors import UsageError
from hps.monitor.server import Fault, Probe, ServerError
from hps.monitor.servers.tensors import Tensor, encode
from hps.store.foreign_text import printable

try:
    import grpc
    from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc
except (ImportError, RuntimeError) as _missing:  # the latter: tritonclient without its extra
    raise UsageError(
        "Triton is spoken to with the package tritonclient, which is not installed",
        hint="pip install 'hps[monitor]'",
    ) from _missing

__all__ = ["Connection", "Input", "State", "Version", "model_config_pb2"]

_ANSWER = 10.0  # seconds for what a server knows without work
_LONGEST_REASON = 2000  # characters of what a server says
_LARGEST_ANSWER = 64 << 20  # bytes
# Nobody has such a model: asking to unload it changes nothing, and tells the mode of the server.
_NOBODY = "hps-asks-for-the-mode"
_OTHER_MODE = "not allowed"  # "explicit model load / unload is not allowed if polling is enabled"
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", _LARGEST_ANSWER),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


class State(StrEnum):
    """What Triton says of one version of a model."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Version:
    """One version in Triton's index, and the reason when it is not ready."""

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a model, as the server describes it; -1 in a shape: any."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Connection:
    """The channel to one Triton; usable from several threads, and survives its restarts.

    All calls raise ServerError: UNREACHABLE: nobody answers, or the server is in another mode;
    UNKNOWN: no answer in time; REFUSED: it answers with an error.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all calls."""
        self._channel.close()

    def versions(self, model: str) -> dict[int, Version]:
        """The index of the server, of one model: versions that it loads, serves, or gave up."""
        request = service_pb2.RepositoryIndexRequest()
        answer = self._call("RepositoryIndex", request, _ANSWER)
        return {
            int(one.version): Version(_state(one.state), printable(one.reason, _LONGEST_REASON))
            for one in answer.models
            if one.name == model and one.version not in ("", "-1")
        }

    def load(self, model: str, deadline: float) -> None:
        """Have a model loaded as its folder says; returns when that is done, or failed."""
        self._call(
            "RepositoryModelLoad",
            service_pb2.RepositoryModelLoadRequest(model_name=model),
            deadline,
        )

    def unload(self, model: str, deadline: float) -> None:
        """Have all versions of a model unloaded, each once its requests are done."""
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        self._call("RepositoryModelUnload", request, deadline)

    def check_mode(self) -> None:
        """Raise UNREACHABLE for a server that lets nobody load or unload models."""
        try:
            self.unload(_NOBODY, _ANSWER)
        except ServerError as error:
            if error.fault is not Fault.REFUSED:
                raise

    def is_ready(self, model: str, version: int) -> bool:
        """Whether this very version says that it is ready."""
        request = service_pb2.ModelReadyRequest(name=model, version=str(version))
        try:
            return bool(self._call("ModelReady", request, _ANSWER).ready)
        except ServerError as error:
            if error.fault is Fault.REFUSED:  # it does not know the model
                return False
            raise

    def inputs(self, model: str, version: int) -> tuple[tuple[Input, ...], int]:
        """What a version takes, and its `max_batch_size`: a shape begins with the batch then."""
        request = service_pb2.ModelConfigRequest(name=model, version=str(version))
        config = self._call("ModelConfig", request, _ANSWER).config
        found = tuple(
            Input(
                one.name,
                model_config_pb2.DataType.Name(one.data_type).removeprefix("TYPE_"),
                tuple(one.dims),
            )
            for one in config.input
            if not one.optional
        )
        return found, config.max_batch_size

    def infer(self, model: str, version: int, probe: Probe, deadline: float) -> dict[str, Tensor]:
        """Ask one version; ValueError for data that does not fit its type."""
        inputs = {
            name: (
                str(one["datatype"]),
                one["shape"],
                encode(str(one["datatype"]), _list(one["data"])),
            )
            for name, one in probe.inputs.items()
        }
        return self.infer_raw(model, version, inputs, tuple(probe.outputs), deadline)

    def infer_raw(
        self,
        model: str,
        version: int | None,
        inputs: Mapping[str, tuple[str, Any, bytes]],
        outputs: tuple[str, ...],
        deadline: float,
    ) -> dict[str, Tensor]:
        """Ask one version, or whichever answers, with data type, shape and bytes by name."""
        asked = "" if version is None else str(version)
        request = service_pb2.ModelInferRequest(model_name=model, model_version=asked)
        for name, (datatype, shape, raw) in inputs.items():
            request.inputs.add(name=name, datatype=datatype, shape=shape)
            request.raw_input_contents.append(raw)
        for name in outputs:
            request.outputs.add(name=name)
        answer = self._call("ModelInfer", request, deadline)
        raws = [*answer.raw_output_contents]
        raws += [b""] * (len(answer.outputs) - len(raws))
        return {
            one.name: Tensor(one.datatype, tuple(one.shape), raw)
            for one, raw in zip(answer.outputs, raws, strict=False)
        }

    def _call(self, name: str, request: Any, deadline: float) -> Any:
        with self._faults(name, deadline):
            return getattr(self._stub, name)(request, timeout=max(deadline, 0.001))

    @contextlib.contextmanager
    def _faults(self, name: str, deadline: float) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            said = printable(error.details(), _LONGEST_REASON)
            raise self._fault(name, error.code(), said, deadline) from error
        except ValueError as error:  # the channel was closed
            raise ServerError(Fault.UNREACHABLE, f"{name} of Triton: {error}") from error

    def _fault(self, name: str, code: Any, said: str, deadline: float) -> ServerError:
        where = f"Triton at {self.address}"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServerError(
                Fault.UNKNOWN,
                f"{where} did not answer {name}",
                expected=f"an answer within {deadline:g} s",
                hint="it may be at work still: what it serves is asked for again",
            )
        if _OTHER_MODE in said and "load" in said:
            return ServerError(
                Fault.UNREACHABLE,
                f"{where} lets nobody load models: {said}",
                hint="start it with --model-control-mode=explicit and --load-model for each model "
                "that it should serve from the start; polling may serve half-copied models",
            )
        if code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
            return ServerError(
                Fault.UNREACHABLE,
                f"{where} cannot be reached: {said}",
                hint="is it running, and is this the address of its gRPC service?",
            )
        return ServerError(Fault.REFUSED, f"{where} refused {name}: {said}")


def _state(text: str) -> State:
    return State(text) if text in State.__members__ else State.UNKNOWN


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
