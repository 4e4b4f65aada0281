"""Fixtures that several rooms share."""

from tests.build.laboratory import base, debian_archive, debs, lab, shared
from tests.dockerd import docker_host

__all__ = ["base", "debian_archive", "debs", "docker_host", "lab", "shared"]
