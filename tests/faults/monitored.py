"""One model that a real monitor looks after in this process: published, pulled, verified, swapped.

A publisher that keeps account of every release, and a reader that says which of them is live.
"""

import hashlib
import io
import os
import random
import shutil
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from hps.config.monitor import PaddleServing, WatchedModel
from hps.digest import Digest
from hps.model import checksums, manifest
from hps.model.policy import ModelPolicy, Trust
from hps.monitor.backoff import Backoff
from hps.monitor.disk import DiskError
from hps.monitor.events import Rules
from hps.monitor.generations import Generations
from hps.monitor.keeper import Keeper
from hps.monitor.metrics import Metrics
from hps.monitor.pulled import Effort
from hps.monitor.pulse import Pulse
from hps.monitor.runner import Runner, Terms
from hps.monitor.servers.paddle_serving import PaddleServingModel
from hps.monitor.sighting import Pace
from hps.monitor.source import Caps, Patience, Source
from hps.monitor.status import MonitorStatus
from hps.monitor.steps import Steps
from tests.model import releases
from tests.monitor.sources.contract import noise

NAME = "ocr"
PATIENCE = Patience(connect=1.0, idle=0.3, total=3.0, minimum_rate=1024, rate_window=1.0)
CAPS = Caps(files=100, depth=8, bytes=4 << 20)
_EFFORT = Effort(attempts=3, first_delay=0.01, longest_delay=0.05, rate_window=1.0)
_TERMS = Terms(
    interval=0.02,
    jitter=0.5,
    rules=Rules(keep=1, retry=Backoff(first=0.01, most=0.05), repeat=Backoff(first=0.02, most=0.1)),
    pace=Pace(settle=0.02, quiet=0.1, blind=0.1),
)
_TODAY = releases.NOW + timedelta(minutes=1)
_OWN = {".hps-generation", "fluid_time_file"}
_LONG_AGO = 1_700_000_000

Tree = Mapping[str, bytes]
Hashes = frozenset[tuple[str, str]]


class Shelf(Protocol):
    """Where a publisher puts files; each is replaced as a whole."""

    def put(self, path: str, data: bytes, modified: float) -> None:
        """Make or replace a file, dated so."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all in it; fine when there is none."""
        ...


@dataclass
class FolderShelf:
    """A folder of this machine."""

    folder: Path

    def put(self, path: str, data: bytes, modified: float) -> None:
        """See `Shelf`."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = self.folder.parent / "being-published"
        new.write_bytes(data)
        os.utime(new, (modified, modified))
        new.rename(target)

    def remove(self, path: str) -> None:
        """See `Shelf`."""
        target = self.folder / path
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def hashes_of(tree: Tree) -> Hashes:
    """All files, and what they hold."""
    return frozenset((path, hashlib.sha256(data).hexdigest()) for path, data in tree.items())


@dataclass
class Publisher:
    """Publishes version after version, and remembers what each of them was.

    Args:
        shelf: where.
        model: the name of the packed model, by which it is packed; or of a folder.
        trust: what it says of its models: a signature or checksums.
        chance: what models hold and when they are dated.
        issued: when it signs them.
    """

    shelf: Shelf
    model: str
    trust: Trust
    chance: random.Random
    issued: datetime = releases.NOW
    version: int = 0
    good: int = 0
    published: dict[Hashes, int] = field(default_factory=dict)
    trees: dict[int, Tree] = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether a model is one file."""
        return "." in self.model

    def publish(self) -> int:
        """Another good release."""
        tree = self.made()
        # Known before it is there: the monitor may be quicker than this thread.
        self.published[hashes_of(tree)] = self.version
        self.good = self.version
        self.put(tree, self.donefile(tree))
        return self.version

    def made(self) -> Tree:
        """The files of another version, nowhere yet."""
        self.version += 1
        content = {
            "conf/version": f"{self.version}\n".encode(),
            "weights": noise(self.chance.choice((1, 1000, 30_000, 200_000)), self.version),
        }
        if self.chance.random() < 0.5:
            content[f"conf/only-{self.version}"] = b"x" * self.chance.randrange(3000)
        self.trees[self.version] = self.completed(content, self.version)
        return self.trees[self.version]

    def completed(self, content: Tree, sequence: int) -> Tree:
        """The files with what is said of them."""
        if self.trust is Trust.CHECKSUMS:
            listed = checksums.text(releases.files(content)).encode()
            return {**content, "SHA256SUMS": listed}
        release = releases.release(
            content,
            name=NAME,
            channel="stable",
            sequence=sequence,
            issued=self.issued,
            expires=self.issued + timedelta(days=30),
        )
        return {**content, "model.sig": manifest.sign(release, releases.signer())}

    def donefile(self, tree: Tree) -> bytes:
        """What goes with a packed model."""
        if self.packed and self.trust is Trust.CHECKSUMS:
            return f"{Digest.of(self.archive(tree)).hex}\n".encode()
        return f"{self.version}\n".encode()

    def archive(self, tree: Tree) -> bytes:
        """A model in one file; the same files always give the same bytes."""
        out = io.BytesIO()
        if self.model.endswith(".zip"):
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
                for path, data in sorted(tree.items()):
                    zipped.writestr(zipfile.ZipInfo(path), data)
            return out.getvalue()
        form: Literal["w:gz", "w:"] = "w:gz" if self.model.endswith("gz") else "w:"
        with tarfile.open(fileobj=out, mode=form) as tar:
            for path, data in sorted(tree.items()):
                member = tarfile.TarInfo(path)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return out.getvalue()

    def put(self, tree: Tree, donefile: bytes | None) -> None:
        """Put files where they are published; the donefile last, if there is one."""
        then = time.time()
        if self.chance.random() < 0.7:
            then = _LONG_AGO + self.version * 7
        if self.packed:
            self.shelf.put(self.model, self.archive(tree), then)
        else:
            self._put_folder(tree, then)
        if donefile is not None:
            self.shelf.put("donefile", donefile, then)

    def _put_folder(self, tree: Tree, then: float) -> None:
        for path, data in tree.items():
            self.shelf.put(f"{self.model}/{path}", data, then)
        for path in {path for tree in self.trees.values() for path in tree} - tree.keys():
            self.shelf.remove(f"{self.model}/{path}")


@dataclass
class Live:
    """What a model server would read.

    Args:
        folder: the live directory.
        published: every good release.
    """

    folder: Path
    published: Mapping[Hashes, int]
    newest: int = 0
    looks: int = 0
    _inode: int = 0

    def version(self) -> int:
        """Which release it is: exactly one of them, and none older than before; 0 for none yet."""
        self.looks += 1
        found = hashes_at(self.folder, self.published)
        if found is None:
            assert self.newest == 0, "the live directory is gone"
            return 0
        assert found in self.published, f"this was never published: {sorted(found)}"
        version = self.published[found]
        assert version >= self.newest, f"{version} is live after {self.newest}"
        self.newest = version
        return version

    def is_at(self, version: int) -> bool:
        """Whether it has come to a release; looked at as a whole when there was an exchange."""
        try:
            inode = self.folder.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            self._inode = inode
            self.version()
        return self.newest == version


def hashes_at(folder: Path, published: Collection[Hashes] = ()) -> Hashes | None:
    """What a server would read there, through one descriptor; None when there is nothing.

    A reader that sleeps for two swaps reads a generation that is being removed: some of it is
    missing, and nothing else is there. Who reads the path again finds the newest.
    """
    while True:
        try:
            top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            found = _hashes_below(top)
            if found in published or os.fstat(top).st_ino == folder.stat().st_ino:
                return found
            if published:
                part = any(found <= one for one in published)
                assert part, f"this was never published: {sorted(found)}"
        except FileNotFoundError:
            assert os.fstat(top).st_ino != folder.stat().st_ino
        finally:
            os.close(top)


def _hashes_below(top: int) -> Hashes:
    found = set()
    for place, _, names, descriptor in os.fwalk(dir_fd=top):
        for name in names:
            path = f"{place}/{name}".removeprefix("./")
            if path in _OWN:
                continue
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=descriptor)
            with open(opened, "rb") as file:  # noqa: PTH123 - a descriptor
                found.add((path, hashlib.file_digest(file, "sha256").hexdigest()))
    return frozenset(found)


def rules(trust: Trust, **fields: Any) -> ModelPolicy:
    """What a host asks of a model."""
    given = {"name": NAME, "channel": "stable", "trust": trust, "keys": (releases.trusted(),)}
    return ModelPolicy(**{**given, **fields})


class Monitored:
    """A monitor of one model, in a thread of its own, with waits of hundredths of seconds."""

    def __init__(
        self,
        folder: Path,
        source: Source,
        policy: ModelPolicy,
        *,
        spare: int = 1 << 20,
        interval: float = 0.02,
        today: Callable[[], datetime] = lambda: _TODAY,
    ) -> None:
        self.folder = folder
        self._source = source
        self._stop = threading.Event()
        settings = WatchedModel.model_validate(
            {
                "source": {"type": "general", "host": "file:///", "path": "/", "model": "x"},
                "server": {"type": "paddle-serving", "folder": str(folder / "served")},
                "verify": "checksums",
                "caps": {"spare": spare, "files": CAPS.files, "bytes": CAPS.bytes},
                "patience": {"total": PATIENCE.total, "minimum-rate": 1024},
            }
        )
        (folder / "served").mkdir()
        (folder / "state").mkdir()
        assert isinstance(settings.server, PaddleServing)
        self.steps = Steps(
            settings,
            policy,
            source,
            PaddleServingModel(settings.server, NAME),
            Generations(folder / "state" / NAME),
            self._stop,
            today=today,
            effort=_EFFORT,
        )
        self.metrics, pulse = Metrics([NAME], self._nothing), Pulse()
        self.runner = Runner(
            NAME,
            folder / "state" / NAME,
            self.steps,
            replace(_TERMS, interval=interval),
            metrics=self.metrics,
            pulse=pulse,
            stop=self._stop,
        )
        waits = Backoff(first=0.01, most=0.1)
        self.thread = Keeper(self.runner, pulse, self._stop, waits=waits)

    @property
    def live(self) -> Path:
        """The live directory."""
        return self.folder / "served" / NAME

    def stop(self) -> None:
        """End it as SIGTERM does; raises what had ended it before."""
        self._stop.set()
        self._source.close()
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.check()

    def check(self) -> None:
        """Raise what ended it, unless it is the disk."""
        fault = self.thread.fault
        if fault is not None and not isinstance(fault, DiskError):
            raise fault

    def counts(self) -> Counter[str]:
        """What it counted: `failures pull stalled`, `swaps source`, `refusals rollback`."""
        found: Counter[str] = Counter()
        for family in self.metrics.families():
            for one in family.samples:
                if one.name.endswith("_total") and one.value:
                    words = [one.name.removeprefix("hps_monitor_").removesuffix("_total")]
                    words += [text for key, text in one.labels.items() if key != "model"]
                    found[" ".join(words)] += int(one.value)
        return found

    @staticmethod
    def _nothing() -> MonitorStatus:
        return MonitorStatus("host", "0", 0.0, 0.0, ())


def eventually(ask: Callable[[], bool], seconds: float) -> float | None:
    """Seconds until it was so; None when it was not in time."""
    began = time.monotonic()
    while not ask():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(0.005)
    return time.monotonic() - began
