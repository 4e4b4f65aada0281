"""Where the store of this user is."""

from collections.abc import Mapping
from pathlib import Path

import platformdirs


def default_root(environment: Mapping[str, str]) -> Path:
    """Where the store is when nobody says: `$HPS_STORE`, else in the user's cache folder."""
    named = environment.get("HPS_STORE")
    return Path(named).absolute() if named else platformdirs.user_cache_path("hps") / "store"
