"""This machine as far as origins ask it: environment, folders, and files of settings."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import FetchError

SETTINGS_LIMIT = 4 << 20  # bytes of one file of settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The parts of a machine that are asked; tests name others."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    home: Path = field(default_factory=Path.home)
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    etc: Path = Path("/etc")

    @property
    def user_settings(self) -> Path:
        """Where the user's settings are (XDG Base Directory Specification)."""
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.home / ".config")


def read(files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The files that exist, with their text.

    Raises:
        FetchError: one is there and cannot be read as text.
    """
    for path in files:
        try:
            with path.open("rb") as file:
                data = file.read(SETTINGS_LIMIT + 1)
            if len(data) > SETTINGS_LIMIT:
                raise unreadable(path, f"longer than {SETTINGS_LIMIT} bytes")
            # Line ends become \n, as in files that are opened as text.
            text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnicodeDecodeError as error:
            raise unreadable(path, "not UTF-8") from error
        except OSError as error:
            raise unreadable(path, error.strerror or "cannot be opened") from error
        yield path, text


def unreadable(path: Path, why: str) -> FetchError:
    """The error for a file of settings that cannot be used."""
    return FetchError(
        f"cannot read {path}: {why}",
        hint="correct the file; for an index HPS_INDEX_DEFAULT or hps.toml can take its place",
    )
