"""A small hps.toml that every test of this room starts from."""

from pathlib import Path

from hps.config.load import parse
from hps.config.schema import Config

SMALL = """\
[project]
name = "demo"

[sources.debian.bookworm]
suites = ["bookworm"]

[targets.cpu.debian]
source = "bookworm"
packages = ["python3", "bash"]
"""


def config(more: str = "") -> Config:
    return parse(SMALL + more, "hps.toml")


def written(folder: Path, content: str | bytes, name: str = "hps.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
