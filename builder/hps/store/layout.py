"""Which folders a store has, and which folders are no store.

A mistyped HPS_STORE must not spread files over a home folder, and an old hps must not write into
a layout that it does not know.
"""

from pathlib import Path

from hps.errors import StoreError
from hps.store.filesystem import explain

VERSION = 1
FOLDERS = ("blobs/sha256", "traces", "received", "roots", "trees", "quarantine", "temporary")
_OURS = frozenset({"version", "lock", "indexes", *(folder.partition("/")[0] for folder in FOLDERS)})


def check_layout(root: Path) -> None:
    """Refuse a folder that is not a store, or one from a newer hps; writes nothing.

    Raises:
        StoreError: see above.
    """
    try:
        text = (root / "version").read_bytes()[:32].decode("ascii", "replace").strip()
    except FileNotFoundError:
        _check_ours(root)
        return
    except OSError as error:
        raise explain(error, "read", root / "version") from error
    if text != str(VERSION):
        newer = text.isdecimal() and int(text) > VERSION
        raise StoreError(
            f"the store {root} has a layout that this hps does not know",
            expected=VERSION,
            got=text,
            hint="update hps, or name another store with HPS_STORE"
            if newer
            else f"{root / 'version'} is damaged: write {VERSION} into it, then `hps store verify`",
        )


def _check_ours(root: Path) -> None:
    try:
        foreign = sorted({path.name for path in root.iterdir()} - _OURS)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain(error, "read", root) from error
    if foreign:
        raise StoreError(
            f"{root} holds other things and is no store",
            got=", ".join(foreign[:5]),
            hint="name an empty or a new folder with HPS_STORE",
        )
