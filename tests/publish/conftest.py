"""Servers that take what is published."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.sources.hdfs_server import hadoop_3, hdfs
from tests.monitor.sources.http_servers import Nginx, find_nginx
from tests.oci.registry_server import Authority

__all__ = ["hadoop_3", "hdfs"]
HTTP_USER, HTTP_PASSWORD = "publisher", "correct horse: battery"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of certificates of FTP servers."""
    return Authority.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """Of FTP servers that were unpacked."""
    kept: Path = request.config.cache.mkdir("hps-ftp-servers")
    return kept


@pytest.fixture(scope="session")
def nginx_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of nginx."""
    return find_nginx(tmp_path_factory.mktemp("nginx"))


@pytest.fixture
def nginx(nginx_program: str, tmp_path: Path) -> Iterator[Nginx]:
    """A server with a folder of its own."""
    with Nginx.running(tmp_path, nginx_program, HTTP_USER, HTTP_PASSWORD) as running:
        yield running
