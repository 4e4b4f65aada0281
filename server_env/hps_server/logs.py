"""What the launcher and its companions say: plain lines, or JSON lines with `--log-format json`.

Triton's own lines are read into the same form, so that a log collector meets one format. Nothing
here is ever given a secret: callers name files of tokens and keys, not what they hold.
"""

import datetime as dt
import json
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("text", "json")
# `I1122 03:35:56.475293 28625 grpc_server.cc:2558] "Started …"`: glog's prefix and a quoted text.
_TRITON = re.compile(r"([IWEF])\d{4} [\d:.]+ \d+ ([\w.]+:\d+)\] (.*)", re.DOTALL)
_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "error"}


class Log:
    """Writes lines to stderr, beside Triton's log.

    Args:
        form: one of `FORMATS`.
        name: who speaks, such as `hps-server`.
        write: takes the finished line.
    """

    def __init__(
        self, form: str, name: str = "hps-server", write: "Callable[[str], None] | None" = None
    ) -> None:
        self.form = form
        self.name = name
        self._write = write or _to_stderr

    def __call__(self, line: str) -> None:
        """Say something; a line that begins with a level (`error: …`) is of that level."""
        level, colon, rest = line.partition(": ")
        if colon and level in ("error", "warning"):
            self.say(level, rest)
        else:
            self.say("info", line)

    def say(self, level: str, message: str, **fields: Any) -> None:
        """Say something of a level, with fields such as `model` and `request_id`."""
        if self.form == "json":
            known = {key: value for key, value in fields.items() if value is not None}
            line = {"time": _now(), "level": level, "logger": self.name, "message": message}
            self._write(json.dumps({**line, **known}, ensure_ascii=False) + "\n")
            return
        shown = "".join(f" {key}={value}" for key, value in fields.items() if value is not None)
        prefix = "" if level == "info" else f"{level}: "
        self._write(f"{self.name}: {prefix}{message}{shown}\n")


def restated(line: bytes) -> bytes:
    """One line of the server's stderr as a JSON line; one that is JSON already passes unchanged."""
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    if text.startswith("{") and text.endswith("}"):
        return line.rstrip(b"\r\n") + b"\n"
    found = _TRITON.match(text)
    level, source, message = found.groups() if found else ("I", "", text)
    fields = {"time": _now(), "level": _LEVELS[level], "logger": "triton", "message": message}
    if source:
        fields["source"] = source
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - Python 3.10 has no dt.UTC


def _to_stderr(line: str) -> None:
    sys.stderr.write(line)
    sys.stderr.flush()
