"""The index beside a layer: one line for each entry, for `hps why` and for comparing layers."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hps.errors import StoreCorruptError
from hps.layer.entry import Kind

_KINDS: tuple[Kind, ...] = ("directory", "file", "symlink", "hardlink")
_MARK = 2  # bytes of a fingerprint for each entry


@dataclass(frozen=True, slots=True)
class IndexLine:
    """What a layer says of one path.

    Args:
        path: as in the tar, without a trailing slash.
        kind: of the entry.
        mode: permission bits.
        size: bytes of a file, 0 for the others.
        content: sha256 of a file (64 digits), where a link points, empty for a directory.
        owner: the artifact that brought it; `hps` for folders that only hold others.
        uid: owner on disk, nearly always 0.
        gid: likewise.
    """

    path: str
    kind: Kind
    mode: int
    size: int
    content: str
    owner: str
    uid: int = 0
    gid: int = 0

    def dump(self) -> bytes:
        """One JSON line: [path, kind, mode, size, content, owner], then uid, gid if not 0."""
        fields = [self.path, self.kind, self.mode, self.size, self.content, self.owner]
        if self.uid or self.gid:
            fields += [self.uid, self.gid]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @property
    def thing(self) -> tuple[Kind, int, int, int, str]:
        """What is there, whoever brought it: kind, mode, owner on disk, content."""
        return self.kind, self.mode, self.uid, self.gid, self.content

    @property
    def mark(self) -> bytes:
        """Two bytes that stand for all but the owner; part of the layer's fingerprint."""
        text = f"{self.path}\0{self.kind}\0{self.mode:o}\0{self.size}\0{self.content}"
        if self.uid or self.gid:
            text += f"\0{self.uid}\0{self.gid}"
        return hashlib.sha256(text.encode()).digest()[:_MARK]


def read_index(lines: Iterable[bytes]) -> Iterator[IndexLine]:
    """Read what `IndexLine.dump` wrote, line by line (an open file will do).

    Raises:
        StoreCorruptError: a line is not one of an index.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _parse(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreCorruptError(
                f"line {number} of a layer's index cannot be read",
                got=line[:200],
                hint="hps store verify",
            ) from error


def _parse(fields: object) -> IndexLine:
    if not isinstance(fields, list) or len(fields) not in {6, 8}:
        raise ValueError("not a list of six or eight fields")
    types = (str, str, int, int, str, str, int, int)
    if not all(type(field) is kind for field, kind in zip(fields, types, strict=False)):
        raise TypeError("a field of the wrong type")
    if fields[1] not in _KINDS:
        raise ValueError("no such kind of entry")
    return IndexLine(*fields)


def first_difference(expected: bytes, index: Iterable[IndexLine]) -> str | None:
    """The first path at which a layer departs from a fingerprint, or None when it does not.

    With two bytes for each entry, one difference of 65,536 is missed and the next one is named.
    When only entries at the end are missing, the last path that is there is named.

    Args:
        expected: the fingerprint of the layer as it should be.
        index: of the layer as it is.
    """
    marks = (expected[at : at + _MARK] for at in range(0, len(expected), _MARK))
    last = ""
    for mark, line in itertools.zip_longest(marks, index):
        if line is None:
            return last
        last = line.path
        if mark != line.mark:
            return last
    return None
