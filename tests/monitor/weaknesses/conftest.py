"""Monitors as processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.weaknesses.drop_in import Made, making


@pytest.fixture
def drop_in(tmp_path: Path) -> Iterator[Made]:
    with making(tmp_path) as made:
        yield made
