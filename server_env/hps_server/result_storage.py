"""Where result files go: `Serving: extra: file_storage:` of the pipeline's configuration.

PaddleX's types `memory`, `file_system` and `bos` keep their keys; here memory is bounded, files
are written whole and removed when they are old, and `s3` and signed URLs of files are new.
Secrets are named by file or environment variable; PaddleX's plain `ak` and `sk` keep working.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from hps_server.bos import BosStorage
from hps_server.file_storage import FileStorage
from hps_server.s3 import Bucket, Credentials, S3Storage
from hps_server.signed_urls import SignedUrls

DEFAULT_AGE = 24 * 3600
DEFAULT_MEMORY = 256 << 20


class StorageError(ValueError):
    """The storage is not configured as it must be."""


class Storage(Protocol):
    """What PaddleX's serving asks of a storage; one that has `get_url` can also return URLs."""

    def get(self, key: str) -> bytes:
        """The blob of a key; KeyError when there is none."""

    def set(self, key: str, value: bytes) -> None:
        """Keep a blob."""

    def delete(self, key: str) -> None:
        """Forget a blob."""


class MemoryStorage:
    """Blobs in memory, the oldest forgotten when there are too many bytes or too much time."""

    def __init__(
        self,
        *,
        max_bytes: int = DEFAULT_MEMORY,
        max_age_seconds: "float | None" = DEFAULT_AGE,
        clock: "Callable[[], float]" = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age_seconds
        self._clock = clock
        self._blobs: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        """The blob of a key; KeyError when there is none."""
        with self._lock:
            self._evict()
            return self._blobs[key][1]

    def set(self, key: str, value: bytes) -> None:
        """Keep a blob, and forget older ones for it; one above the bound is not kept."""
        with self._lock:
            self._remove(key)
            self._blobs[key] = (self._clock(), value)
            self._bytes += len(value)
            self._evict()

    def delete(self, key: str) -> None:
        """Forget a blob."""
        with self._lock:
            self._remove(key)

    def _evict(self) -> None:
        now = self._clock()
        while self._blobs:
            key, (since, _) = next(iter(self._blobs.items()))
            old = self._max_age is not None and now - since > self._max_age
            if not old and self._bytes <= self._max_bytes:
                return
            self._remove(key)

    def _remove(self, key: str) -> None:
        _, blob = self._blobs.pop(key, (0.0, b""))
        self._bytes -= len(blob)


class SignedFileStorage(FileStorage):
    """A directory whose blobs are read by signed URLs."""

    def __init__(self, directory: Path, urls: SignedUrls, **options: Any) -> None:
        super().__init__(directory, **options)
        self.urls = urls

    def get_url(self, key: str, expires_in: int = -1) -> str:
        """A URL that reads the blob; -1 is as long as the blob is kept."""
        return self.urls.url(key, expires_in)


def result_storage(
    config: "Mapping[str, Any] | None", environment: "Mapping[str, str]" = os.environ
) -> "Storage | None":
    """The storage that a configuration asks for; None without one.

    Raises:
        StorageError: the configuration is wrong; the message names key and type, no secret.
    """
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise StorageError("file_storage must be a mapping")
    given = _Keys({str(key).replace("-", "_"): value for key, value in config.items()}, environment)
    kind = given.text("type", "memory")
    makers = {"memory": _memory, "file_system": _files, "bos": _bos, "s3": _s3}
    if kind not in makers:
        raise StorageError(f"file_storage.type is {kind!r}; known are {', '.join(makers)}")
    try:
        storage = makers[kind](given)
    except (ValueError, OSError) as error:
        raise StorageError(f"file_storage of type {kind}: {error}") from None
    unknown = ", ".join(sorted(given.left()))
    if unknown:
        raise StorageError(f"file_storage of type {kind} knows no {unknown}")
    return storage


def returns_urls(serving: "Mapping[str, Any]", storage: "Storage | None") -> bool:
    """Whether results are URLs: `return_urls`, or the older `extra: return_img_urls`.

    Raises:
        StorageError: they are asked for and the storage has none.
    """
    extra = serving.get("extra") or {}
    asked = serving.get("return_urls")
    asked = bool(extra.get("return_img_urls")) if asked is None else bool(asked)
    if asked and not hasattr(storage, "get_url"):
        hint = "s3, bos, or file_system with base_url and secret_file"
        raise StorageError(f"return_urls needs a file_storage that has URLs: {hint}")
    return asked


class _Keys:
    """The keys of a configuration, each taken once."""

    def __init__(self, given: "dict[str, Any]", environment: "Mapping[str, str]") -> None:
        self._given = given
        self._environment = environment

    def left(self) -> "set[str]":
        return {name for name, value in self._given.items() if value is not None}

    def text(self, name: str, default: "str | None" = None) -> str:
        value = self._given.pop(name, None)
        value = default if value is None else value
        if not isinstance(value, (str, os.PathLike)):
            raise StorageError(f"{name} must be given as text")
        return os.fspath(value)

    def number(self, name: str, default: int) -> int:
        value = self._given.pop(name, None)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or value < -1 or value == 0:
            raise StorageError(f"{name} must be a whole number from 1, or -1 for no bound")
        return value

    def truth(self, name: str, *, default: bool) -> bool:
        value = self._given.pop(name, default)
        if not isinstance(value, bool):
            raise StorageError(f"{name} must be true or false")
        return value

    def bound(self, name: str, default: int) -> "int | None":
        value = self.number(name, default)
        return None if value == -1 else value

    def secret(self, name: str, *variables: str, plain: str = "", needed: bool = True) -> str:
        """A secret from `NAME_file`, from the first variable that is set, or from a plain key."""
        path = self._given.pop(f"{name}_file", None)
        inline = self._given.pop(plain, None) if plain else None
        if path is not None:
            return Path(path).read_text(encoding="utf-8").strip()
        for variable in variables:
            if self._environment.get(variable):
                return self._environment[variable]
        if inline is not None:
            return str(inline)
        if needed:
            raise StorageError(f"needs {name}_file or the variable {variables[0]}")
        return ""


def _memory(keys: _Keys) -> Storage:
    return MemoryStorage(
        max_bytes=keys.bound("max_bytes", DEFAULT_MEMORY) or (1 << 62),
        max_age_seconds=keys.bound("max_age_seconds", DEFAULT_AGE),
    )


def _files(keys: _Keys) -> Storage:
    directory = Path(keys.text("directory"))
    base_url = keys.text("base_url", "")
    age, size = keys.bound("max_age_seconds", DEFAULT_AGE), keys.bound("max_bytes", -1)
    if not base_url:
        return FileStorage(directory, max_age_seconds=age, max_bytes=size)
    secret = keys.secret("secret", "HPS_SERVER_URL_SECRET")
    urls = SignedUrls(base_url, secret.encode())
    return SignedFileStorage(directory, urls, max_age_seconds=age, max_bytes=size)


def _bos(keys: _Keys) -> Storage:
    config = {
        "endpoint": keys.text("endpoint"),
        "ak": keys.secret("ak", "HPS_SERVER_BOS_AK", plain="ak"),
        "sk": keys.secret("sk", "HPS_SERVER_BOS_SK", plain="sk"),
        "bucket_name": keys.text("bucket_name"),
        "key_prefix": keys.text("key_prefix", "") or None,
        "connection_timeout_in_mills": keys.bound("connection_timeout_in_mills", -1),
    }
    return BosStorage(config)


def _s3(keys: _Keys) -> Storage:
    bucket = Bucket(
        endpoint=keys.text("endpoint"),
        name=keys.text("bucket_name"),
        region=keys.text("region", "us-east-1"),
        path_style=keys.truth("path_style", default=True),
        prefix=keys.text("key_prefix", ""),
        public_endpoint=keys.text("public_endpoint", ""),
    )
    credentials = Credentials(
        keys.secret("access_key", "HPS_SERVER_S3_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        keys.secret("secret_key", "HPS_SERVER_S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        keys.secret(
            "session_token", "HPS_SERVER_S3_SESSION_TOKEN", "AWS_SESSION_TOKEN", needed=False
        ),
    )
    return S3Storage(bucket, credentials, timeout=keys.number("timeout_seconds", 30))
