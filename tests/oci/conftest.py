"""What the tests of images share."""

from tests.dockerd import docker_host

__all__ = ["docker_host"]
