"""What an HTTP server that does not answer means by it, in the words of `Trouble`."""

import http.client
import ssl
from datetime import UTC, datetime
from typing import NoReturn

import requests

from hps.errors import FetchError
from hps.monitor.source import SourceError, Trouble
from hps.store import causes
from hps.store import url as address
from hps.store.retry import parse_retry_after
from hps.store.transport import AgainError, said

GONE = frozenset({404, 410})
_CLOSED_TO_US = frozenset({401, 403, 407})
_BUSY = frozenset({408, 425, 429})


def refuse(response: requests.Response, url: str) -> NoReturn:
    """Raise what a status means that is no answer to the question (RFC 9110, section 15)."""
    trouble, hint = _meaning(response.status_code)
    wait = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    raise SourceError(
        trouble,
        f"cannot read {address.redact(url)}: {said(response)}",
        after=wait if trouble is Trouble.SERVER else None,
        hint=hint,
    )


def _meaning(status: int) -> tuple[Trouble, str | None]:
    if status in GONE:
        return Trouble.MISSING, "publish the model, or correct its name"
    if status in _CLOSED_TO_US:
        return Trouble.REFUSED, (
            "give this source its credentials; a folder must also be listed by the server"
        )
    if status in _BUSY or status >= 500:  # noqa: PLR2004 - the class of server errors
        return Trouble.SERVER, None
    if status >= 400:  # noqa: PLR2004 - the class of client errors
        return Trouble.REFUSED, "correct the address of this source"
    return Trouble.MALFORMED, "no such answer was asked for: look at the server"


def trouble(error: AgainError) -> Trouble:
    """The kind of what may be better next time."""
    if error.stalled:
        return Trouble.STALLED
    if error.answered:
        return Trouble.SERVER
    inner = tuple(causes.chain(error))
    if any(isinstance(each, http.client.IncompleteRead) for each in inner):
        return Trouble.TRUNCATED
    cut_off = any(isinstance(each, OSError) and each.errno for each in inner) or any(
        isinstance(each, http.client.RemoteDisconnected) for each in inner
    )
    if not cut_off and any(isinstance(each, http.client.HTTPException) for each in inner):
        return Trouble.MALFORMED
    return Trouble.UNREACHABLE


def lasting(error: FetchError) -> SourceError:
    """What another attempt would not change: no trust in the server, a redirect to nowhere."""
    tls = ssl.SSLError | requests.exceptions.SSLError
    distrust = any(isinstance(each, tls) for each in causes.chain(error))
    kind = Trouble.REFUSED if distrust else Trouble.MALFORMED
    return SourceError(kind, error.message, expected=error.expected, got=error.got, hint=error.hint)


def truncated(url: str, expected: str, received: int) -> SourceError:
    """The error of fewer bytes than announced."""
    return SourceError(
        Trouble.TRUNCATED,
        f"{address.redact(url)} ended early",
        expected=expected,
        got=f"{received} bytes",
    )
