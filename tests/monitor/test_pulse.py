"""A loop that stands still is seen, and one that works within its time is not."""

from hps.monitor.pulse import Pulse


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_is_late_when_its_time_is_over_and_no_longer_when_it_beats() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat("ocr", 10.0)
    pulse.beat("layout", 3600.0)  # it pulls, and may take an hour
    clock.now += 10
    assert pulse.late() == ()
    clock.now += 0.1
    assert pulse.late() == ("ocr",)
    pulse.beat("ocr", 10.0)
    assert pulse.late() == ()
    clock.now += 4000
    assert pulse.late() == ("layout", "ocr")


def test_a_loop_that_has_ended_is_not_waited_for() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat("ocr", 1.0)
    pulse.stop("ocr")
    pulse.stop("never seen")
    clock.now += 100
    assert pulse.late() == ()


def test_a_loop_that_failed_stands_until_it_beats_and_is_not_late() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat("ocr", 10.0)
    pulse.beat("layout", 10.0)
    pulse.fail("ocr")
    assert (pulse.late(), pulse.standing()) == ((), ("ocr",))
    clock.now += 11
    assert (pulse.late(), pulse.standing()) == (("layout",), ("layout", "ocr"))
    pulse.beat("ocr", 10.0)
    assert pulse.standing() == ("layout",)
    pulse.fail("ocr")
    pulse.stop("ocr")
    pulse.stop("layout")
    assert pulse.standing() == ()
