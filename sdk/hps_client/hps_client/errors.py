"""What can go wrong with a call, one class per thing the caller may do about it.

Every error has a message (what and where) and a hint (what to do next). `str()` shows both.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Type


class ClientError(Exception):
    """Base of all errors that this package raises on purpose."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)  # between processes of a pool


def _restored(kind: Type[ClientError], args: Tuple[Any, ...], state: Dict[str, Any]) -> ClientError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class InvalidInput(ClientError, ValueError):
    """The call cannot be sent as it was written; nothing left this machine."""


class MissingExtra(ClientError, ImportError):
    """A package that this way of calling needs is not installed."""


class ConnectionFailed(ClientError, ConnectionError):
    """No connection, or one that broke.

    Attributes:
        sent: Something of the request may have reached the server.
        answered: A byte of the answer had come before it broke.
    """

    def __init__(
        self, message: str, hint: str = "", *, sent: bool = False, answered: bool = False
    ) -> None:
        super().__init__(message, hint)
        self.sent = sent
        self.answered = answered


class DeadlineExceeded(ClientError, TimeoutError):
    """The call took longer than its time-out allows, retries included."""


class CallCancelled(ClientError):
    """Somebody cancelled the call while it was under way."""


class InvalidAnswer(ClientError):
    """What came back is not what the protocol or the pipeline's schema promises."""


class RequestRefused(ClientError):
    """The inference server refused the request, before or instead of the pipeline.

    Attributes:
        model: Triton's model name.
        status: HTTP status (404, 401, ...); for gRPC the HTTP status that means the same.
    """

    def __init__(self, message: str, hint: str = "", *, model: str, status: int) -> None:
        super().__init__(message, hint)
        self.model = model
        self.status = status


class Unavailable(RequestRefused):
    """The server is overloaded or not ready (HTTP 429 or 503).

    Attributes:
        retry_after: Seconds the server asked to wait, if it said so.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        model: str,
        status: int,
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(message, hint, model=model, status=status)
        self.retry_after = retry_after


class ServerError(ClientError):
    """The pipeline answered with an error.

    Attributes:
        code: The envelope's `errorCode`: 422 for a request that it cannot accept, 500 for a
            failure inside, 503 when too many requests wait already.
        server_message: The envelope's `errorMsg`.
        log_id: The envelope's `logId`: find this in the server's log.
        model: Triton's model name.
    """

    def __init__(self, *, code: int, message: str, log_id: Optional[str], model: str) -> None:
        hint = _HINTS.get(code, "look for this logId in the server's log")
        super().__init__(
            f"{model} answered with error {code}: {message} [logId {log_id or 'unknown'}]", hint
        )
        self.code = code
        self.server_message = message
        self.log_id = log_id
        self.model = model


class ServerGaveUp(ServerError, DeadlineExceeded):
    """The pipeline answered that the deadline has passed: the call's, or one of its own."""


BUSY, LATE = 503, 504  # codes of hps's server, as in HTTP; PaddleX's has only 422 and 500
_HINTS = {
    422: "change the request: the message names the field or the file",
    BUSY: "the server is overloaded: try later, or send less at once",
    LATE: "give the call a longer timeout= in seconds, or send less at once",
}
