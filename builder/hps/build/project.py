"""A project on disk: hps.toml, hps.lock beside it, and where its images are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hps.config.chosen import chosen_pipelines, chosen_weights
from hps.config.load import load, read_text
from hps.config.meaning import inputs
from hps.config.platforms import base_name, expanded, named
from hps.config.requirements import RequirementLine, read_requirements
from hps.config.schema import Config
from hps.config.target import Target
from hps.derivation.emulation import host_platform
from hps.digest import Digest
from hps.errors import ConfigError, LockError, UsageError
from hps.lock import text
from hps.lock.records import Lock
from hps.oci.image import image_reference
from hps.store import whole_file

if TYPE_CHECKING:
    from hps.layer.weights import Contents as FolderContents

CONFIG = "hps.toml"
LOCK = "hps.lock"
_MAX_LOCK = 64 << 20


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with an hps.toml that has been read and found without fault.

    Args:
        root: the folder.
        config: what it says, with one target for each platform (`hps.config.platforms`).
    """

    root: Path
    config: Config
    _requirements: dict[str, tuple[RequirementLine, ...]] = field(default_factory=dict)
    _weights: dict[str, "FolderContents"] = field(default_factory=dict)

    @classmethod
    def open(cls, directory: Path) -> "Project":
        """The project of a directory or of the nearest directory above it that has an hps.toml.

        Raises:
            ConfigError: no hps.toml there, or one with faults.
        """
        start = directory.resolve()
        root = next((one for one in (start, *start.parents) if (one / CONFIG).is_file()), start)
        return cls(root, expanded(load(root / CONFIG)))

    @property
    def lock_path(self) -> Path:
        """Where hps.lock lies."""
        return self.root / LOCK

    def target(self, name: str) -> Target:
        """The target of that name, for one platform; raises UsageError naming those that exist."""
        if name not in self.config.targets:
            raise UsageError(
                f"hps.toml has no target {name}",
                expected=f"one of: {', '.join(self.config.targets)}",
                got=name,
            )
        return self.config.targets[name]

    def target_names(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The targets asked for, else the default ones, in the order of hps.toml.

        A name of hps.toml means all of its platforms.
        """
        targets = self.config.targets
        for name in wanted:
            if not named(targets, name):
                self.target(name)  # raises
        default = self.config.project.default_targets or tuple(targets)
        asked = {one for name in wanted or default for one in named(targets, name)}
        return tuple(name for name in targets if name in asked)

    def one_target(self, name: str, platform: str | None = None) -> str:
        """A target for one platform: that of its name, else of a platform, else of this machine.

        Raises:
            UsageError: there is no such target, or it is not for that platform.
        """
        found = named(self.config.targets, name) or (name,)
        platforms = {self.target(one).platform: one for one in found}
        if platform is None and len(found) == 1:
            return found[0]
        if (wanted := platform or host_platform()) not in platforms:
            raise UsageError(
                f"the target {name} is not for {wanted}"
                + ("" if platform else ", which this machine is"),
                expected=f"one of: {', '.join(platforms)}",
                got=wanted,
                hint="name one with --platform, or add it to `platforms` in hps.toml",
            )
        return platforms[wanted]

    def requirements(self, name: str) -> tuple[RequirementLine, ...]:
        """The requirement lines of a target, read once."""
        if name not in self._requirements:
            files = self.target(name).python.requirements
            self._requirements[name] = read_requirements(files, root=self.root)
        return self._requirements[name]

    def inputs(self, name: str) -> tuple[tuple[str, str], ...]:
        """What hps.toml and its requirement files mean for a target, by key path."""
        return inputs(self.config, name, self.requirements(name), self._contents(name))

    def weights(self, name: str) -> "FolderContents":
        """The files of weights that are a folder of the project, hashed once.

        Raises:
            ConfigError: there is no such folder.
            BuildError: it holds no weights, or what is no file.
        """
        if name not in self._weights:
            from hps.layer.weights import folder_contents  # noqa: PLC0415 - most projects have none

            folder = self.root / str(self.config.weights[name].directory)
            if not folder.is_dir():
                raise ConfigError(
                    f"weights.{name}.directory: there is no folder {folder}",
                    hint="correct it, or put the files there",
                )
            self._weights[name] = folder_contents(folder, name)
        return self._weights[name]

    def _contents(self, name: str) -> dict[tuple[str, ...], dict[str, str]]:
        """The digests of files that weights and pipelines of a target are made of."""
        found: dict[tuple[str, ...], dict[str, str]] = {}
        self.target(name)
        for weights in chosen_weights(self.config, name):
            if self.config.weights[weights].directory is not None:
                files = self.weights(weights).files
                found["weights", weights, "files"] = {one.path: str(one.digest) for one in files}
        for one in chosen_pipelines(self.config, name):
            if (file := one.settings.config) is not None:
                text = read_text(self.root / file, hint=f"correct pipelines.{one.name}.config")
                digest = Digest.of("\n".join(text.splitlines()).encode())
                found["pipelines", one.name, "config"] = {file: str(digest)}
        return found

    def reference(self, name: str) -> str:
        """NAME:TARGET, what the image of a target is called; the same for all of its platforms."""
        return image_reference(self.config.project.name, base_name(name))

    def layout_path(self, name: str) -> Path:
        """Where the image of a target is laid out unless told otherwise."""
        return self.root / ".hps" / "images" / name

    def read_lock(self) -> Lock | None:
        """hps.lock, or None when there is none yet; raises LockError when it cannot be used."""
        try:
            if self.lock_path.stat().st_size > _MAX_LOCK:
                raise LockError(f"{LOCK} is larger than {_MAX_LOCK >> 20} MiB: not a lock")
            return text.read(self.lock_path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LockError(f"{self.lock_path} cannot be read: {error.strerror}") from error

    def require_lock(self) -> Lock:
        """hps.lock; raises LockError when there is none."""
        lock = self.read_lock()
        if lock is None:
            raise LockError(f"there is no {LOCK} in {self.root}", hint="hps lock")
        return lock

    def write_lock(self, lock: Lock) -> bool:
        """Write hps.lock atomically; False when it already reads so."""
        data = text.write(lock)
        if self.lock_path.is_file() and self.lock_path.read_bytes() == data:
            return False
        write_atomically(self.lock_path, data)
        return True


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by rename; a crash leaves the old one or the new one, never a part.

    Raises:
        UsageError: it cannot be written: full disk, read-only, no permission.
    """
    try:
        with whole_file.replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="nothing of it was changed"
        ) from error
