"""hps: a reproducible build system for model serving.

`hps.toml` says what is wanted, `hps.lock` says byte for byte what it is made of and what it must
come out as, `hps build --frozen` proves it. docs/explanation/architecture.md draws the rooms.
"""

__version__ = "0.1.0"
