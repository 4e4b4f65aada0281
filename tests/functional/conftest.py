"""Servers that commands talk to."""

from tests.monitor.sources.hdfs_server import hdfs

__all__ = ["hdfs"]
