"""One model of a Triton: its folder in the repository, and what the server makes of it.

    REPOSITORY/MODEL/config.pbtxt        written here: the release's, with a version policy of ours
    REPOSITORY/MODEL/VERSION/            a generation, put here by one rename
    REPOSITORY/MODEL/.hps-VERSION/       on its way in or out

Triton tells changes by the newest time below the model, of modification or of status change
(ModelTimestamp of its core; stat's mtime and ctime): what has not become newer is not looked at. So
config.pbtxt is written for each load, and dated later than all that lies beside it.

A load then costs one start of the new version, and none of the live one: since 2.49 Triton leaves
alone a version whose own directory is as old as it was, if nothing but the version policy has
changed in config.pbtxt. So nothing is touched in a version directory once it is loaded, not even
its dates, and Python is kept from writing byte code into it. When the new version goes live, the
process that answered the probe is the one that serves. A directory that did change, and a Triton
before 2.49, costs a start of each version in the background; they are exchanged under one lock.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from hps.monitor.disk import explained
from hps.monitor.server import Fault, ServerError
from hps.monitor.servers.placing import disk_faults, is_placed, place_tree
from hps.monitor.servers.triton_config import (
    CONFIG,
    MARK,
    config_text,
    parse_config,
)
from hps.monitor.servers.triton_grpc import Connection, State, Version
from hps.monitor.tree import remove_tree
from hps.store.filesystem import sync_folder

_ASIDE = ".hps-"
_BEFORE = "config.pbtxt.before-hps"
_LARGEST_CONFIG = 4 << 20
_PAUSE = 0.2  # seconds between two questions about a load
_WORKING = frozenset({State.LOADING})


class ModelFolder:
    """The folder of one model name in a Triton's repository.

    All methods raise ServerError.

    Args:
        connection: to the Triton.
        repository: as this host sees it.
        name: of the model.
    """

    def __init__(self, connection: Connection, repository: Path, name: str) -> None:
        self.connection = connection
        self.name = name
        self.path = repository / name

    def states(self) -> dict[int, Version]:
        """What the server says of the versions."""
        return self.connection.versions(self.name)

    def ready(self) -> frozenset[int]:
        """The versions that answer requests."""
        return frozenset(
            version for version, said in self.states().items() if said.state is State.READY
        )

    def config(self) -> Any | None:
        """The config.pbtxt that is there; None without one."""
        return _read_config(self.path / CONFIG)

    def config_of(self, version: int) -> Any | None:
        """The config.pbtxt that came with a version; None without one."""
        return _read_config(self.path / str(version) / CONFIG)

    def config_before(self) -> Any | None:
        """The config.pbtxt of the person who had the model served before hps did."""
        return _read_config(self.path / _BEFORE)

    def versions(self) -> frozenset[int]:
        """The version directories that are there."""
        with disk_faults(), explained("read", self.path):
            if not self.path.is_dir():
                return frozenset()
            return frozenset(
                int(one.name)
                for one in self.path.iterdir()
                if one.name.isascii() and one.name.isdecimal() and one.is_dir()
            )

    def put(self, generation: Path, version: int) -> bool:
        """Have a generation in its version directory; True: something else was there."""
        target, aside = self.path / str(version), self.path / f"{_ASIDE}{version}"
        if is_placed(generation, target):
            return False
        with disk_faults(), explained("write", target):
            self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
            place_tree(generation, aside, byte_code=False)
            replaces = target.exists()
            self._set_aside(target)
            aside.rename(target)
            target.chmod(0o555)
            sync_folder(self.path)
        return replaces

    def remove(self, versions: Collection[int]) -> None:
        """Remove version directories, each by one rename first."""
        with disk_faults(), explained("remove", self.path):
            for version in versions:
                self._set_aside(self.path / str(version))
        self.clean()

    def remove_empty(self) -> None:
        """Leave no model without a version, on which a new start of the server would fail."""
        config = self.path / CONFIG
        with disk_faults(), explained("remove", config):
            kept = self.versions() or (self.path / _BEFORE).exists() or not config.exists()
            if not kept and config.read_bytes().startswith(MARK.encode()):
                config.unlink()
                with contextlib.suppress(OSError):  # a person has something else in there
                    self.path.rmdir()

    def remove_all(self) -> None:
        """Remove the folder; nothing of it may be loaded."""
        with disk_faults():
            remove_tree(self.path)

    def clean(self) -> None:
        """Remove what killed processes left, and what the server wrote into our versions."""
        with disk_faults(), explained("clean", self.path):
            if not self.path.is_dir():
                return
            for one in sorted(self.path.iterdir()):
                if one.name.startswith(_ASIDE):
                    remove_tree(one)

    def serve(
        self, config: Any, versions: Collection[int], deadline: float, *, anew: bool = False
    ) -> None:
        """Have the server serve exactly these versions; the others end once they have answered.

        Args:
            config: of the model; its version policy gives way.
            versions: at least one, and all of them are there.
            deadline: seconds for everything.
            anew: also when the server says that it does already.

        Raises:
            ServerError: HANGS: it is still loading at the deadline; UNKNOWN: nobody knows;
                REFUSED, NOT_READY: it said no, and serves what it served before; UNREACHABLE.
        """
        until = time.monotonic() + deadline
        wanted = frozenset(versions)
        self.wait_idle(until)
        written = self._is_written(config_text(config, wanted))
        if written and not anew and self.ready() == wanted:
            return
        self.write(config, wanted)
        self._load(wanted, until)
        self._check(wanted)

    def wait_idle(self, until: float) -> None:
        """Wait until the server loads no version of this model; a load is never sent twice."""
        while True:
            try:
                states = self.states()
            except ServerError as error:
                if error.fault is not Fault.UNKNOWN:
                    raise
                if time.monotonic() >= until:
                    raise self._busy() from error
                continue
            if not any(said.state in _WORKING for said in states.values()):
                return
            if time.monotonic() >= until:
                raise self._hangs()
            time.sleep(_PAUSE)

    def wait_gone(self, versions: Collection[int], until: float) -> bool:
        """Wait until versions have answered their last requests; False: some have not yet."""
        busy = {State.READY, State.UNLOADING, State.LOADING}
        while True:
            states = self.states()
            if not any(one in states and states[one].state in busy for one in versions):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)

    def unload(self, deadline: float) -> None:
        """Have no version served at all."""
        self.wait_idle(time.monotonic() + deadline)
        if self.states():
            self.connection.unload(self.name, deadline)

    def _load(self, wanted: frozenset[int], until: float) -> None:
        try:
            self.connection.load(self.name, until - time.monotonic())
        except ServerError as error:
            if error.fault is Fault.REFUSED:
                raise
            # It may be done, or going on: only the index knows, and a second load would do harm.
            if not self._came_true(wanted, until):
                raise

    def _came_true(self, wanted: frozenset[int], until: float) -> bool:
        try:
            self.wait_idle(until)
        except ServerError as error:
            if error.fault is Fault.UNREACHABLE and not isinstance(error.__cause__, ServerError):
                raise  # it is gone, and what it loaded with it
            raise self._hangs() from error
        return wanted <= self.ready()

    def _check(self, wanted: frozenset[int]) -> None:
        states = self.states()
        missing = [
            one for one in sorted(wanted) if one not in states or states[one].state != State.READY
        ]
        stale = self.ready() - wanted
        if not missing and not stale:
            return
        reasons = [states[one].reason for one in missing if one in states]
        raise ServerError(
            Fault.NOT_READY,
            f"Triton says that model {self.name!r} is loaded, and not all of it is ready",
            expected=f"versions {sorted(wanted)}",
            got=f"versions {sorted(self.ready())} {'; '.join(reasons)}".strip(),
        )

    def _busy(self) -> ServerError:
        return ServerError(
            Fault.UNREACHABLE,
            f"Triton at {self.connection.address} does not say what it serves",
            hint="no load was sent to it; if that does not end by itself, start Triton anew",
        )

    def _hangs(self) -> ServerError:
        return ServerError(
            Fault.HANGS,
            f"Triton at {self.connection.address} does not come to an end with loading "
            f"{self.name!r}",
            hint="the process of the model has ended before it spoke; what was served is served "
            "on, and only a new start of Triton can load this model again",
        )

    def _is_written(self, text: str) -> bool:
        with contextlib.suppress(OSError):
            return (self.path / CONFIG).read_text(encoding="utf-8", errors="replace") == text
        return False

    def write(self, config: Any, versions: Collection[int]) -> None:
        """Write the config.pbtxt that the next load, or the next start of the server, reads."""
        text = config_text(config, versions)
        target, new = self.path / CONFIG, self.path / f"{_ASIDE}config"
        with disk_faults(), explained("write", target):
            self._keep_foreign(target)
            self.clean()
            newest = max((one.stat().st_mtime_ns for one in _all_below(self.path)), default=0)
            with new.open("w", encoding="utf-8") as file:
                file.write(text)
            _date(new, max(time.time_ns(), newest + 1))
            _sync_file(new)
            new.replace(target)
            sync_folder(self.path)

    def _keep_foreign(self, config: Path) -> None:
        """The configuration that a person wrote, comments and all, stays beside it."""
        before = self.path / _BEFORE
        if before.exists() or not config.exists():
            return
        data = config.read_bytes()
        if data.startswith(MARK.encode()):
            return
        before.write_bytes(data)

    def _set_aside(self, target: Path) -> None:
        aside = self.path / f"{_ASIDE}old-{target.name}"
        remove_tree(aside)
        with contextlib.suppress(FileNotFoundError):
            target.rename(aside)


def _read_config(path: Path) -> Any | None:
    with disk_faults(), explained("read", path):
        try:
            with path.open("rb") as file:
                data = file.read(_LARGEST_CONFIG + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
    if len(data) > _LARGEST_CONFIG:
        raise ServerError(Fault.UNFIT, f"{path} is longer than {_LARGEST_CONFIG} bytes")
    return parse_config(data.decode("utf-8", errors="replace"), str(path))


def _all_below(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def _date(path: Path, moment: int) -> None:
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
