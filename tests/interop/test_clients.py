"""Clients that cannot be had: the tests say so, and CI does not pass them over."""

from pathlib import Path

import pytest

from tests.interop.clients import Clients, prepare
from tests.interop.private_apt import UnavailableError

ABSENT = Clients({}, "the archive could not be reached")


def test_a_missing_client_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPS_REQUIRE_CLIENTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="cosign3 cannot be had: the archive"):
        ABSENT.get("cosign3")


def test_a_missing_client_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPS_REQUIRE_CLIENTS", "1")
    with pytest.raises(pytest.fail.Exception, match="cosign3 cannot be had: the archive"):
        ABSENT.get("cosign3")


def test_an_archive_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPS_DEBIAN_CLIENTS", "http://127.0.0.1:9/debian")
    with pytest.raises(UnavailableError, match="apt-get update: E: "):
        prepare(tmp_path)
    assert not (tmp_path / "whole").exists()
