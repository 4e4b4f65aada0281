"""Serves the result files of signed URLs, for the REST façade."""

from collections.abc import Mapping
from dataclasses import dataclass

from hps_server.content_types import content_type
from hps_server.refused import Refused
from hps_server.result_storage import SignedFileStorage

# A result may hold what a caller sent: no browser takes it for a page of this server.
_HEADERS = {
    "Cache-Control": "private, max-age=60",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class SignedFile:
    """The answer to a signed URL: status 200, these headers and this body."""

    content: bytes
    headers: "Mapping[str, str]"


def read_signed(storage: SignedFileStorage, path: str, query: "Mapping[str, str]") -> SignedFile:
    """The file of a signed URL.

    Args:
        storage: where it is.
        path: what follows the base URL's path, still percent-encoded.
        query: the query's parameters.

    Raises:
        Refused: with code 404: wrong signature, too late, or the file is gone.
    """
    key = storage.urls.verify(path, query)
    try:
        content = storage.get(key)
    except KeyError:
        raise Refused("No such file", 404) from None
    return SignedFile(content, {**_HEADERS, "Content-Type": content_type(key)})
