"""Fixtures of the tests with other clients."""

from tests.interop.clients import clients
from tests.interop.model_signing import model_signing
from tests.interop.site import key, layout, published, site, things

__all__ = ["clients", "key", "layout", "model_signing", "published", "site", "things"]
