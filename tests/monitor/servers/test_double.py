"""The double of a model server does what every model server must do."""

from pathlib import Path

import pytest

from tests.monitor.servers.contract import ServerContract, sealed
from tests.monitor.servers.double import DoubleHost


class TestDouble(ServerContract):
    @pytest.fixture
    def host(self, tmp_path: Path) -> DoubleHost:
        numbers = (1, 2, 3)
        return DoubleHost(
            {one: sealed(tmp_path / "made", one, {"weights": str(one).encode()}) for one in numbers}
        )
