"""Fixtures of the tests with other clients."""

from tests.interop.clients import clients
from tests.interop.site import key, layout, published, site, things

__all__ = ["clients", "key", "layout", "published", "site", "things"]
