"""A disk without room and folders without rights: what is live stays, and it goes on by itself."""

import contextlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.model.policy import Trust
from hps.monitor.sources.local import LocalPlace, LocalSource
from tests.faults.disks import mounted
from tests.faults.monitored import CAPS, FolderShelf, Live, Monitored, Publisher, eventually, rules
from tests.faults.test_monitor_owned import Shop
from tests.servers import HostileServer

_SECONDS = 60.0
# Bytes that are left: for nothing, for a record of the journal, for a part of a pull, ...
_ROOMS = (0, 4096, 8192, 20_000, 60_000, 150_000, 250_000, 350_000, 500_000, 900_000)
# Root may write everywhere; without these it may write where the mode says so.
_ORDINARY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")


def fill(disk: Path, room: int) -> None:
    """Leave so many bytes."""
    state = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        file.write(bytes(max(0, state.f_bavail * state.f_frsize - room)))


def starve(disk: Path, room: int, publisher: Publisher, monitored: Monitored, live: Live) -> None:
    """Publish while there is only so much room, and then give room."""
    fill(disk, room)
    version = publisher.publish()
    before = monitored.counts()["failures pull disk"]

    def met() -> bool:
        failed = monitored.counts()["failures pull disk"] > before + 1
        return failed or monitored.thread.fault is not None or live.is_at(version)

    eventually(met, 2.0)
    live.version()
    (disk / "filler").unlink()
    done = eventually(lambda: live.is_at(version), _SECONDS)
    assert done is not None, (room, monitored.runner.status())
    live.version()


@pytest.mark.parametrize("packed", [True, False])
def test_a_full_disk_leaves_what_is_live_alone(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "published").mkdir()
    model = "ocr.tar" if packed else "ocr"
    place = LocalPlace(
        folder=tmp_path / "published", model=model, donefile="donefile", packed=packed
    )
    shelf = FolderShelf(tmp_path / "published")
    publisher = Publisher(shelf, model, Trust.SIGNATURE, random.Random(7))
    with mounted(tmp_path / "disk", "4M") as disk:
        monitored = Monitored(disk, LocalSource(place, CAPS), rules(Trust.SIGNATURE), spare=0)
        live = Live(monitored.live, publisher.published)
        publisher.publish()
        monitored.thread.start()
        try:
            assert eventually(lambda: live.is_at(1), _SECONDS) is not None
            for room in _ROOMS:
                starve(disk, room, publisher, monitored, live)
        finally:
            monitored.stop()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not there to take that away")
    with HostileServer() as server, contextlib.closing(Shop(tmp_path, server)) as made:
        yield made


@pytest.mark.parametrize(
    "folder", ["served", "served/.hps/ocr/serving", "state/ocr/staging", "state/ocr/generations"]
)
def test_rights_that_were_lost_and_given_back(shop: Shop, folder: str) -> None:
    shop.before = _ORDINARY if os.geteuid() == 0 else ()
    shop.lab.publish(1)
    process = shop.monitor()
    shop.wait_live(1)
    path = shop.place / folder
    mode = path.stat().st_mode
    path.chmod(0o555)
    shop.lab.publish(2)
    shop.wait_said(process, "step-failed")
    assert "ermission denied" in shop.said(process)
    assert shop.lab.live(shop.place) == 1
    path.chmod(mode)
    shop.wait_live(2)
    assert process.poll() is None
