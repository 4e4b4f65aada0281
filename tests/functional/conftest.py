"""Servers that commands talk to, and the base images of several tests of whole processes."""

from tests.build.base_lab import (
    base_archive,
    base_image,
    base_lab,
    base_layers,
    base_registry,
    empty_base_lab,
    locked_base,
)
from tests.monitor.sources.hdfs_server import hdfs

__all__ = [
    "base_archive",
    "base_image",
    "base_lab",
    "base_layers",
    "base_registry",
    "empty_base_lab",
    "hdfs",
    "locked_base",
]
