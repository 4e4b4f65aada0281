"""HDFS and AFS as a place of models, through the hadoop program of a cluster.

Times come in milliseconds from `-stat`; a client that cannot do that (AFS) has `-ls`, which counts
in minutes, and `-checksum`, which tells two contents of one minute apart. `-cat` always reads from
the beginning: nothing can be carried on with.
"""

import contextlib
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hps.errors import ConfigError
from hps.monitor.logs import SECRETS
from hps.monitor.look import agree, is_settled, too_large
from hps.monitor.source import (
    Caps,
    Donefile,
    Found,
    Patience,
    Reading,
    SourceError,
    Trouble,
    no_model,
    no_regular_file,
)
from hps.monitor.sources import hadoop_output as output
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.hadoop_output import Listed
from hps.monitor.sources.hadoop_program import Done, FailedError, Program
from hps.monitor.sources.operation import Operations
from hps.monitor.sources.paced import paced
from hps.store.cancellation import Cancellation

_MILLISECOND = 0.001
_WORDS = 64 << 10  # bytes of arguments of one command
_FILES = 500  # named in one command
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class HadoopPlace:
    """Where a model is published, as the hadoop program sees it.

    Args:
        program: its path, or its name in PATH (`--hadoop_bin`).
        folder: of both.
        model: name of the packed model or of the model's folder, below `folder`.
        donefile: name likewise.
        packed: the model is one file; else it is a folder.
        kind: hdfs or afs; for people.
        fs_name: the file system (fs.default.name, fs.defaultFS); empty for that of the client.
        ugi: user and password (hadoop.job.ugi), as `user,password`.
    """

    program: str
    folder: str
    model: str
    donefile: str
    packed: bool = True
    kind: str = "hdfs"
    fs_name: str = ""
    ugi: Secret | None = field(default=None, repr=False)


class HadoopSource:
    """See `hps.monitor.source.Source`."""

    def __init__(
        self, place: HadoopPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        if not place.program or place.folder.startswith("-"):
            raise ConfigError(
                "the hadoop program, or the folder of a source, cannot be what is said",
                expected="a program, and a folder that begins with no dash",
            )
        self._place = place
        self._patience = patience or Patience()
        self._caps = caps or Caps()
        self._operations = Operations(self.name, self._patience.total)
        self._known: Donefile | None = None
        self._stats = True  # whether the client knows -stat with our format
        self._sums = True  # whether it knows -checksum
        self._secrets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """See `Source`."""
        path = self._path("")
        if _SCHEME.match(path):
            return _without_user(path)
        above = _without_user(self._place.fs_name) or f"{self._place.kind}://"
        return f"{above.rstrip('/') if above[-3:] != '://' else above}/{path.lstrip('/')}"

    def close(self) -> None:
        """See `Source`."""
        self._operations.close()

    def donefile(self) -> Donefile | None:
        """See `Source`."""
        path = _joined(self._place.folder, self._place.donefile)
        with self._operations.one() as work:
            found = self._look(work, path)
            if found is None:
                return None
            known = self._known
            if known is not None and known.found == found:
                return known
            content = self._beginning(work, path, found)
            donefile = Donefile(found, content)
            # What may still come to stand for other bytes is read each time, at the price of
            # another JVM; nobody publishes twice in a millisecond.
            settled = found.resolution <= _MILLISECOND or is_settled(found, time.time())
            self._known = donefile if settled else None
            return donefile

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        path = self._path("")
        with self._operations.one() as work:
            if self._place.packed:
                found = self._look(work, path)
                if found is None:
                    raise no_model(self.name, packed=self._place.packed)
                return (found,)
            files = self._files(work, path)
        if not files:
            raise no_model(self.name, packed=self._place.packed)
        return tuple(sorted(files, key=lambda each: each.path.encode()))

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`; begins at 0, whatever `offset` is, but at the end of the file."""
        path = self._path(found.path)
        with self._operations.one() as work:
            looked = self._look(work, path)
            if looked is None:
                raise SourceError(Trouble.MISSING, f"there is no {self._title(path)}")
            now = Found(found.path, looked.size, looked.tokens, looked.resolution)
            if now.size is not None and now.size > self._caps.bytes:
                raise too_large("bytes", self._caps.bytes, now.size)
            if offset and offset == now.size and agree(found, now):
                yield Reading(offset, now, iter(()))
                return
            with contextlib.closing(self._pieces(work, path, now)) as pieces:
                yield Reading(0, now, pieces)

    def _beginning(self, work: Cancellation, path: str, found: Found) -> bytes:
        content = b""
        with contextlib.closing(self._pieces(work, path, found)) as pieces:
            for piece in pieces:
                content += piece
                if len(content) >= self._caps.donefile:
                    break
        return content[: self._caps.donefile]

    def _pieces(self, work: Cancellation, path: str, found: Found) -> Generator[bytes, None, None]:
        received = 0
        try:
            with contextlib.closing(
                self._program().stream(work, "-cat", output.escaped(path))
            ) as pieces:
                for piece in paced(pieces, self._patience, self.name):
                    received += len(piece)
                    if found.size is not None and received > found.size:
                        raise SourceError(
                            Trouble.CHANGED, f"{self._title(path)} is longer than it was announced"
                        )
                    yield piece
        except FailedError as failed:
            raise self._failed(path, failed.code, failed.errors) from None
        if found.size is not None and received < found.size:
            raise SourceError(
                Trouble.TRUNCATED,
                f"{self._title(path)} ended early",
                expected=f"{found.size} bytes",
                got=f"{received} bytes",
            )

    def _look(self, work: Cancellation, path: str) -> Found | None:
        """What is said of one file; None when there is none."""
        try:
            (listed,) = self._stat(work, [path]) or [self._list_one(work, path)]
        except SourceError as error:
            if error.trouble is Trouble.MISSING:
                return None
            raise
        if listed.kind != "-":
            raise no_regular_file(self._title(path))
        return listed.found("", self._sum(work, path) if listed.resolution > 1 else None)

    def _files(self, work: Cancellation, folder: str) -> list[Found]:
        files = self._walk(work, folder)
        found: list[Found] = []
        for some in _portions([f"{folder}/{each.path}" for each in files]):
            stats = self._stat(work, some)
            if stats is None:
                break
            found += [
                stat.found(path.removeprefix(f"{folder}/"))
                for path, stat in zip(some, stats, strict=True)
            ]
        return found if self._stats else [each.found(each.path) for each in files]

    def _walk(self, work: Cancellation, folder: str) -> list[Listed]:
        """All files below a folder, as one command lists them."""
        done = self._run(work, "-ls", "-R", output.escaped(folder))
        if done.code != 0 and output.is_unknown(done.errors):  # as in Hadoop 0.20
            done = self._run(work, "-lsr", output.escaped(folder))
        self._check(folder, done)
        entries = output.listed(done.output.splitlines(), folder)
        if len(entries) > self._caps.files:
            raise too_large("files and folders", self._caps.files, len(entries))
        for entry in entries:
            if entry.kind == "l" or not entry.path:
                raise no_regular_file(self._title(f"{folder}/{entry.path}"))
            if entry.path.count("/") > self._caps.depth:
                raise too_large("folders below each other", self._caps.depth, entry.path[:200])
        return [entry for entry in entries if entry.kind == "-"]

    def _stat(self, work: Cancellation, paths: list[str]) -> list[Listed] | None:
        """What `-stat` says of files, in their order; None where the client cannot do that."""
        if not self._stats:
            return None
        done = self._run(work, "-stat", output.STAT_FORMAT, *map(output.escaped, paths))
        stats = output.stats(done.output)
        if output.is_unknown(done.errors) if done.code else stats is None:
            self._stats = False
            return None
        self._check(paths[0], done, many=len(paths) > 1)
        if stats is None or len(stats) != len(paths):
            raise SourceError(Trouble.CHANGED, f"{self.name} changes right now")
        return stats

    def _list_one(self, work: Cancellation, path: str) -> Listed:
        """What `-ls` says of one file."""
        done = self._run(work, "-ls", output.escaped(path))
        self._check(path, done)
        entries = output.listed(done.output.splitlines(), path)
        if len(entries) != 1 or entries[0].path:
            raise no_regular_file(self._title(path))
        return entries[0]

    def _sum(self, work: Cancellation, path: str) -> str | None:
        if not self._sums:
            return None
        done = self._run(work, "-checksum", output.escaped(path))
        if done.code != 0:
            self._sums = not output.is_unknown(done.errors)
            return None
        return output.checksum(done.output)

    def _run(self, work: Cancellation, *words: str) -> Done:
        return self._program().run(work, *words)

    def _program(self) -> Program:
        """The program, with secrets read anew."""
        place = self._place
        values = {}
        if place.fs_name:
            values = {"fs.default.name": place.fs_name, "fs.defaultFS": place.fs_name}
        if place.ugi is not None:
            ugi = place.ugi.read()
            values["hadoop.job.ugi"] = ugi
            parts = (ugi, ugi.partition(",")[2])
            self._secrets = tuple(part for part in parts if part)
            SECRETS.add(*self._secrets)
        return Program(place.program, self._patience.idle, values)

    def _check(self, path: str, done: Done, *, many: bool = False) -> None:
        if done.code == 0:
            return
        error = self._failed(path, done.code, done.errors)
        if many and error.trouble is Trouble.MISSING:  # it was listed a moment ago
            error.trouble = Trouble.CHANGED
        raise error

    def _failed(self, path: str, code: int, errors: str) -> SourceError:
        why = output.reason(code, errors, self._secrets)
        return SourceError(output.trouble(code, errors), f"cannot read {self._title(path)}: {why}")

    def _path(self, path: str) -> str:
        model = _joined(self._place.folder, self._place.model)
        return f"{model}/{path}" if path else model

    def _title(self, path: str) -> str:
        return self.name.removesuffix(self._path("").lstrip("/")) + path.lstrip("/")


def _portions(paths: list[str]) -> Iterator[list[str]]:
    """Paths in portions that fit into one command."""
    portion: list[str] = []
    size = 0
    for path in paths:
        length = len(path.encode())
        if portion and (len(portion) == _FILES or size + length > _WORDS):
            yield portion
            portion, size = [], 0
        portion.append(path)
        size += length
    if portion:
        yield portion


def _without_user(address: str) -> str:
    if not _SCHEME.match(address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name.strip('/')}" if folder else name.strip("/")
