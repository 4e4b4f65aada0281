"""Results on Baidu Object Storage, by PaddleX's own client (`bce-python-sdk`).

The client tells what is not there by errors of its own; here it is `KeyError`, as everywhere.
"""

import http.client
import importlib
from typing import Any

_MISSING = 404
_NO_BUCKET = "NoSuchBucket"


class BosError(Exception):
    """The object storage did not do what it was asked; the message holds no secret."""


class BosStorage:
    """PaddleX's `BOS` with the errors of a storage.

    Args:
        config: the arguments of PaddleX's `BOSConfig`.

    Raises:
        ValueError: the configuration is wrong.
    """

    def __init__(self, config: "dict[str, Any]") -> None:
        paddlex = importlib.import_module("paddlex.inference.serving.infra.storage")
        errors = importlib.import_module("baidubce.exception")
        self._errors = (errors.BceError, OSError, http.client.HTTPException)
        self._bucket = config["bucket_name"]
        self._bos: Any = paddlex.BOS(paddlex.BOSConfig(**config))
        try:
            self.get_url("any")  # the client looks at the names of bucket and host only here
        except TypeError:
            raise ValueError("endpoint names no host") from None

    def get(self, key: str) -> bytes:
        """The blob of a key.

        Raises:
            KeyError: there is none.
            BosError: the storage refused or did not answer.
        """
        try:
            found: bytes = self._bos.get(key)
        except self._errors as error:
            raise self._meaning(error, "GET", key) from None
        return found

    def set(self, key: str, value: bytes) -> None:
        """Keep a blob.

        Raises:
            BosError: the storage refused or did not answer.
        """
        try:
            self._bos.set(key, value)
        except self._errors as error:
            raise self._failure(error, "PUT") from None

    def delete(self, key: str) -> None:
        """Forget a blob; one that is not there is forgotten already.

        Raises:
            BosError: the storage refused or did not answer.
        """
        try:
            self._bos.delete(key)
        except self._errors as error:
            meaning = self._meaning(error, "DELETE", key)
            if not isinstance(meaning, KeyError):
                raise meaning from None

    def get_url(self, key: str, expires_in: int = -1) -> str:
        """A URL that reads the blob; -1 is one that never ends."""
        url: str = self._bos.get_url(key, expires_in)
        return url

    def _meaning(self, error: Exception, method: str, key: str) -> Exception:
        status, code = _answer(error)
        if status == _MISSING and code != _NO_BUCKET:
            return KeyError(key)
        return self._failure(error, method)

    def _failure(self, error: Exception, method: str) -> BosError:
        status, code = _answer(error)
        last = getattr(error, "last_error", None) or error
        said = f"status {status} {code}".rstrip() if status else type(last).__name__
        return BosError(f"{method} in bucket {self._bucket}: {said}")


def _answer(error: Exception) -> "tuple[int, str]":
    """Status and error code of the server's answer; 0 when there was none."""
    last = getattr(error, "last_error", None) or error
    code = getattr(last, "code", None) or ""
    text = code.decode("ascii", "replace") if isinstance(code, bytes) else str(code)
    return int(getattr(last, "status_code", None) or 0), text
