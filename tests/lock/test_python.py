"""What both resolvers write, read: pins, digests, and who asked."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from hps.lock.python import read_annotated, timestamp


def test_annotations_name_files_and_packages() -> None:
    text = "a==1\n    # via\n    #   -c limits.in\n    #   -r 0.in\n    #   b\nB==2\n    # via -r 1.in\n"
    pins = read_annotated(text, {"-r 0.in": "app.in", "-r 1.in": "web.in"})
    assert pins["a"].via == ("app.in", "b")
    assert (pins["b"].version, pins["b"].via) == ("2", ("web.in",))


PIP_COMPILE = """\
idna==3.10 \\
    --hash=sha256:{0} \\
    --hash=sha256:{1}
    # via
    #   -c limits.in
    #   -r 0.in
    #   requests
Requests==2.32.3 ; python_version > "3" \\
    --hash=sha256:{1}
    # via -r 0.in

# The following packages are considered to be unsafe in a requirements file:
setuptools==80.9.0 \\
    --hash=sha256:{0}
    # via requests
""".format("0" * 64, "1" * 64)


def test_digests_and_remarks_at_the_margin() -> None:
    pins = read_annotated(PIP_COMPILE, {"-r 0.in": "app.in"})
    assert list(pins) == ["idna", "requests", "setuptools"]
    assert pins["idna"].sha256 == {"0" * 64, "1" * 64}
    assert pins["idna"].via == ("app.in", "requests")
    assert (pins["requests"].version, pins["requests"].via) == ("2.32.3", ("app.in",))
    assert pins["setuptools"].via == ("requests",)
    assert pins["requests"].sha256 == {"1" * 64}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for name, pin in read_annotated(text, {}).items():
        assert name
        assert pin.version


def test_a_time_is_told_in_utc_and_whole_seconds() -> None:
    zone = timezone(timedelta(hours=9))
    assert timestamp(datetime(2026, 1, 1, 8, 0, 0, 999, zone)) == "2025-12-31T23:00:00Z"
    assert timestamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
