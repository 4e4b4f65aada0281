"""Publishing into a folder of this machine."""

from pathlib import Path

import pytest

from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.publish.folders.local import LocalFolder
from hps.publish.in_folder import FolderDestination
from tests.publish.contract import DestinationContract, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "published"
    folder.mkdir()
    return Shop(
        lambda _, names: FolderDestination(LocalFolder(folder), names.donefile),
        lambda: LocalSource(LocalPlace(folder=folder, model="ocr.tar.gz", donefile="done")),
        lambda: {path.name for path in folder.iterdir()},
        connects=False,
        at_once=6,
    )


class TestLocal(DestinationContract):
    """The contract."""
