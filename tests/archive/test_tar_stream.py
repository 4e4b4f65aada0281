"""The strict tar reader: what honest writers write, in pieces of any length.

What it refuses is in tests/attacks/model_archives; that it reads what today's writers write, in
tests/model/test_extract.py.
"""

import io
import itertools
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.tar_stream import Tape, members
from tests.model.tars import END, folder, member

LONG = "d" * 90 + "/" + "e" * 90 + "/" + "ü" * 60
FILES = {"a": b"1" * 1300, LONG: b"2", "empty": b"", "z/last": b"3" * 512}


def tar_of(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o640
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tape(data: bytes, cuts: list[int]) -> Tape:
    places = sorted({0, len(data), *cuts})
    pieces = (data[start:end] for start, end in itertools.pairwise(places))
    return Tape(pieces, "x.tar", Limits(), len(data))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 13_000), max_size=20))
def test_pieces_of_any_length(form: int, cuts: list[int]) -> None:
    data = tar_of(form)
    found = {
        one.path: b"".join(one.pieces)
        for one in members(tape(data, [cut for cut in cuts if cut < len(data)]), Limits(), 1)
    }
    assert found == FILES


def test_what_is_not_read_is_passed_over() -> None:
    data = tar_of(tarfile.PAX_FORMAT)
    taken = []
    for one in members(tape(data, list(range(0, len(data), 100))), Limits(), 1):
        assert (one.mode, one.size, one.folder) == (0o640, len(FILES[one.path]), False)
        taken.append((one.path, bytes(next(one.pieces, b""))[:1]))
    assert taken == [(name, data[:1]) for name, data in FILES.items()]


def test_folders_and_the_root() -> None:
    data = folder(b"./") + folder(b"./d//") + member(b"d/x") + END
    shown = [(one.path, one.folder) for one in members(tape(data, []), Limits(), 1)]
    assert shown == [("", True), ("d", True), ("d/x", False)]


def test_nothing_is_asked_for_behind_a_fault() -> None:
    asked = []

    def pieces() -> Iterator[bytes]:
        for data in (member(b"a"), member(b"../b"), member(b"c")):
            asked.append(data)
            yield data

    found = members(Tape(pieces(), "x.tar", Limits(), 1), Limits(), 1)
    assert next(found).path == "a"
    with pytest.raises(ArchiveError) as raised:
        next(found)
    assert raised.value.reason is Reason.NAME_PARENT
    assert len(asked) == 2
