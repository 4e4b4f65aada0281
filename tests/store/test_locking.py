"""Builds share the store, a collection has it alone."""

import threading
from pathlib import Path

import pytest

from hps.errors import StoreBusyError, StoreError
from hps.store import locking


def test_many_share_and_one_alone_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locking.shared(lock), locking.shared(lock):
        with (
            pytest.raises(StoreBusyError, match="builds are using the store") as caught,
            locking.exclusive(lock, wait=False),
        ):
            pytest.fail("held by others")
        assert "--wait" in (caught.value.hint or "")
    with locking.exclusive(lock, wait=False):
        pass


@pytest.mark.parametrize("first", ["shared", "exclusive"])
def test_who_waits_says_so_once_and_gets_it(tmp_path: Path, first: str) -> None:
    lock = tmp_path / "lock"
    waiting, done = threading.Event(), threading.Event()

    def second() -> None:
        one_more = (
            locking.exclusive(lock, wait=True, on_wait=waiting.set)
            if first == "shared"
            else locking.shared(lock, on_wait=waiting.set)
        )
        with one_more:
            done.set()

    thread = threading.Thread(target=second)
    held = locking.shared(lock) if first == "shared" else locking.exclusive(lock, wait=False)
    with held:
        thread.start()
        assert waiting.wait(30)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for lock in (tmp_path / "file" / "lock", tmp_path / "none" / "lock"):
        with pytest.raises(StoreError, match="cannot lock"), locking.shared(lock):
            pytest.fail("locked")
        with pytest.raises(StoreError, match="cannot lock"), locking.exclusive(lock, wait=True):
            pytest.fail("locked")
