"""Fixtures that several rooms share."""

from tests.dockerd import docker_host

__all__ = ["docker_host"]
