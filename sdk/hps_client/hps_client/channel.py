"""Carries operations to a server: request out, retries, envelope and typed result back."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Type, TypeVar

from hps_client import envelope
from hps_client.address import Address
from hps_client.call import Call, checked_seconds
from hps_client.errors import ClientError, InvalidInput
from hps_client.http_transport import HttpTransport
from hps_client.operation import Operation
from hps_client.records import Record
from hps_client.retry import pause_before_next
from hps_client.transport import Settings, Transport

R = TypeVar("R", bound=Record)


class Channel:
    """One server, for callers that wait. Safe for threads."""

    def __init__(self, transport: Transport, timeout: Optional[float], retries: int) -> None:
        if type(retries) is not int or retries < 0:
            raise InvalidInput(f"retries={retries!r} is not a number from 0 on", "")
        self._transport = transport
        self._timeout = checked_seconds(timeout)
        self._retries = retries

    def start(self, timeout: Optional[float]) -> Call:
        """A call that begins now; without a time-out of its own it has the client's."""
        return Call(self._timeout if timeout is None else timeout)

    def send(
        self,
        operation: Operation,
        result: Type[R],
        timeout: Optional[float],
        values: Mapping[str, Any],
    ) -> R:
        """Ask one operation."""
        return self.send_within(self.start(timeout), operation, result, values)

    def send_within(
        self, call: Call, operation: Operation, result: Type[R], values: Mapping[str, Any]
    ) -> R:
        """Ask one operation, as part of a call that has begun."""
        call.remaining()  # it may have waited for a thread
        payload = envelope.dump(operation.request(values))
        answer = self._ask(operation.model, payload, call, repeatable=operation.repeatable)
        return result.from_wire(answer)

    def call(
        self, call: Call, model: str, request: Mapping[str, Any], *, repeatable: bool
    ) -> Dict[str, Any]:
        """Ask any model with JSON; gives the envelope's result as it came."""
        return self._ask(model, envelope.dump(request), call, repeatable=repeatable)

    def ready(self, call: Call, model: Optional[str]) -> bool:
        """Whether the server, or one model, says that it is ready."""
        return self._transport.ready(model, call)

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _ask(self, model: str, payload: bytes, call: Call, *, repeatable: bool) -> Dict[str, Any]:
        attempt = 1
        while True:
            # A connection that was used before may be closing; an operation that must not run
            # twice gets a new one, so that such an end cannot be mistaken for a crash.
            fresh = not repeatable or attempt > 1
            try:
                answer = self._transport.infer(model, payload, call, fresh=fresh)
                return envelope.result(answer, model)
            except ClientError as error:
                pause = pause_before_next(error, attempt, repeatable=repeatable)
                if pause is None or attempt > self._retries:
                    raise
                left = call.remaining()
                if left is not None and left <= pause:
                    raise  # the reason says more than "too late"
            call.pause(pause)
            attempt += 1


def open_transport(settings: Settings) -> Transport:
    """The transport that the address asks for.

    Raises:
        MissingExtra: gRPC without tritonclient.
        InvalidInput: certificates or headers cannot be used.
    """
    if not settings.address.grpc:
        return HttpTransport(settings)
    from hps_client.grpc_transport import GrpcTransport  # noqa: PLC0415 - an extra, and slow

    return GrpcTransport(settings)


def settings_for(
    address: Address, token: Optional[str], headers: Optional[Mapping[str, str]], **more: Any
) -> Settings:
    """Settings with the token as a header; options that are None keep their defaults."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    given = {name: value for name, value in more.items() if value is not None}
    return Settings(address, headers=sent, **given)
