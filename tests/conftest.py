"""Fixtures that several rooms share."""

import signal
from collections.abc import Generator

import pytest

from tests.build.laboratory import base, debian_archive, debs, lab, shared
from tests.build.rc_laboratory import rc_base, rc_lab
from tests.dockerd import docker_host

__all__ = ["base", "debian_archive", "debs", "docker_host", "lab", "rc_base", "rc_lab", "shared"]

# A shell without job control starts what it puts in the background with SIGINT ignored, and all
# children inherit that: the tests that interrupt hps would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged may hold names that are no UTF-8, which xdist cannot send."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
