"""The publisher's side of places whose folder is on this machine."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hps.monitor.source import Caps, Patience, Source
from tests.monitor.sources.contract import LARGE
from tests.monitor.sources.frozen import frozen

Opened = Callable[[str, bool, Caps | None, Patience | None], Source]


@dataclass
class FolderPlace:
    """See `tests.monitor.sources.contract.Place`.

    Args:
        folder: what is published.
        open_source: makes a source of a model: its name, whether it is packed, caps, patience.
        carries_on: see there.
        tells: see there.
        ports: of the servers.
    """

    folder: Path
    open_source: Opened
    carries_on: bool = True
    tells: bool = True
    large: int = LARGE
    slow: float = 2.0
    ports: tuple[int, ...] = ()
    opened: list[Source] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def made(
        cls,
        folder: Path,
        open_source: Opened,
        *ports: int,
        carries_on: bool = True,
        tells: bool = True,
    ) -> "Iterator[FolderPlace]":
        place = cls(folder, open_source, carries_on, tells, ports=ports)
        try:
            yield place
        finally:
            for source in place.opened:
                source.close()

    def put(self, path: str, data: bytes, *, ago: float = 0.0) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.folder.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        if ago:
            then = time.time() - ago
            os.utime(name, (then, then))
        Path(name).rename(target)

    def remove(self, path: str) -> None:
        target = self.folder / path
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.folder / path, size)

    def silent(self) -> contextlib.AbstractContextManager[None]:
        if not self.ports:
            pytest.skip("no server, nobody to fall silent")
        return frozen(*self.ports)

    def source(
        self,
        model: str = "model",
        *,
        packed: bool = True,
        caps: Caps | None = None,
        patience: Patience | None = None,
    ) -> Source:
        self.opened.append(self.open_source(model, packed, caps, patience))
        return self.opened[-1]
