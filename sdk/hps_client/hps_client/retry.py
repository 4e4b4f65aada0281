"""When a failed attempt may be made again, and after how long."""

from __future__ import annotations

import random
from typing import Optional

from hps_client.errors import BUSY, ClientError, ConnectionFailed, ServerError, Unavailable

_FIRST = 0.1
_LONGEST = 5.0
_LONGEST_ASKED = 30.0


def pause_before_next(error: ClientError, attempt: int, *, repeatable: bool) -> Optional[float]:
    """Seconds to wait before the next attempt, None when there must be none.

    A connection that was never made did nothing, so any operation may be tried again. Once a
    request is out, only an operation that changes nothing may be: a broken connection does not
    tell whether the server did the work. After a byte of the answer nothing is repeated: the
    server is there and does something wrong. A pipeline that says it is busy has not begun, and
    means every operation when it says so.

    Args:
        error: Why the attempt failed.
        attempt: Its number, from 1.
        repeatable: See `Operation.repeatable`.
    """
    if isinstance(error, ConnectionFailed):
        safe = not error.sent or (repeatable and not error.answered)
    elif isinstance(error, ServerError):
        safe = error.code == BUSY
    else:
        safe = isinstance(error, Unavailable) and repeatable
    if not safe:
        return None
    asked = error.retry_after if isinstance(error, Unavailable) else None
    # Jitter, so that clients that failed together do not come back together.
    grown: float = min(_LONGEST, _FIRST * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
    return max(grown, min(asked or 0.0, _LONGEST_ASKED))
