"""uv where it is not installed; with it, test_python runs it."""

import sys

import pytest

from hps.errors import LockError
from hps.lock.uv_tool import find_uv


def test_without_uv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)  # as where it is not installed
    find_uv.cache_clear()
    with pytest.raises(LockError, match="uv is not installed beside hps") as caught:
        find_uv()
    assert caught.value.hint == "pip install 'hps[build]'"
