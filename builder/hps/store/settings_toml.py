"""TOML that other programs keep their settings in, read with suspicion."""

import tomllib
from typing import Any

from hps.config.deep_key import DEEP_KEY


def parse_toml(text: str) -> dict[str, Any]:
    """The document that a text holds.

    Raises:
        ValueError: it is not TOML, or is made to be hard to read.
    """
    if DEEP_KEY.search(text):
        raise ValueError("a key has more than 32 parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
