"""Reads config.pbtxt: protocol buffers' text format, as far as a model configuration uses it.

The standard library has no protocol buffers, and the launcher only wants to know a few fields
before Triton reads the file in earnest. So nothing here knows a schema: a message is a mapping
from field name to all values of that name, a scalar is the text that stands there.
"""

import re
from typing import Union

Value = Union[str, "Message"]
Message = dict[str, list[Value]]

DEEPEST = 32  # ModelConfig nests 6 deep; a hostile file must not end in a RecursionError

_TOKEN = re.compile(
    r"""(?P<blank>[\s,;]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[-+.\w]+)
      | (?P<mark>[{}<>\[\]:])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_CLOSING = {"{": "}", "<": ">"}


class PbtxtError(ValueError):
    """The text is not text format; the message says in which line and why."""


class _Tokens:
    """The tokens of a text, one ahead."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        position, line = 0, 1
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise PbtxtError(f"line {line}: unexpected {text[position]!r}")
            if match.lastgroup != "blank":
                self._tokens.append((str(match.lastgroup), match[0], line))
            line += match[0].count("\n")
            position = match.end()
        self._end = ("end", "the end of the file", line)
        self._next = 0

    def peek(self) -> tuple[str, str, int]:
        return self._tokens[self._next] if self._next < len(self._tokens) else self._end

    def take(self) -> tuple[str, str, int]:
        token = self.peek()
        self._next += 1
        return token


def parse(text: str) -> Message:
    """Read a message.

    Raises:
        PbtxtError: the text is no text format, or nests deeper than `DEEPEST`.
    """
    return _message(_Tokens(text), "", 0)


def _message(tokens: _Tokens, closing: str, depth: int) -> Message:
    if depth > DEEPEST:
        raise PbtxtError(f"line {tokens.peek()[2]}: messages nest deeper than {DEEPEST}")
    message: Message = {}
    while True:
        kind, text, line = tokens.take()
        if (kind == "mark" and text == closing) or (kind == "end" and not closing):
            return message
        if kind != "word":
            wanted = f"a field or {closing!r}" if closing else "a field"
            raise PbtxtError(f"line {line}: expected {wanted}, got {text}")
        message.setdefault(text, []).extend(_values(tokens, depth))


def _values(tokens: _Tokens, depth: int) -> list[Value]:
    colon = tokens.peek()[1] == ":" and tokens.peek()[0] == "mark"
    if colon:
        tokens.take()
    if tokens.peek()[:2] == ("mark", "["):
        tokens.take()
        values: list[Value] = []
        while tokens.peek()[:2] != ("mark", "]"):
            values.append(_value(tokens, depth, scalar=True))
        tokens.take()
        return values
    return [_value(tokens, depth, scalar=colon)]


def _value(tokens: _Tokens, depth: int, *, scalar: bool) -> Value:
    kind, text, line = tokens.take()
    if kind == "mark" and text in _CLOSING:
        return _message(tokens, _CLOSING[text], depth + 1)
    if kind == "word" and scalar:
        return text
    if kind == "string" and scalar:
        parts = [_unquote(text)]
        while tokens.peek()[0] == "string":  # adjacent strings are one string
            parts.append(_unquote(tokens.take()[1]))
        return "".join(parts)
    raise PbtxtError(f"line {line}: expected a value, got {text}")


def _unquote(text: str) -> str:
    return _ESCAPE.sub(lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text[1:-1])


def scalar(message: Message, field: str) -> "str | None":
    """The last value of a field when it is no message; text format lets the last one win."""
    value = message.get(field, [None])[-1]
    return value if isinstance(value, str) else None


def messages(message: Message, field: str) -> "list[Message]":
    """All values of a field that are messages."""
    return [value for value in message.get(field, []) if isinstance(value, dict)]


def scalars(message: Message, field: str) -> "list[str]":
    """All values of a field that are no messages."""
    return [value for value in message.get(field, []) if isinstance(value, str)]


def without(text: str, field: str) -> str:
    """The text without all values of one field of the outermost message; the rest as it stands.

    Raises:
        PbtxtError: the text is no text format.
    """
    parse(text)
    tokens = [match for match in _TOKEN.finditer(text) if match.lastgroup != "blank"]
    kept, copied, index = [], 0, 0
    while index < len(tokens):
        name = tokens[index]
        end = _value_end(tokens, index + 1)
        if name[0] == field:
            kept.append(text[copied : name.start()])
            copied = tokens[end - 1].end()
        index = end
    return "".join([*kept, text[copied:]])


def _value_end(tokens: "list[re.Match[str]]", index: int) -> int:
    """The index behind the value that begins at `index`, with a colon or without."""
    index += tokens[index][0] == ":"
    depth, first = 0, tokens[index]
    while True:
        token = tokens[index]
        if token.lastgroup == "mark":
            depth += {"{": 1, "<": 1, "[": 1, "}": -1, ">": -1, "]": -1}.get(token[0], 0)
        index += 1
        if depth == 0:
            break
    while first.lastgroup == "string" and tokens[index:] and tokens[index].lastgroup == "string":
        index += 1  # adjacent strings are one string
    return index
