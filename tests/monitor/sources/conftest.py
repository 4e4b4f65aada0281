"""Servers that the tests of sources share; each starts when the first test asks for it."""

from collections.abc import Iterator

import pytest

from tests.oci.registry_server import RegistryServer


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry without TLS and users."""
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running
