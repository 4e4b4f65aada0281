"""A fault of hps.toml: where, what, expected and got, and what to do."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hps.config.positions import KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60
_HUGE = 2**64


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, found at a key path; what is expected and got is left out where it says nothing.

    Args:
        path: keys as TOML spells them, numbers for the items of an array.
        problem: what is wrong, in a few words.
        expected: what should stand there.
        got: what stands there, already in words (see `shown`).
        hint: what to do next.
    """

    path: KeyPath
    problem: str
    expected: str = ""
    got: str = ""
    hint: str = ""

    def line(self, file: str, lines: Mapping[KeyPath, int]) -> str:
        """`hps.toml:LINE: key.path: problem (expected X, got Y); hint`."""
        facts = [f"expected {self.expected}"] * bool(self.expected)
        facts += [f"got {self.got}"] * bool(self.got)
        short = tuple(part if isinstance(part, int) else _clipped(part) for part in self.path)
        where = f"{spelled(short)}: " if self.path else ""
        behind = (f" ({', '.join(facts)})" if facts else "") + (
            f"; {self.hint}" if self.hint else ""
        )
        return f"{file}:{found(self.path, lines)}: {where}{self.problem}{behind}"


def found(path: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """The line of a key path, or of the nearest table around it; 1 when none is written."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 1)


def spelled(path: KeyPath) -> str:
    """A key path as TOML writes it: `targets.cpu.archives[0]."a key".to`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if _BARE.fullmatch(part) else _marked(part))
    return text


def quoted(text: str) -> str:
    """Text in quotation marks, short, and harmless to a terminal."""
    return _marked(_clipped(text))


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _marked(text: str) -> str:
    plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if plain else json.dumps(text)


def shown(value: Any) -> str:
    """A value of a TOML document, in words short enough for one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    if isinstance(value, int) and abs(value) >= _HUGE:
        return "a huge number"
    return str(value)


def choice(wrong: str, known: Sequence[str]) -> str:
    """What somebody may have meant who wrote a name that is not known; empty when nothing is."""
    if close := get_close_matches(wrong, known, n=1):
        return f"did you mean {quoted(close[0])}?"
    if not known:
        return ""
    return f"there is only {known[0]}" if len(known) == 1 else f"known are {', '.join(known)}"
