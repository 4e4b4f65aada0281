"""What the monitor says while it runs: plain lines, or JSON lines, on stderr.

Every line has a time with milliseconds and zone, a level, the name of an event that is stable, and
the model that it is about. What comes from outside cannot forge a line: control characters, line
ends and signs that change the direction of writing are written by their number. Secrets that the
monitor knows are replaced wherever they would appear, also in what libraries say.
"""

import json
import logging
import math
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeVar
from urllib.parse import quote, quote_plus

NAME = "hps.monitor"
_SHORTEST_SECRET = 4  # characters; shorter ones would blot out half of every line
_MOST_SECRETS = 1000  # forms of them; tokens that are replaced every hour would add up in years
_LONGEST = 8000  # characters of one value
_HIDDEN = "[secret]"

_Value = TypeVar("_Value")


class Secrets:
    """What must never be written; for many threads.

    Args:
        secrets: known from the start.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known: tuple[str, ...] = ()  # the latest last
        self._forms: tuple[str, ...] = ()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Remember further ones, also as they stand in addresses; the oldest are forgotten."""
        found = [
            form
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for form in (secret, quote(secret, safe=""), quote_plus(secret), quote(secret))
        ]
        with self._lock:
            if set(found) <= set(self._known):
                return  # read once more, as for every request
            self._known = tuple(dict.fromkeys((*self._known, *found)))[-_MOST_SECRETS:]
            # A secret that holds another one is looked for first.
            self._forms = tuple(sorted(self._known, key=lambda one: (-len(one), one)))

    def hidden(self, text: str) -> str:
        """The text without any of them."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return text


# Those of this process: whoever reads a credential adds it, as logs are of the whole process, too.
SECRETS = Secrets()


class Log:
    """Says what happens to one model, or to the monitor.

    Args:
        model: its name; empty for the monitor.
    """

    def __init__(self, model: str = "") -> None:
        self._model = model
        self._logger = logging.getLogger(NAME)

    def debug(self, event: str, text: str, **facts: object) -> None:
        """What helps to find a fault."""
        self._say(logging.DEBUG, event, text, facts)

    def info(self, event: str, text: str, **facts: object) -> None:
        """What happens as it should."""
        self._say(logging.INFO, event, text, facts)

    def warning(self, event: str, text: str, **facts: object) -> None:
        """What a person may want to look at; the live model serves on."""
        self._say(logging.WARNING, event, text, facts)

    def error(self, event: str, text: str, **facts: object) -> None:
        """What a person has to do something about."""
        self._say(logging.ERROR, event, text, facts)

    def fault(self, event: str, text: str, error: BaseException) -> None:
        """A fault of this program, with where it happened."""
        self._say(logging.ERROR, event, text, {}, error)

    def _say(
        self,
        level: int,
        event: str,
        text: str,
        facts: Mapping[str, object],
        error: BaseException | None = None,
    ) -> None:
        # The text is an argument, so that a `%` in it means nothing.
        extra = {"hps_event": event, "hps_model": self._model, "hps_facts": facts}
        self._logger.log(level, "%s", text, extra=extra, exc_info=error)


def set_up(
    stream: TextIO,
    *,
    form: Literal["text", "json"] = "text",
    debug: bool = False,
    secrets: Secrets | None = None,
) -> None:
    """Send all logs of this process to a stream, in one form.

    Libraries are heard from warnings on, and never in their debug forms, which show headers.

    Args:
        stream: standard error.
        form: plain lines or JSON lines.
        debug: write what helps to find faults too.
        secrets: what is never written; those that this process reads (`SECRETS`) by default.
    """
    handler = _Handler(stream)
    handler.setFormatter((_Json if form == "json" else _Text)(secrets or SECRETS))
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(NAME).setLevel(logging.DEBUG if debug else logging.INFO)


def escaped(text: str) -> str:
    r"""Text from outside on one line, and harmless to terminals: signs by number, as in `\x1b`."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        each if each.isprintable() and each != "\\" else repr(each)[1:-1] for each in text
    )


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Say nothing: when nobody reads the log (a closed pipe, a full disk) models serve on."""


class _Form(logging.Formatter):
    """What both forms have: the facts of a record, without secrets."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        found: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "event": _given(record, "hps_event", record.name),
        }
        if model := _given(record, "hps_model", ""):
            found["model"] = self._plain(model)
        found["message"] = self._plain(record.getMessage())
        more: Mapping[str, object] = _given(record, "hps_facts", {})
        for key, value in more.items():
            if value is not None and key not in found:
                found[key] = self._plain(value)
        if record.exc_info:
            found["traceback"] = self._plain(self.formatException(record.exc_info))
        return found

    def _plain(self, value: object) -> object:
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        text = self._secrets.hidden(str(value))
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


class _Json(_Form):
    def format(self, record: logging.LogRecord) -> str:
        # ASCII only: whatever a terminal or a collector makes of other signs, it meets none.
        return json.dumps(self.facts(record), allow_nan=False)


class _Text(_Form):
    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        head = [facts.pop("time"), f"{facts.pop('level'):<7}", facts.pop("event")]
        model, text = facts.pop("model", None), escaped(str(facts.pop("message")))
        head += [] if model is None else [f"{escaped(str(model))}:"]
        more = "".join(f" {key}={_word(value)}" for key, value in facts.items())
        return " ".join([*head, text]) + more


def _word(value: object) -> str:
    """A value behind `key=`: bare where that is clear, else in quotation marks."""
    text = escaped(str(value))
    bare = text and not set(text) & set(' "=')
    return text if bare else '"' + text.replace('"', '\\"') + '"'


def _given(record: logging.LogRecord, name: str, default: _Value) -> _Value:
    """What `Log` laid into a record; libraries do not."""
    value: _Value = getattr(record, name, default)
    return value


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
