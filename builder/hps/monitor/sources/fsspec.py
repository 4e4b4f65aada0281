"""Whatever the package fsspec reaches as a place of models, such as S3 and Google Cloud Storage.

The package and those of its file systems are imported when a place is first asked. Credentials
are theirs: environment, profiles, roles of the machine. Nothing is cached between two questions.
"""

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hps.errors import ConfigError
from hps.monitor.look import agree, too_large
from hps.monitor.source import (
    PIECE,
    Caps,
    Donefile,
    Found,
    Patience,
    Reading,
    SourceError,
    Trouble,
    no_regular_file,
)
from hps.monitor.sources import fsspec_info
from hps.monitor.sources.fsspec_faults import explained, trouble_of
from hps.monitor.sources.operation import Operations
from hps.monitor.sources.paced import paced
from hps.monitor.sources.patient_call import PatientCalls
from hps.store import url as address
from hps.store.cancellation import Cancellation, Cancelled

_LARGEST = 16  # pieces that one request asks for at most
_QUICK = 1.0  # seconds for a request, below which the next one asks for more
_S3 = frozenset({"s3", "s3a"})

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class FsspecPlace:
    """Where a model is published, by an address of fsspec.

    Args:
        url: what stands before the folder: `s3://bucket`.
        folder: of both.
        model: name of the packed model or of the model's folder, below `folder`.
        donefile: name likewise.
        packed: the model is one file.
        options: of the file system; "true", "false" and numbers mean what they say.
    """

    url: str
    folder: str
    model: str
    donefile: str
    packed: bool
    options: Mapping[str, str]


class FsspecSource:
    """See `hps.monitor.source.Source`.

    `idle` bounds each request; a request asks for 1 MiB, and for more where answers come quickly.
    """

    def __init__(
        self, place: FsspecPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        check(place)
        self._place = place
        self._patience = patience or Patience()
        self._caps = caps or Caps()
        self._operations = Operations(self.name, self._patience.total)
        self._calls = PatientCalls(self.name)
        self._opened: tuple[Any, str] | None = None  # the file system, and where `url` leads in it
        self._known: Donefile | None = None

    @property
    def name(self) -> str:
        """See `Source`."""
        return _joined(self._place.url, self._place.folder, self._place.model)

    def close(self) -> None:
        """See `Source`."""
        self._operations.close()
        self._opened = None

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        with self._operation() as work:
            path = self._path(work, self._place.donefile)
            try:
                found = self._info(work, path, "")
            except SourceError as error:
                if error.trouble is Trouble.MISSING:
                    return None
                raise
            if self._known is None or found.resolution or self._known.found != found:
                content = b"".join(self._pieces(work, path, found, 0, self._caps.donefile))
                self._known = Donefile(found, content)
            return self._known

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        with self._operation() as work:
            path = self._path(work, self._place.model)
            if self._place.packed:
                return (self._info(work, path, ""),)
            found = list(self._walk(work, path))
        if not found:
            raise SourceError(Trouble.MISSING, f"there is no file in {self.name}")
        return tuple(sorted(found, key=lambda each: each.path.encode("utf-8", "surrogatepass")))

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        with self._operation() as work:
            path = self._path(work, self._place.model)
            path = f"{path}/{found.path}" if found.path else path
            now = self._info(work, path, found.path)
            if now.size is not None and now.size > self._caps.bytes:
                raise too_large("bytes", self._caps.bytes, now.size)
            start = offset if agree(found, now) and offset <= (now.size or 0) else 0
            yield Reading(start, now, self._pieces(work, path, now, start, self._caps.bytes + 1))

    def _pieces(
        self, work: Cancellation, path: str, found: Found, start: int, most: int
    ) -> Iterator[bytes]:
        """The bytes of a file from `start` on, `most` at most; ends early only by an error."""
        file = self._call(work, lambda: _open(self._system(), path))
        try:
            held, end = start, most if found.size is None else min(found.size, most)
            blocks = self._blocks(work, file, start, end)
            for block in paced(blocks, self._patience, self.name):
                held += len(block)
                if held > self._caps.bytes:
                    raise too_large("bytes", self._caps.bytes, f"{held} and more")
                for at in range(0, len(block), PIECE):
                    yield block[at : at + PIECE]
        finally:
            with contextlib.suppress(SourceError, Cancelled):
                self._call(work, file.close)
        now = self._info(work, path, found.path)
        if not agree(found, now):
            raise SourceError(Trouble.CHANGED, f"{path!r} changed while it was read")
        if found.size is not None and held < end:
            raise SourceError(
                Trouble.TRUNCATED,
                f"{path!r} ended early",
                expected=f"{found.size} bytes",
                got=f"{held} bytes",
            )

    def _blocks(self, work: Cancellation, file: Any, start: int, end: int) -> Iterator[bytes]:
        if start:
            self._call(work, lambda: file.seek(start))
        wanted, left = 1, end - start
        while left > 0:
            size, began = min(left, wanted * PIECE), time.monotonic()
            block: bytes = self._call(work, partial(file.read, size))
            now = time.monotonic()
            if not block:
                return
            left -= len(block)
            yield bytes(block)
            wanted = min(wanted * 2, _LARGEST) if now - began < _QUICK else 1

    def _walk(self, work: Cancellation, top: str) -> Iterator[Found]:
        """All files below a folder."""
        waiting, seen = [""], 0
        while waiting:
            folder = waiting.pop()
            for entry in self._list(work, f"{top}/{folder}".rstrip("/")):
                path = _below(top, entry)
                if path == folder.rstrip("/"):  # the mark of a folder that object stores keep
                    continue
                seen += 1
                if seen > self._caps.files:
                    raise too_large("files and folders", self._caps.files, f"{seen} and more")
                if entry.get("type") == "file" and not entry.get("islink"):
                    yield fsspec_info.found(path, entry, self._protocol())
                elif entry.get("type") != "directory" or entry.get("islink"):
                    raise no_regular_file(f"{path[:200]!r} at {self.name}")
                elif path.count("/") >= self._caps.depth:
                    raise too_large("folders below each other", self._caps.depth, path[:200])
                else:
                    waiting.append(f"{path}/")

    def _list(self, work: Cancellation, path: str) -> list[dict[str, Any]]:
        entries = self._call(work, lambda: self._system().ls(path, detail=True))
        return list(entries)

    def _info(self, work: Cancellation, path: str, name: str) -> Found:
        info = self._call(work, lambda: self._system().info(path))
        if info.get("type") != "file":
            if info.get("type") == "directory":
                raise SourceError(Trouble.MISSING, f"{path!r} is a folder and no file")
            raise no_regular_file(f"{(name or path)[:200]!r} at {self.name}")
        return fsspec_info.found(name, info, self._protocol())

    @contextlib.contextmanager
    def _operation(self) -> Iterator[Cancellation]:
        with self._operations.one() as work:
            yield work

    def _path(self, work: Cancellation, name: str) -> str:
        """The path of what lies in the folder of both; nothing that was listed before is kept."""
        if self._opened is None:
            self._opened = self._call(work, self._open)
        system, root = self._opened
        self._call(work, system.invalidate_cache)
        return _joined(root, self._place.folder, name)

    def _open(self) -> tuple[Any, str]:
        opened: tuple[Any, str] = _package().url_to_fs(self._place.url, **self._options())
        return opened

    def _options(self) -> dict[str, Any]:
        options = {key: _meant(value) for key, value in self._place.options.items()}
        fresh = {"skip_instance_cache": True, "use_listings_cache": False}
        if self._protocol() in _S3:
            patience = self._patience
            timeouts = {"connect_timeout": patience.connect, "read_timeout": patience.idle}
            return {"config_kwargs": timeouts, **options, **fresh}
        return {**options, **fresh}

    def _protocol(self) -> str:
        return self._place.url.partition("://")[0]

    def _system(self) -> Any:
        if self._opened is None:
            raise SourceError(Trouble.UNREACHABLE, f"{self.name} was closed")
        return self._opened[0]

    def _call(self, work: Cancellation, call: Callable[[], _Result]) -> _Result:
        try:
            return self._calls.run(call, self._patience.idle, work)
        except SourceError:
            self._opened = None  # what hangs shall not make the next one wait
            raise
        except Exception as error:
            if trouble_of(error) is not Trouble.MISSING:
                self._opened = None
            raise explained(error, self.name) from error


def check(place: FsspecPlace) -> None:
    """Refuse addresses and options that hold secrets, or that would hide what is published.

    Raises:
        ConfigError: they do.
    """
    scheme, colon, rest = place.url.partition("://")
    shown = address.redact(place.url)
    if not colon or "::" in place.url or not scheme.replace("-", "").isalnum():
        raise ConfigError(
            f"{shown!r} is not an address of one file system",
            expected="SCHEME://PLACE",
            hint="chains of file systems would cache what is published",
        )
    if "@" in rest.partition("/")[0]:
        raise ConfigError(
            f"the address {shown} holds credentials",
            hint="put them where that file system looks for them: the environment, a profile",
        )
    if secret := next((key for key in place.options if _is_secret(key)), None):
        raise ConfigError(
            f"the option {secret!r} of {shown} is a secret",
            hint="put it where that file system looks for it: the environment, a profile",
        )


def _is_secret(option: str) -> bool:
    name = option.lower()
    words = ("secret", "password", "passwd", "passphrase", "token", "credential", "private")
    return name in {"key", "auth"} or name.endswith("_key") or any(word in name for word in words)


def _meant(value: str) -> object:
    if value in {"true", "false"}:
        return value == "true"
    return int(value) if value.isascii() and value.isdecimal() else value


def _open(system: Any, path: str) -> Any:
    """A file for reading, one request for each `read` where the file system lets us say so."""
    try:
        return system.open(path, "rb", cache_type="none")
    except TypeError:
        return system.open(path, "rb")


def _joined(root: str, *parts: str) -> str:
    return "/".join([root.rstrip("/"), *filter(None, (part.strip("/") for part in parts))])


def _below(top: str, entry: Mapping[str, Any]) -> str:
    name = str(entry.get("name", "")).rstrip("/")
    if name == top:
        return ""
    if not name.startswith(f"{top}/"):
        raise SourceError(
            Trouble.MALFORMED, f"the list of {top[:200]!r} names {name[:200]!r}, which is not in it"
        )
    return name.removeprefix(f"{top}/")


def _package() -> Any:
    try:
        return importlib.import_module("fsspec.core")  # not everybody has it, and it has no types
    except ImportError as error:
        raise SourceError(
            Trouble.UNUSABLE,
            "the package fsspec is not installed",
            hint="pip install 'hps[fsspec]', for s3:// 'hps[s3]'",
        ) from error
