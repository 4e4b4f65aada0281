"""Bytes from outside that went wrong: valid ones, changed a few times, for fuzzing with hypothesis.

What a parser guards with a checksum it is given with a checksum that fits, so that mutations
reach what lies behind it.
"""

import contextlib
import resource
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

from hypothesis import strategies as st

# What formats give a meaning to: limits, escapes, separators, other encodings.
TOKENS = (
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\xc0\xaf", b"\x1f\x8b"),
    *(b"0", b"-1", b"1e999", b"9" * 20, b"9" * 5000, b"0x" + b"f" * 5000, b"NaN", b"inf", b"1.5"),
    *(
        b"\n",
        b"\r\n",
        b"\n\n",
        b" ",
        b"\t",
        b",",
        b'"',
        b"'",
        b"'''",
        b"#",
        b":",
        b"=",
        b"/",
        b"\\",
    ),
    *(b"../", b"//", b".", b"C:", b"[", b"]", b"{", b"}", b"null", b"true", b"[]", b"{}", b'""'),
    *(b"[" * 3000, b"{" * 200, b'{"a":' * 3000, b"a." * 3000, b"x" * 70_000, b"((" * 3000),
    *(b"<a href=", b"<base href=", b"<!--", b"&#x110000;", b"http://[", b"file:///", b"PK\5\6"),
    *(b"sha256:", b"sha256=", b"=?utf-8?q?x?=", b"1979-99-99", b"25:99:99", b"\xe2\x80\xae"),
)
MEMORY = 1 << 30  # bytes that a parser may take beyond what the process has
SECONDS = 60  # processor time after which a parser hangs


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, changed up to six times; now and then no seed at all."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.sampled_from((0, 1, 1, 2, 4, 16, 100, 1000))))
        change = draw(st.sampled_from(("put", "put", "bytes", "flip", "cut", "repeat", "splice")))
        if change == "put":
            piece = draw(st.sampled_from(TOKENS))
        elif change == "bytes":
            piece = draw(st.binary(max_size=8))
        elif change == "flip":
            piece = bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : min(end, at + 4)])
            end = at + len(piece)
        elif change == "repeat":
            piece = data[at:end] * draw(st.sampled_from((2, 3, 300)))
        elif change == "splice":
            other = draw(st.sampled_from(seeds))
            start = draw(st.integers(0, len(other)))
            piece = other[start : start + draw(st.integers(0, 200))]
        else:
            piece, end = b"", end if draw(st.booleans()) else len(data)
        data = data[:at] + piece + data[end:]
    return data


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Memory and processor time for one input: a parser that wants more fails the test."""

    def hang(_: int, frame: FrameType | None) -> None:
        raise AssertionError(f"more than {SECONDS} s for one input, in {frame}")

    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = _address_space()
    before = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _address_space() -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - as cheap as it can be
        return int(file.read().split()[0]) * resource.getpagesize()
