"""KServe v2 over gRPC, by the messages and stubs of `tritonclient` (the extra `grpc`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any, List, Optional, Tuple

from hps_client import kserve
from hps_client.call import Call
from hps_client.errors import (
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    InvalidInput,
    MissingExtra,
    RequestRefused,
    Unavailable,
)
from hps_client.transport import Settings

_MODULES = ("grpc", "tritonclient.grpc.service_pb2", "tritonclient.grpc.service_pb2_grpc")
_HTTP_OF = {  # what the same refusal would be over HTTP; grpc/doc/statuscodes.md
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
_NEVER_SENT = ("failed to connect", "name resolution", "DNS resolution", "connection refused")
_BROKEN = ("connection reset", "socket closed", "stream removed", "goaway", "broken pipe")


class GrpcTransport:
    """One HTTP/2 channel for all threads.

    Raises:
        MissingExtra: tritonclient is not installed.
        InvalidInput: a file of certificates cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._grpc, self._messages, stubs = _modules()
        self._channel = self._open()
        self._stub = stubs.GRPCInferenceServiceStub(self._channel)
        self._metadata = [(name.lower(), value) for name, value in settings.headers.items()]

    def infer(self, model: str, payload: bytes, call: Call, *, fresh: bool = False) -> bytes:  # noqa: ARG002
        """As the port says; gRPC itself sees to closed connections before it sends."""
        tensor = kserve.length(payload) + payload
        request = self._messages.ModelInferRequest(
            model_name=model,
            id=call.request_id,
            inputs=[{"name": kserve.INPUT, "datatype": "BYTES", "shape": [1, 1]}],
            outputs=[{"name": kserve.OUTPUT}],
            raw_input_contents=[tensor],
        )
        limit = call.microseconds()
        if limit is not None:
            request.parameters["timeout"].int64_param = limit
        answer = self._ask(self._stub.ModelInfer, request, call, model)
        return _output(answer)

    def ready(self, model: Optional[str], call: Call) -> bool:
        """As the port says."""
        if model is None:
            request = self._messages.ServerReadyRequest()
            return bool(self._ask(self._stub.ServerReady, request, call, "").ready)
        request = self._messages.ModelReadyRequest(name=model)
        try:
            return bool(self._ask(self._stub.ModelReady, request, call, model).ready)
        except RequestRefused:
            return False

    def close(self) -> None:
        """As the port says."""
        self._channel.close()

    def _open(self) -> Any:
        most = self._settings.max_answer_bytes
        options: List[Tuple[str, Any]] = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", min(most, 2**31 - 1)),
            ("grpc.enable_retries", 0),  # retry.py decides, it knows what may be repeated
            ("grpc.enable_http_proxy", 0),  # HTTP does not use one either
            ("grpc.use_local_subchannel_pool", 1),  # a new Client makes its own connection
            ("grpc.initial_reconnect_backoff_ms", 100),
        ]
        target = self._settings.address.authority
        if not self._settings.address.tls:
            return self._grpc.insecure_channel(target, options=options)
        try:
            files = (self._settings.ca_file, self._settings.key_file, self._settings.cert_file)
            authority, key, certificate = (_content(name) for name in files)
        except OSError as error:
            raise InvalidInput(f"the certificates cannot be read: {error}", "") from error
        credentials = self._grpc.ssl_channel_credentials(authority, key, certificate)
        return self._grpc.secure_channel(target, credentials, options=options)

    def _ask(self, method: Any, request: Any, call: Call, model: str) -> Any:
        try:
            future = method.future(
                request, timeout=call.remaining(), metadata=self._metadata, wait_for_ready=False
            )
        except ValueError as error:
            raise ConnectionFailed(f"the client is closed: {error}", "make a new Client") from error
        try:
            call.attach(future.cancel)
            return future.result()
        except self._grpc.FutureCancelledError as error:
            call.remaining()
            raise ConnectionFailed("the call was cancelled by gRPC", "", sent=True) from error
        except self._grpc.RpcError as error:
            raise self._failure(error, call, model) from error
        finally:
            call.attach(None)

    def _failure(self, error: Any, call: Call, model: str) -> ClientError:
        code, said = error.code().name, error.details() or ""
        if code == "DEADLINE_EXCEEDED":
            return call.exceeded()
        call.remaining()
        where = self._settings.address
        lower = said.lower()
        if code == "UNAVAILABLE" and any(sign.lower() in lower for sign in _NEVER_SENT):
            hint = "is the server running, and is it the gRPC port (8001)?"
            return ConnectionFailed(f"no connection to {where}: {said}", hint)
        if code == "UNAVAILABLE" and any(sign in lower for sign in _BROKEN):
            hint = "did the server stop, or something between close the connection?"
            return ConnectionFailed(f"the connection to {where} broke: {said}", hint, sent=True)
        message = f"gRPC {code} for model {model}: {said}"
        if code == "RESOURCE_EXHAUSTED" and "larger than max" in lower:
            return InvalidAnswer(message, "raise max_answer_bytes=, or use HTTP")
        status = _HTTP_OF.get(code, 500)
        if status in (429, 503):
            hint = "the server is overloaded or not ready: try later, or send less at once"
            return Unavailable(message, hint, model=model, status=status)
        return RequestRefused(message, "see the server's log", model=model, status=status)


def _output(answer: Any) -> bytes:
    names = [tensor.name for tensor in answer.outputs]
    if names != [kserve.OUTPUT]:
        raise InvalidAnswer(f"the answer has the tensors {names}, not {kserve.OUTPUT!r}", "")
    if len(answer.raw_output_contents) == 1:
        return kserve.element(answer.raw_output_contents[0])
    contents = answer.outputs[0].contents.bytes_contents
    if len(contents) != 1:
        raise InvalidAnswer(f"tensor {kserve.OUTPUT!r} has {len(contents)} elements, not one", "")
    return bytes(contents[0])


def _content(path: Optional[str]) -> Optional[bytes]:
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - it is a name already
        return file.read()


def _modules() -> Tuple[Any, Any, Any]:
    try:
        grpc, messages, stubs = map(import_module, _MODULES)
    except (ImportError, RuntimeError, TypeError) as error:
        # tritonclient makes a RuntimeError of it; protobuf of the wrong version a TypeError.
        raise MissingExtra(
            f"gRPC needs packages that are not here or do not fit each other: {error}",
            "pip install 'hps-client[grpc]', or use HTTP (port 8000)",
        ) from error
    return grpc, messages, stubs
