"""Fixtures of the tests with other clients."""

from tests.interop.clients import clients
from tests.interop.site import layout, published, site

__all__ = ["clients", "layout", "published", "site"]
