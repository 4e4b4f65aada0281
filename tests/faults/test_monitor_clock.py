"""A clock that is set back and forward under a running monitor: nothing false, nothing stuck."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hps.monitor.journal import read
from tests.faults.monitored import eventually
from tests.faults.test_monitor_owned import Shop
from tests.servers import HostileServer

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
_SECONDS = 60.0


class Clock:
    """What a process takes for the time; changed while it runs. Durations stay what they are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set("+0")

    def set(self, offset: str) -> None:
        """`+365d`, `-60d`, `+0`."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.rename(self._file)

    @property
    def before(self) -> tuple[str, ...]:
        """What goes before a command."""
        variables = {
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        words = [f"{name}={value}" for name, value in variables.items()]
        return ("env", f"LD_PRELOAD={library}", *words)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with HostileServer() as server, contextlib.closing(Shop(tmp_path, server)) as made:
        yield made


@pytest.fixture
def clock(shop: Shop, tmp_path: Path) -> Clock:
    made = Clock(tmp_path / "clock")
    shop.before = made.before
    return made


def refused(shop: Shop, reason: str) -> None:
    """Until the journal names it."""
    journal = shop.place / "state" / "ocr" / "journal"

    def said() -> bool:
        return any(f'"{reason}"' in str(one.state).replace("'", '"') for one in read(journal))

    assert eventually(said, _SECONDS) is not None, reason


def test_a_clock_that_jumps_stops_nothing(shop: Shop, clock: Clock) -> None:
    shop.lab.publish(1)
    process = shop.monitor()
    shop.wait_live(1)
    for number, offset in enumerate(("+5d", "+20d", "+0"), start=2):
        clock.set(offset)
        shop.lab.publish(number)
        shop.wait_live(number)
    assert process.poll() is None


def test_ahead_of_time_a_release_is_over(shop: Shop, clock: Clock) -> None:
    """What is live stays; when the clock is right again, the next release goes live."""
    shop.lab.publish(1)
    shop.monitor()
    shop.wait_live(1)
    clock.set("+365d")
    shop.lab.publish(2)
    refused(shop, "expired")
    assert shop.lab.live(shop.place) == 1
    clock.set("+0")
    shop.lab.publish(3)
    shop.wait_live(3)


def test_behind_time_what_is_over_is_not_taken_for_new(shop: Shop, clock: Clock) -> None:
    """A release that ended a month ago, under a clock that was set back to before that."""
    shop.lab.publish(1)
    shop.monitor()
    shop.wait_live(1)
    publisher = shop.lab.publisher
    now, publisher.issued = publisher.issued, publisher.issued - timedelta(days=60)
    clock.set("-50d")
    shop.lab.publish(2)
    refused(shop, "clock-behind")
    assert shop.lab.live(shop.place) == 1
    clock.set("+0")
    refused(shop, "expired")
    assert shop.lab.live(shop.place) == 1
    publisher.issued = now
    shop.lab.publish(3)
    shop.wait_live(3)


def test_a_host_that_wakes_up_in_the_past_waits_for_its_clock(shop: Shop, clock: Clock) -> None:
    clock.set("-400d")
    shop.lab.publish(1)
    shop.monitor()
    refused(shop, "not-yet-valid")
    assert shop.lab.live(shop.place) is None
    clock.set("+0")
    shop.wait_live(1)
