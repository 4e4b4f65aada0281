"""The versions of all functions that shape a layer.

One grows when the same inputs would give other bytes; hps.lock records them, so that a lock made
by another hps is told from a fault.
"""

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


def kind(function: str) -> str:
    """The kind of step that applies a function: its name and version."""
    return f"{function}/{FUNCTIONS[function]}"
