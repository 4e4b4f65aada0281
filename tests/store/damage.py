"""What happens to files of a store on a bad day."""

import os
from pathlib import Path


def truncate(path: Path, size: int) -> None:
    """Cut a read-only file short, as its owner; it stays read-only."""
    path.chmod(0o644)
    os.truncate(path, size)
    path.chmod(0o444)
