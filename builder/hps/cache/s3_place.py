"""A folder of an S3 bucket as a place of a shared cache, by s3fs (the extra `s3`).

Credentials, region and endpoint are those that every client of S3 finds: AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, profiles, the role of the machine. Each call is bounded in time from outside, as
those libraries have patience of their own.
"""

import importlib
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hps.cache.place import ReadOnlyError
from hps.digest import Blob
from hps.errors import FetchError, IntegrityError, LimitError, NotFoundError, PublishError
from hps.store.cancellation import Cancellation
from hps.store.filesystem import PIECE
from hps.store.foreign_text import printable
from hps.store.retry import Deadlines, Pace
from hps.store.transfer import Sink
from hps.store.transport import SlowError

_PART = 8 << 20  # bytes of one part of a large object: so many are in memory


class S3Place:
    """See `hps.cache.place.Place`. An object of a bucket appears whole or not at all.

    Args:
        url: `s3://BUCKET` or `s3://BUCKET/FOLDER`.
        deadlines: of each call.
    """

    def __init__(self, url: str, deadlines: Deadlines) -> None:
        self.name = url.rstrip("/")
        self._root = self.name.removeprefix("s3://")
        self._deadlines = deadlines
        self._work = Cancellation()
        self._guard = threading.Lock()
        self._opened: tuple[Any, Callable[..., Any]] | None = None

    def read(self, document: str, limit: int) -> bytes | None:
        """See `Place`."""
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)
            if len(body) > limit:
                raise LimitError(
                    f"{document} of {self.name} is too large",
                    expected=f"at most {limit} bytes",
                    got="more",
                )

        try:
            self._receive(f"{self._root}/{document}.json", take, PIECE)
        except NotFoundError:
            return None
        return bytes(body)

    def prepare(self) -> None:
        """See `Place`; a bucket has no folders."""

    def write(self, document: str, data: bytes, names: tuple[Blob, ...] = ()) -> None:
        """See `Place`."""
        del names  # a bucket collects nothing by itself
        path = f"{self._root}/{document}.json"
        self._send(lambda system: system._pipe_file(path, data), len(data))  # noqa: SLF001 - the coroutine; its public name has no limit of time

    def has(self, blob: Blob) -> bool:
        """See `Place`."""
        path = self._blob(blob)
        try:
            info = self._call(lambda system: system._info(path, refresh=True), self._patience)  # noqa: SLF001 - see `write`
        except NotFoundError:
            return False
        return bool(info.get("type") == "file" and info.get("size") == blob.size)

    def upload(self, blob: Blob, content: Path) -> bool:
        """See `Place`."""
        path = self._blob(blob)
        try:
            if self.has(blob):
                return False
        except FetchError as error:
            raise PublishError(error.message, got=error.got, hint=error.hint) from error

        def put(system: Any) -> Awaitable[Any]:
            sent: Awaitable[Any] = system._put_file(str(content), path, chunksize=_PART)  # noqa: SLF001 - see `write`
            return sent

        self._send(put, blob.size)
        return True

    def stream(self, blob: Blob, sink: Sink, restart: Callable[[], object]) -> None:
        """See `Place`."""
        received = 0

        def take(piece: bytes) -> None:
            nonlocal received
            received += len(piece)
            if received > blob.size:
                raise self._wrong_size(blob, "more")
            sink(piece)

        for attempt in range(1, self._deadlines.attempts + 1):
            try:
                self._receive(self._blob(blob), take, PIECE)
                break
            except (NotFoundError, SlowError):
                raise
            except FetchError:
                if attempt == self._deadlines.attempts:
                    raise
                received = 0
                restart()
        if received < blob.size:
            raise self._wrong_size(blob, f"{received} bytes")

    def abandon(self) -> None:
        """See `Place`."""
        self._work.cancel()

    def close(self) -> None:
        """See `Place`; s3fs closes its connections with the process."""
        self._opened = None

    @property
    def _patience(self) -> float:
        return self._deadlines.connect + self._deadlines.idle

    def _blob(self, blob: Blob) -> str:
        return f"{self._root}/v1/blobs/sha256/{blob.digest.hex}"

    def _wrong_size(self, blob: Blob, got: str) -> IntegrityError:
        return IntegrityError(
            f"wrong size: {blob.digest} of {self.name}", expected=f"{blob.size} bytes", got=got
        )

    def _receive(self, path: str, take: Sink, piece: int) -> None:
        """Read an object from its start; a server that drips is given up."""
        file = self._call(lambda system: system.open_async(path, "rb"), self._patience)
        pace = Pace(self._deadlines, time.monotonic())
        try:
            while data := self._call(lambda _: file.read(piece), self._patience):
                take(data)
                if pace.is_too_slow(len(data), time.monotonic()):
                    raise SlowError(
                        f"gave up on {self.name}: slower than {self._deadlines.minimum_rate} "
                        "bytes per second"
                    )
        finally:
            if file.r is not None:
                file.r.close()

    def _send(self, call: Callable[[Any], Awaitable[Any]], size: int) -> None:
        try:
            self._call(call, self._patience + size / self._deadlines.minimum_rate)
        except FetchError as error:
            kind = ReadOnlyError if isinstance(error.__cause__, PermissionError) else PublishError
            raise kind(
                error.message.replace("cannot read", "cannot write"), hint=error.hint
            ) from error

    def _call(self, call: Callable[[Any], Awaitable[Any]], seconds: float) -> Any:
        self._work.check()
        system, run = self._system()
        try:
            return run(system.loop, call, system, timeout=seconds)
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.name} has no such object") from error
        except TimeoutError as error:
            raise FetchError(f"{self.name}: no answer within {seconds:g} s") from error
        except Exception as error:
            # The package raises what it likes: botocore's, aiohttp's and its own.
            text = printable(str(error).strip().partition("\n")[0], 200) or type(error).__name__
            raise FetchError(
                f"cannot read {self.name}: {text}",
                hint="credentials and endpoint come from the environment and the profiles of AWS "
                "clients; reading needs s3:GetObject and s3:ListBucket, pushing s3:PutObject too",
            ) from error

    def _system(self) -> tuple[Any, Callable[..., Any]]:
        with self._guard:
            if self._opened is None:
                self._opened = _open(self._deadlines)
            return self._opened


def _open(deadlines: Deadlines) -> tuple[Any, Callable[..., Any]]:
    try:
        s3fs = importlib.import_module("s3fs")  # not everybody has it, and it has no types
        run = importlib.import_module("fsspec.asyn").sync
    except ImportError as error:
        raise FetchError(
            "a cache in S3 needs the package s3fs, which is not installed",
            hint="pip install 'hps[s3]'",
        ) from error
    settings = {
        "connect_timeout": deadlines.connect,
        "read_timeout": deadlines.idle,
        "retries": {"max_attempts": 1},
    }
    system = s3fs.S3FileSystem(
        config_kwargs=settings, skip_instance_cache=True, use_listings_cache=False
    )
    system.retries = deadlines.attempts
    return system, run
