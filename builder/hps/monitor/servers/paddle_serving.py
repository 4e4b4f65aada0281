"""Paddle Serving's C++ server: the folder of the model is exchanged, its timestamp file is newer.

    FOLDER/NAME                      what the server reads; never written into while it is there
    FOLDER/.hps/NAME/serving/next    the generation that is about to go there
    FOLDER/.hps/NAME/serving/before  what was there before
    FOLDER/.hps/NAME/serving/0       what was there before hps was; kept for good

The server looks every few seconds whether the timestamp file inside has another time, in whole
seconds, and then loads the folder (`reloadable_type: timestamp_ne`). It tells nobody whether that
worked. So nothing can be probed here, and `live` says what the server was given: a small file in
the folder names the generation, and comes and goes with it in the same exchange.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from hps import canonical
from hps.config import monitor
from hps.monitor.disk import explained
from hps.monitor.exchange import check_exchange, exchange
from hps.monitor.server import Fault, Generation, Probe, ServerError
from hps.monitor.servers.placing import disk_faults, is_placed, place_tree
from hps.monitor.tree import remove_tree
from hps.store.filesystem import sync_folder

_IDENTITY = ".hps-generation"
_LARGEST_IDENTITY = 1000
_NANOSECONDS = 10**9


class PaddleServingModel:
    """One model of Paddle Serving.

    Args:
        settings: `[monitor.models.NAME.server]`.
        model: the name of the folder.
    """

    def __init__(self, settings: monitor.PaddleServing, model: str) -> None:
        self._timestamp = settings.timestamp_file
        self._own = frozenset({_IDENTITY, settings.timestamp_file})
        self._live = Path(settings.folder) / model
        self._aside = Path(settings.folder) / ".hps" / model / "serving"
        self._next, self._before = self._aside / "next", self._aside / "before"

    @property
    def name(self) -> str:
        """The server for people, logs and metrics."""
        return f"paddle-serving {self._live}"

    def inspect(self, generation: Generation) -> None:
        """Refuse what would not be a model, and a place where nothing can be exchanged."""
        with disk_faults(), explained("read", generation.folder):
            names = {one.name for one in generation.folder.iterdir()}
        if not names - self._own:
            raise ServerError(Fault.UNFIT, f"generation {generation.number} holds no file")
        if _IDENTITY in names:
            raise ServerError(
                Fault.UNFIT,
                f"generation {generation.number} holds a file {_IDENTITY}, which is hps' own",
                hint="was the folder of a server published? publish the model itself",
            )
        if os.path.lexists(self._live) and not self._live.is_dir():
            raise ServerError(
                Fault.DISK, f"{self._live} is no directory", hint="move it out of the way"
            )
        with disk_faults(), explained("make", self._aside):
            self._aside.mkdir(parents=True, exist_ok=True)
            check_exchange(self._aside)

    def load(self, generation: Generation) -> None:
        """Prepare the folder beside the live one; the server does not see it yet."""
        if self._is_live(generation):
            return
        prepared = _number_in(self._next) == generation.number
        if prepared and self._is_whole(generation, self._next):
            return
        building = self._aside / "building"
        with disk_faults(), explained("write", building):
            self._aside.mkdir(parents=True, exist_ok=True)
            place_tree(generation.folder, building, without=self._own)
            _write(building / self._timestamp, b"")
            _write(building / _IDENTITY, canonical.dumps({"generation": generation.number}))
            sync_folder(building)
            # A process that was killed may have left the folder of a person here.
            self._put_away()
            building.rename(self._next)
            for folder in (self._aside, *self._aside.parents[:3]):
                sync_folder(folder)

    def probe(self, generation: Generation, probe: Probe | None) -> None:
        """Look that it is prepared as it was verified; the server itself cannot be asked."""
        del probe
        if not self._is_live(generation) and not self._is_whole(generation, self._next):
            raise ServerError(
                Fault.NOT_READY, f"{self._next} is not generation {generation.number}"
            )

    def activate(self, generation: Generation, old: Generation | None) -> None:
        """Exchange the folders in one step; the server finds a newer timestamp with the model."""
        del old
        if not self._is_live(generation):
            self.load(generation)
            self._swap()
        self._renew()
        self._put_away()

    def withdraw(self, generation: Generation) -> None:
        """Take the prepared folder away, or the live one back."""
        if self._is_live(generation):
            self._take_back()
        with disk_faults(), explained("remove", self._next):
            if _number_in(self._next) == generation.number:
                self._remove(self._next)

    def live(self) -> Sequence[int]:
        """The generation that the server was given; none for a folder that hps did not make."""
        number = _number_in(self._live)
        return [] if number is None else [number]

    def _is_live(self, generation: Generation) -> bool:
        return _number_in(self._live) == generation.number

    def _is_whole(self, generation: Generation, folder: Path) -> bool:
        return is_placed(generation.folder, folder, without=self._own)

    def _swap(self) -> None:
        """Let the prepared folder and the live one change places."""
        with disk_faults(), explained("exchange", self._live):
            self._date(self._next, _seconds(self._live / self._timestamp))
            if os.path.lexists(self._live):
                exchange(self._next, self._live)
            else:
                self._next.rename(self._live)
                sync_folder(self._live.parent)
                sync_folder(self._aside)

    def _take_back(self) -> None:
        """Let what was live before be live again."""
        before = [self._next, self._before, *reversed(_kept(self._aside))]
        back = next((one for one in before if one.is_dir()), None)
        if back is None:
            raise ServerError(
                Fault.DISK,
                f"there is nothing to put in the place of {self._live}",
                hint="the first model that was brought here stays until there is another one",
            )
        if back != self._next:
            with disk_faults(), explained("move", back):
                back.rename(self._next)
        self._swap()
        self._renew()

    def _renew(self) -> None:
        """The server may have touched the old file at the last moment: it compares seconds."""
        with disk_faults(), explained("touch", self._live / self._timestamp):
            replaced = _seconds(self._next / self._timestamp)
            given = _seconds(self._live / self._timestamp)
            if given is None or (replaced is not None and given <= replaced):
                self._date(self._live, replaced)

    def _date(self, folder: Path, other_than: int | None) -> None:
        """Give the timestamp file a whole second that nobody has seen, and none from the past."""
        path = folder / self._timestamp
        if not path.exists():
            _write(path, b"")
        later = int(time.time())
        for seen in (other_than, _seconds(path) if folder == self._live else None):
            if seen is not None:
                later = max(later, seen + 1)
        os.utime(path, ns=(later * _NANOSECONDS, later * _NANOSECONDS))

    def _put_away(self) -> None:
        """Keep what was exchanged: one generation, and whatever hps did not make."""
        with disk_faults(), explained("move", self._next):
            if not os.path.lexists(self._next):
                return
            if _number_in(self._next) is None:
                self._next.rename(_unused(self._aside))
            else:
                self._remove(self._before)
                self._next.rename(self._before)
            sync_folder(self._aside)

    def _remove(self, path: Path) -> None:
        """By one rename first: half of a folder would pass for one that a person made."""
        removed = self._aside / "removed"
        remove_tree(removed)
        if os.path.lexists(path):
            path.rename(removed)
            remove_tree(removed)


def _number_in(folder: Path) -> int | None:
    """The generation that a folder says it is."""
    try:
        with (folder / _IDENTITY).open("rb") as file:
            found = canonical.loads(file.read(_LARGEST_IDENTITY + 1), max_bytes=_LARGEST_IDENTITY)
    except (OSError, ValueError):
        return None
    number = found.get("generation") if isinstance(found, dict) else None
    return number if type(number) is int and number > 0 else None


def _seconds(path: Path) -> int | None:
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return None


def _kept(aside: Path) -> list[Path]:
    """What was there before hps was, oldest first: `0`, `0.1`, `0.2` and so on."""
    return sorted(aside.glob("0*"), key=lambda one: int(one.name.partition(".")[2] or 0))


def _unused(aside: Path) -> Path:
    """A name for a model that a person put there, which is never removed."""
    kept = _kept(aside)
    if not kept:
        return aside / "0"
    return aside / f"0.{int(kept[-1].name.partition('.')[2] or 0) + 1}"


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
