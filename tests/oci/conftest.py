"""Fixtures of several tests of registries."""

from tests.oci.registry_lab import elsewhere, hasty, registry, server

__all__ = ["elsewhere", "hasty", "registry", "server"]
