"""A real Triton in explicit mode for the adapters; what is made of it is in real_triton.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.servers.real_triton import RealTriton
from tests.server_env.conftest import triton

__all__ = ["real", "triton"]


@pytest.fixture
def real(triton: Path, tmp_path: Path) -> Iterator[RealTriton]:
    """One Triton that serves nothing yet; ended with the test."""
    server = RealTriton(triton, tmp_path / "models")
    try:
        yield server
    finally:
        server.kill()
        for path in tmp_path.rglob("*"):  # generations are read-only, and tmp_path goes later
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
