"""Servers that the tests of sources share; each starts when the first test asks for it."""

from collections.abc import Iterator

import pytest

from tests.monitor.sources.hdfs_server import hadoop_3, hdfs
from tests.monitor.sources.s3_server import S3Server
from tests.oci.registry_server import RegistryServer

__all__ = ["hadoop_3", "hdfs"]


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry without TLS and users."""
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An object store."""
    with S3Server.running(tmp_path_factory.mktemp("swift")) as running:
        yield running
