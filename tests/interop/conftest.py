"""What the tests with other programs share."""

from tests.dockerd import docker_host

__all__ = ["docker_host"]
