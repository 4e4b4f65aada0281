"""What is written and counted about each request: one line, and numbers for /metrics."""

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


class RequestLog:
    """Writes one line for each request to stderr, and passes its numbers on.

    Args:
        model: the Triton model that speaks.
        form: `text` or `json`.
        level: the least level that is written, as in `logging`.
        count: called with operation, code and seconds, for metrics.
    """

    def __init__(
        self,
        model: str,
        *,
        form: str = "text",
        level: str = "INFO",
        count: "Callable[[str, int, float], None] | None" = None,
    ) -> None:
        self._model = model
        self._json = form == "json"
        levels = logging.getLevelNamesMapping()
        if level.upper() not in levels:
            raise ValueError(
                f"PADDLEX_HPS_LOGGING_LEVEL: {level!r} is no level of Python's logging"
            )
        self._level = levels[level.upper()]
        self._count = count

    def done(
        self, log_id: str, operation: str, code: int, seconds: float, sizes: "tuple[int, int]"
    ) -> None:
        """One request was answered; the sizes are the bytes that came and went."""
        if self._count is not None:
            self._count(operation, code, seconds)
        received, sent = sizes
        level = logging.INFO if code == 0 else logging.WARNING
        self._write(
            level,
            "answered",
            id=log_id,
            operation=operation,
            code=code,
            ms=round(seconds * 1000, 2),
            received=received,
            sent=sent,
        )

    def failed(self, log_id: str, operation: str, error: BaseException) -> None:
        """Something went wrong that the answer does not tell."""
        text = "".join(traceback.format_exception(error))
        self._write(logging.ERROR, "failed", id=log_id, operation=operation, error=text)

    def say(self, message: str, **columns: Any) -> None:
        """Something about the model and not about a request."""
        self._write(logging.INFO, message, **columns)

    def _write(self, level: int, event: str, **columns: Any) -> None:
        if level < self._level:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
        name = logging.getLevelName(level)
        if self._json:
            row = {"time": stamp, "level": name, "model": self._model, "event": event, **columns}
            line = json.dumps(row, ensure_ascii=False)
        else:
            told = " ".join(f"{key}={value}" for key, value in columns.items())
            line = f"[{name}] [{stamp}] [{self._model}] {event} {told}"
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
