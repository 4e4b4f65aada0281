"""The versions of all functions that shape a layer.

One grows when the same inputs would give other bytes; hps.lock records them, so that a lock made
by another hps is told from a fault.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who finds that nothing changed loads no records
    from hps.lock.records import LockedTarget

FUNCTIONS = {
    "archive": 1,
    "bytecode": 1,
    "compiler": 1,
    "debian": 1,
    "files": 1,
    "sdist": 1,
    "system": 1,
    "wheels": 1,
}
# Those that only targets with a base image use; a lock without one does not speak of them.
ON_BASE = {
    "base": 1,
    "base-debian": 1,
    "base-removed": 1,
    "base-system": 1,
}
ALL = FUNCTIONS | ON_BASE


def functions_of(targets: "Iterable[LockedTarget]") -> dict[str, int]:
    """The functions that make the layers of some targets, with their versions, sorted."""
    based = any(target.base is not None for target in targets)
    return dict(sorted((ALL if based else FUNCTIONS).items()))


def kind(function: str) -> str:
    """The kind of step that applies a function: its name and version."""
    return f"{function}/{ALL[function]}"
