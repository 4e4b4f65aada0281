"""Vector stores of PP-ChatOCR that travel through the caller: only our own come back in.

`buildVectorStore` answers with a pickle in base64 (`vectorInfo.vector`), and `chat` unpickles what
the caller sends. A seal, an HMAC-SHA256 over that text, goes along; without it nothing is
unpickled. Servers that share a key take each other's vector stores.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hps_server.refused import Refused

KEY_VARIABLE = "HPS_SERVER_SEAL_KEY_FILE"
FIELD = "seal"
_SHORTEST_KEY = 16


class VectorSeal:
    """Seals vector stores on their way out and checks them on their way in."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _SHORTEST_KEY:
            raise ValueError(f"the key of vector stores must be at least {_SHORTEST_KEY} bytes")
        self._key = key

    @classmethod
    def from_environment(cls, environment: "Mapping[str, str]") -> "VectorSeal":
        """With the key in the file that `HPS_SERVER_SEAL_KEY_FILE` names, or a key of this run.

        Raises:
            OSError: the file cannot be read.
            ValueError: the key is too short.
        """
        path = environment.get(KEY_VARIABLE)
        return cls(Path(path).read_bytes().strip() if path else secrets.token_bytes(32))

    def close(self, vector_info: "dict[str, Any]") -> None:
        """Put the seal on the `vectorInfo` of an answer."""
        if isinstance(vector_info.get("vector"), str):
            vector_info[FIELD] = self._seal(vector_info["vector"])

    def open(self, document: "Mapping[str, Any]") -> None:
        """Check the `vectorInfo` of a request, and take the seal off.

        Raises:
            Refused: it holds a vector store that was not made with this key.
        """
        info = document.get("vectorInfo")
        if not isinstance(info, dict):
            return
        given = info.pop(FIELD, None)
        vector = info.get("vector")
        if not isinstance(vector, str):  # texts too short for vectors are a list of strings
            return
        sealed = isinstance(given, str) and given.isascii()
        if not sealed or not hmac.compare_digest(self._seal(vector), str(given)):
            raise Refused("vectorInfo was not made by this server: build the vector store anew")

    def _seal(self, vector: str) -> str:
        text = vector.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, b"hps-vector\n" + text, hashlib.sha256).hexdigest()
