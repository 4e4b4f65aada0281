"""What the build benchmark and its peers work on."""

from dataclasses import dataclass
from pathlib import Path

from measuring import HPS

from hps.layer.entry import Scheme
from hps.lock.records import LockedTarget
from hps.store.blobs import Store


@dataclass(frozen=True)
class Lab:
    """A copy of a project, a store that holds its artifacts and nothing else, and a folder."""

    folder: Path
    project: Path
    store: Store
    target: LockedTarget

    @property
    def scheme(self) -> Scheme:
        """Where the image's Python installs to."""
        return Scheme.debian(self.target.python_version)

    def blob(self, sha256: str) -> Path:
        """Where the store has a blob or would have it."""
        return self.store.blobs / sha256

    def wheels(self) -> dict[str, Path]:
        """Locked wheels by file name, largest first."""
        ordered = sorted(self.target.wheels, key=lambda wheel: (-wheel.size, wheel.name))
        return {wheel.file: self.blob(wheel.sha256) for wheel in ordered}

    def build(self) -> list[str]:
        """The command line of a frozen build."""
        line = [*HPS, "-C", str(self.project), "build", self.target.name, "--frozen", "--offline"]
        return [*line, "--store", str(self.store.root)]
