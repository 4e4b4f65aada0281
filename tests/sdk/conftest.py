"""Packages are read by the code that runs in images."""

import sys
from pathlib import Path

import pytest

from tests.sdk.project import Place, make_project

SERVER_ENV = Path(__file__).resolve().parents[2] / "server_env"
sys.path.insert(0, str(SERVER_ENV))  # hps_server belongs to the image, it is not installed


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A project that needs no network, and no key."""
    for name in ("HPS_KEY", "HPS_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HPS_KEYS", str(tmp_path / "keys"))
    return make_project(tmp_path / "project", tmp_path / "store")
