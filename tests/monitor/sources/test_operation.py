"""Operations of a source: bounded in time, ended from elsewhere."""

import threading

import pytest

from hps.monitor.source import SourceError, Trouble
from hps.monitor.sources.operation import Operations


def test_an_operation_that_takes_too_long_is_called_off() -> None:
    operations = Operations("ftp://h/m", total=0.05)
    with pytest.raises(SourceError, match="took too long") as caught, operations.one() as work:
        work.sleep(30)
    assert caught.value.trouble is Trouble.STALLED
    with operations.one() as work:
        work.check()


def test_what_fails_because_it_was_called_off_says_so() -> None:
    operations = Operations("ftp://h/m", total=30)
    assert not operations.is_closed

    def fail() -> None:
        with operations.one():
            other = threading.Thread(target=operations.close)
            other.start()
            other.join()
            raise SourceError(Trouble.MALFORMED, "half an answer")

    with pytest.raises(SourceError, match="was closed") as caught:
        fail()
    assert caught.value.trouble is Trouble.UNREACHABLE


def test_what_fails_by_itself_says_why() -> None:
    operations = Operations("ftp://h/m", total=30)
    with pytest.raises(SourceError, match="really") as caught, operations.one():
        raise SourceError(Trouble.MALFORMED, "really")
    assert caught.value.trouble is Trouble.MALFORMED


def test_nothing_begins_after_close() -> None:
    operations = Operations("ftp://h/m", total=30)
    assert not operations.close()
    with pytest.raises(SourceError, match="was closed"), operations.one():
        pytest.fail("it began")
