"""Two builds side by side: which layers, paths and bytes differ, and what is there on each side."""

import contextlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from hps.digest import Digest
from hps.layer.index import IndexLine, read_index
from hps.release.challenge_run import Made
from hps.store.inherited import foreign

PATHS = 20  # named in a report for each layer; all are counted
_BEFORE, _AFTER = 16, 48  # bytes shown around the first one that differs
_PIECE = 1 << 20
_DIFFOSCOPE_SECONDS = 120.0
_DIFFOSCOPE_TEXT = 64 << 10  # bytes of its report
_DIFFOSCOPE_FILE = 64 << 20  # bytes of a file that it is shown


@dataclass(frozen=True, slots=True)
class Side:
    """What one side holds around the first byte that differs.

    Args:
        tar_offset: of that byte in the layer's tar.
        start: offset in the file of the first byte that is shown.
        data: the bytes.
    """

    tar_offset: int
    start: int
    data: bytes

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "tar_offset": self.tar_offset,
            "start": self.start,
            "hex": self.data.hex(" "),
            "text": as_text(self.data),
        }


@dataclass(frozen=True, slots=True)
class PathDifference:
    """One path that differs.

    Args:
        path: in the image.
        what: names of the facts that differ: `content`, `mode`, `missing`…
        expected: the reference's line of the index, None when it has no such path.
        got: the other's.
        offset: of the first byte of the file that differs, None when no byte does.
        sides: what is there, reference first.
    """

    path: str
    what: tuple[str, ...]
    expected: IndexLine | None
    got: IndexLine | None
    offset: int | None = None
    sides: tuple[Side, Side] | None = None

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "path": f"/{self.path}",
            "what": list(self.what),
            "expected": _line(self.expected),
            "got": _line(self.got),
            "offset": self.offset,
            "sides": [side.as_json() for side in self.sides or ()],
        }


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that differs.

    Args:
        layer: its name.
        expected: digest of the reference's, None when it has no such layer.
        got: digest of the other's.
        tar_offset: of the first byte of the tars that differs.
        count: of paths that differ.
        paths: the first of them; what is made from other files (RECORD, bytecode) comes last.
        diffoscope: its report on the first file, when it is installed.
    """

    layer: str
    expected: str | None
    got: str | None
    tar_offset: int | None
    count: int
    paths: tuple[PathDifference, ...]
    diffoscope: str | None

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "layer": self.layer,
            "expected": self.expected,
            "got": self.got,
            "tar_offset": self.tar_offset,
            "paths_that_differ": self.count,
            "paths": [path.as_json() for path in self.paths],
            "diffoscope": self.diffoscope,
        }


def compare(reference: Made, other: Made) -> tuple[LayerDifference, ...]:
    """Every layer that differs, in order; digests decide, bytes are read when they differ."""
    pairs = zip_longest(reference.layers, other.layers)
    return tuple(
        _layer(reference, other, one, two)
        for one, two in pairs
        if one is None or two is None or one[:2] != two[:2]
    )


def as_text(data: bytes) -> str:
    """Bytes as a hex dump shows them: printable ASCII, all else as a dot."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)  # noqa: PLR2004 - ASCII


def _layer(
    reference: Made,
    other: Made,
    one: tuple[str, str, str] | None,
    two: tuple[str, str, str] | None,
) -> LayerDifference:
    if one is None or two is None or one[0] != two[0]:
        name = " and ".join(dict.fromkeys(layer[0] for layer in (one, two) if layer))
        return LayerDifference(name, one and one[1], two and two[1], None, 0, (), None)
    tars = reference.blob(Digest.parse(one[1])), other.blob(Digest.parse(two[1]))
    lines = _index(reference.blob(Digest.parse(one[2]))), _index(other.blob(Digest.parse(two[2])))
    differing = sorted(_differing(*lines), key=lambda found: (_is_derived(found.path), found.path))
    shown = tuple(_with_sides(found, tars) for found in differing[:PATHS])
    contents = [found.path for found in shown if found.sides]
    with tars[0].open("rb") as left, tars[1].open("rb") as right:
        offset = _first_byte(left, right)
    report = diffoscope(contents[0], tars) if contents else None
    return LayerDifference(one[0], one[1], two[1], offset, len(differing), shown, report)


def _index(path: Path) -> dict[str, IndexLine]:
    with path.open("rb") as file:
        return {line.path: line for line in read_index(file)}


def _is_derived(path: str) -> bool:
    return path.endswith(("/RECORD", ".pyc"))


def _differing(
    one: Mapping[str, IndexLine], two: Mapping[str, IndexLine]
) -> Iterator[PathDifference]:
    facts = ("kind", "mode", "size", "content", "uid", "gid")
    for path in one.keys() | two.keys():
        left, right = one.get(path), two.get(path)
        if left is None or right is None:
            what: tuple[str, ...] = ("additional",) if left is None else ("missing",)
        else:
            what = tuple(name for name in facts if getattr(left, name) != getattr(right, name))
        if what:
            yield PathDifference(path, what, left, right)


def _with_sides(found: PathDifference, tars: tuple[Path, Path]) -> PathDifference:
    """The same with the bytes of both sides, when both are files with different content."""
    kinds = {line.kind for line in (found.expected, found.got) if line}
    if "content" not in found.what or kinds != {"file"}:
        return found
    with _member(tars[0], found.path) as left, _member(tars[1], found.path) as right:
        offset = _first_byte(left.file, right.file, left.size, right.size)
        if offset is None:
            return found
        sides = (_side(left, offset), _side(right, offset))
    return PathDifference(found.path, found.what, found.expected, found.got, offset, sides)


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of a tar: where its data begins, and the tar, open and standing there."""

    start: int
    size: int
    file: BinaryIO


@contextlib.contextmanager
def _member(tar: Path, path: str) -> Iterator[_Member]:
    with tarfile.open(tar, "r:") as archive:
        found = next(one for one in archive if one.name.rstrip("/") == path)
    with tar.open("rb") as file:
        file.seek(found.offset_data)
        yield _Member(found.offset_data, found.size, file)


def _side(member: _Member, offset: int) -> Side:
    start = max(0, offset - _BEFORE)
    member.file.seek(member.start + start)
    data = member.file.read(min(offset + _AFTER, member.size) - start)
    return Side(member.start + offset, start, data)


def _pieces(file: BinaryIO, size: int | None) -> Iterator[bytes]:
    left = size
    while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
        yield piece
        left = None if left is None else left - len(piece)


def _first_byte(
    one: BinaryIO, two: BinaryIO, size: int | None = None, other_size: int | None = None
) -> int | None:
    """Offset of the first byte that differs, counted from where both stand; None for none."""
    done = 0
    sides = zip_longest(_pieces(one, size), _pieces(two, other_size), fillvalue=b"")
    for left, right in sides:
        if left != right:
            pairs = enumerate(zip(left, right, strict=False))
            shorter = min(len(left), len(right))
            return done + next((at for at, (a, b) in pairs if a != b), shorter)
        done += len(left)
    return None


def diffoscope(path: str, tars: tuple[Path, Path]) -> str | None:
    """A report of diffoscope on a file of two tars; None when it is not installed.

    It is given limited time, and its report is cut: it helps people and decides nothing.
    """
    program = shutil.which("diffoscope")
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="hps-challenge-") as name:
        files = [Path(name) / side / Path(path).name for side in ("expected", "got")]
        for tar, file in zip(tars, files, strict=True):
            if not _extract(tar, path, file):
                return f"{path} is too large to be shown to diffoscope"
        limit = ["--max-text-report-size", str(_DIFFOSCOPE_TEXT), "--no-progress", "--text", "-"]
        try:
            done = subprocess.run(
                [program, *limit, *(str(file.relative_to(name)) for file in files)],
                check=False,
                env=foreign(),
                cwd=name,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DIFFOSCOPE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"diffoscope did not end within {_DIFFOSCOPE_SECONDS:g} s"
    return (done.stdout or done.stderr)[: 2 * _DIFFOSCOPE_TEXT].decode(errors="replace")


def _extract(tar: Path, path: str, file: Path) -> bool:
    file.parent.mkdir()
    with _member(tar, path) as member:
        if member.size > _DIFFOSCOPE_FILE:
            return False
        file.write_bytes(member.file.read(member.size))
    return True


def _line(line: IndexLine | None) -> dict[str, object] | None:
    if line is None:
        return None
    return {
        "kind": line.kind,
        "mode": f"{line.mode:04o}",
        "size": line.size,
        "content": line.content,
        "owner": [line.uid, line.gid],
    }
