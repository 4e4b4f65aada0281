"""Folders of HDFS and AFS, through the hadoop program of a cluster.

`-put` reads the file itself, so that it is hashed once more behind it. `-mv` never replaces a
file: the old one steps aside first, for as long as a JVM takes to start.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hps.errors import ConfigError
from hps.monitor.source import Found, Patience, SourceError, Trouble
from hps.monitor.sources import hadoop_output as output
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from hps.monitor.sources.hadoop_program import Program
from hps.monitor.sources.operation import Operations
from hps.publish.content import Content, Sent
from hps.publish.destination import TakenError, look_by

_PATTERN = re.compile(r"[*?\[\]{}\\]")  # `-put` would look for what fits
_EXISTS = re.compile(r"^-?mv: .*File exists$", re.MULTILINE)
_MOVED_NOT = re.compile(
    r"^-?mv: .*(Input/output error|Failed to rename|Rename failed)", re.MULTILINE
)


class HadoopFolder:
    """See `hps.publish.destination.Folder`.

    Args:
        place: its folder; model and donefile say nothing here.
        patience: with networks.
    """

    def __init__(self, place: HadoopPlace, patience: Patience) -> None:
        if _PATTERN.search(place.folder):
            raise ConfigError(
                "the hadoop program would take the folder for a pattern", got=place.folder
            )
        self._place = place
        self._patience = patience
        self._operations = Operations(self.name, patience.total)
        self._begun: set[str] = set()

    @property
    def name(self) -> str:
        """See `Folder`."""
        with contextlib.closing(self.source("")) as source:
            return source.name.rstrip("/")

    def source(self, name: str) -> HadoopSource:
        """See `Folder`."""
        return HadoopSource(replace(self._place, model=name, donefile=name), self._patience)

    def look(self, name: str) -> Found | None:
        """See `Folder`."""
        return look_by(self.source(name))

    def renames(self) -> bool:
        """See `Folder`."""
        return True

    def send(self, name: str, content: Content, sent: Sent) -> None:
        """See `Folder`; begins anew each time, and tells of it when it is done."""
        with _on_disk(content) as path:
            if name in self._begun:
                self._remove(name)
            self._begun.add(name)
            self._run(name, "-put", str(path), self._path(name))
        content.check()
        sent(content.blob.size)

    def rename(self, name: str, new: str) -> None:
        """See `Folder`."""
        self._run(new, "-mv", self._path(name), self._path(new))

    def remove(self, name: str) -> None:
        """See `Folder`."""
        self._remove(name)

    def close(self) -> None:
        """See `Folder`."""
        self._operations.close()

    def _remove(self, name: str) -> None:
        try:
            self._run(name, "-rm", "-skipTrash", self._path(name))
        except SourceError as error:
            if error.trouble is not Trouble.MISSING:
                raise

    def _path(self, name: str) -> str:
        return f"{self._place.folder.rstrip('/')}/{name}"

    def _run(self, name: str, *words: str) -> None:
        values, secrets = _configuration(self._place)
        program = Program(self._place.program, self._patience.idle, values)
        with self._operations.one() as work:
            done = program.run(work, *words)
        if done.code == 0:
            return
        if _EXISTS.search(done.errors) or (words[0] == "-mv" and _MOVED_NOT.search(done.errors)):
            raise TakenError
        kind = output.trouble(done.code, done.errors)
        if re.search(r"^-?(put|mv|rm): .*No such file or directory", done.errors, re.MULTILINE):
            kind = Trouble.MISSING
        reason = output.reason(done.code, done.errors, secrets)
        raise SourceError(kind, f"cannot write {self.name}/{name}: {reason}")


def _configuration(place: HadoopPlace) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the program is told in a file, and the secrets in it."""
    values: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    if place.fs_name:
        values = {"fs.default.name": place.fs_name, "fs.defaultFS": place.fs_name}
    if place.ugi is not None:
        ugi = place.ugi.read()
        values["hadoop.job.ugi"] = ugi
        secrets = tuple(part for part in (ugi, ugi.partition(",")[2]) if part)
    return values, secrets


@contextlib.contextmanager
def _on_disk(content: Content) -> Iterator[Path]:
    """The path of a file; what is in memory gets one, and so does a name with odd signs."""
    found = None if content.path is None else content.path.absolute()
    if found is not None and not _PATTERN.search(str(found)):
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="hps-publish-") as folder:
        path = Path(folder) / "file"
        if found is None:
            path.write_bytes(content.data)
        else:
            path.symlink_to(found)
        yield path
