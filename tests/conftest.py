"""Fixtures that several rooms share."""

import signal

from tests.build.laboratory import base, debian_archive, debs, lab, shared
from tests.dockerd import docker_host

__all__ = ["base", "debian_archive", "debs", "docker_host", "lab", "shared"]

# A shell without job control starts what it puts in the background with SIGINT ignored, and all
# children inherit that: the tests that interrupt hps would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
