"""Reading ahead: the same pieces, the same errors, and no thread left behind."""

import threading
from collections.abc import Iterator

import pytest

from hps.archive.ahead import ahead


def waiting() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "hps-ahead"]


def test_pieces_come_in_order() -> None:
    pieces = [bytes([number % 256]) * number for number in range(1, 500)]
    with ahead(iter(pieces)) as found:
        assert list(found) == pieces
    assert not waiting()


def test_an_error_comes_where_its_piece_would_have() -> None:
    def broken() -> Iterator[bytes]:
        yield b"1"
        yield b"2"
        raise ValueError("third")

    with ahead(broken()) as found:
        assert next(found) == b"1"
        assert next(found) == b"2"
        with pytest.raises(ValueError, match="third"):
            next(found)
    assert not waiting()


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_who_stops_early_leaves_no_thread(taken: int) -> None:
    made = []

    def endless() -> Iterator[bytes]:
        while True:
            made.append(1)
            yield b"x"

    with ahead(endless()) as found:
        for _ in range(taken):
            next(found)
    assert not waiting()
    assert len(made) < taken + 10  # it does not read on for nobody


def test_an_error_of_the_reader_ends_it_as_well() -> None:
    def read() -> None:
        with ahead(iter([b"x"] * 100)) as found:
            next(found)
            raise KeyError

    with pytest.raises(KeyError):
        read()
    assert not waiting()
