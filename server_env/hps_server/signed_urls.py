"""URLs of result files that carry their own permission: made by the storage, checked at the door.

The signature is an HMAC-SHA256 over the file's key and the time when it ends, so that whoever
has a URL can read one file until then, and nothing else.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from hps_server.refused import Refused

SHORTEST_SECRET = 16  # bytes
_NEVER = 0
_UNKNOWN = "No such file"


class SignedUrls:
    """Makes and checks the URLs below one address."""

    def __init__(self, base_url: str, secret: bytes) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"the secret must be at least {SHORTEST_SECRET} bytes")
        self._base_url = base_url.rstrip("/")
        self._secret = secret

    def url(self, key: str, expires_in: int = -1) -> str:
        """The URL of a file.

        Args:
            key: the file's key.
            expires_in: seconds; -1 for a URL that does not end before its file does.
        """
        expires = _NEVER if expires_in < 0 else int(time.time()) + expires_in
        query = urlencode({"expires": expires, "signature": self._sign(key, expires)})
        return f"{self._base_url}/{quote(key)}?{query}"

    def verify(self, path: str, query: "Mapping[str, str]") -> str:
        """The key that a requested URL gives access to.

        Args:
            path: what follows the base URL's path, still percent-encoded.
            query: the query's parameters.

        Raises:
            Refused: the signature is wrong or its time is over; the code is 404, as somebody
                without a valid URL learns nothing about which files there are.
        """
        key = unquote(path.lstrip("/"))
        expires = query.get("expires", "")
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16):  # noqa: PLR2004 - digits
            raise Refused(_UNKNOWN, 404)
        expected = self._sign(key, int(expires)).encode()
        given = query.get("signature", "").encode("utf-8", "replace")
        over = int(expires) != _NEVER and time.time() >= int(expires)
        if not hmac.compare_digest(expected, given) or over:
            raise Refused(_UNKNOWN, 404)
        return key

    def _sign(self, key: str, expires: int) -> str:
        text = f"hps-file\n{expires}\n{key}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()
