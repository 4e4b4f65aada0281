"""Where in a TOML file a key stands, because tomllib does not tell.

The scanner reads a document that `tomllib` has accepted, so it looks only for where things begin
and end. Grammar: TOML 1.0.0, sections "Keys", "Table", "Inline Table", "Array of Tables".
"""

import re
import tomllib
from bisect import bisect_right

KeyPath = tuple[str | int, ...]

_BARE = r"[A-Za-z0-9_-]++"
_BASIC = r'"(?:\\.|[^"\\\n])*+"'
_LITERAL = r"'[^'\n]*+'"
_PART = re.compile(f"{_BARE}|{_BASIC}|{_LITERAL}")
_DOT = re.compile(r"[ \t]*+\.[ \t]*+")
_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
# A multi-line string may end with up to two quotation marks of its own before the closing three.
_TEXT = re.compile(rf'"""(?:\\.|[^\\])*?"{{3,5}}|\'\'\'.*?\'{{3,5}}|{_BASIC}|{_LITERAL}', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]++")


def positions(text: str) -> dict[KeyPath, int]:
    """The line (from 1) on which each key, table and array item first appears.

    Args:
        text: a valid TOML document; keys are spelled as `tomllib` gives them, array items are
            numbers from 0.

    Raises:
        RecursionError: the document is nested too deeply, as `tomllib` does.
    """
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self.tables: dict[KeyPath, int] = {}  # array of tables -> how many so far
        self.newlines = [match.start() for match in re.finditer("\n", text)]

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self.space()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.space()
        return self.found

    def header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`; a name of an array of tables means its last table."""
        repeated = self.text.startswith("[[", self.at)
        line = self.line()
        self.at += 2 if repeated else 1
        parts = self.key()
        self.at = self.text.index("]", self.at) + (2 if repeated else 1)
        path: KeyPath = ()
        for part in parts[:-1]:
            path = self.last((*path, part), line)
        path = (*path, parts[-1])
        if repeated:
            self.tables[path] = self.tables.get(path, 0) + 1
        return self.last(path, line)

    def last(self, path: KeyPath, line: int) -> KeyPath:
        self.found.setdefault(path, line)
        if path in self.tables:
            path = (*path, self.tables[path] - 1)
            self.found.setdefault(path, line)
        return path

    def pair(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for part in self.key():
            path = (*path, part)
            self.found.setdefault(path, line)
        self.at = self.text.index("=", self.at) + 1
        self.value(path)

    def key(self) -> list[str]:
        """The parts of a dotted key; stops behind the last one."""
        parts = []
        self.space()
        while match := _PART.match(self.text, self.at):
            self.at = match.end()
            raw = match[0]
            parts.append(tomllib.loads(f"k={raw}")["k"] if raw[0] in "\"'" else raw)
            if not (dot := _DOT.match(self.text, self.at)):
                break
            self.at = dot.end()
        return parts

    def value(self, path: KeyPath) -> None:
        self.space()
        start = self.text[self.at]
        if start in "[{":
            self.at += 1
            self.items(path, "]" if start == "[" else "}")
            return
        match = (_TEXT if start in "\"'" else _SCALAR).match(self.text, self.at)
        assert match is not None  # noqa: S101 (tomllib has accepted the document)
        self.at = match.end()

    def items(self, path: KeyPath, end: str) -> None:
        """What an array or an inline table holds, up to and with its closing bracket."""
        number = 0
        self.space()
        while self.text[self.at] != end:
            if end == "}":
                self.pair(path)
            else:
                self.found[*path, number] = self.line()
                self.value((*path, number))
                number += 1
            self.space()
            if self.text[self.at] == ",":
                self.at += 1
                self.space()
        self.at += 1

    def space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        if match:
            self.at = match.end()

    def line(self) -> int:
        return bisect_right(self.newlines, self.at - 1) + 1
