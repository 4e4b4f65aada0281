"""Roots: what each project on this machine still needs; everything else may be collected.

As Nix does it, a root counts for as long as its project's folder is there. Root files name
folders of this machine and never leave the store.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from hps import canonical
from hps.digest import Digest
from hps.errors import StoreCorruptError, StoreError
from hps.store.filesystem import explain
from hps.store.workspace import Workspace

_VERSION = 1
_SCHEME = "file://"


@dataclass(frozen=True, slots=True)
class Root:
    """One root.

    Args:
        project: the folder that it belongs to.
        name: which root of the project: a target.
        digests: the blobs and trees it keeps, sorted.
        alive: whether the folder is there; without it the root keeps nothing.
    """

    project: Path
    name: str
    digests: tuple[Digest, ...]
    alive: bool


class Roots:
    """The roots of a store.

    Args:
        root: `roots/` of the store.
        workspace: where files are made.
    """

    def __init__(self, root: Path, workspace: Workspace) -> None:
        self._root = root
        self._workspace = workspace

    def set(self, project: Path, name: str, digests: Iterable[Digest]) -> None:
        """Keep exactly these blobs and trees for a project, in place of what `name` kept.

        A root that says so already is not written again: a build with nothing to do writes
        nothing, and works on a read-only store.

        Raises:
            StoreError: the store cannot be written.
        """
        value = {
            "digests": sorted(str(digest) for digest in set(digests)),
            "name": name,
            "project": project.absolute().as_uri(),  # also for names that are not UTF-8
            "version": _VERSION,
        }
        data = canonical.dumps(value) + b"\n"
        path = self.path(project, name)
        with contextlib.suppress(OSError):  # what cannot be read is written
            if path.read_bytes() == data:
                return
        self._workspace.begin()
        self._workspace.publish(data, path)

    def keeps(self, project: Path, name: str, digests: Iterable[Digest]) -> bool:
        """Whether there is a whole root of that name that keeps all of these."""
        try:
            root = _read(self.path(project, name))
        except (StoreError, StoreCorruptError):
            return False
        return root is not None and set(digests) <= set(root.digests)

    def remove(self, project: Path, name: str) -> None:
        """Keep nothing for a project under this name any more."""
        self._workspace.filesystem.remove(self.path(project, name))

    def path(self, project: Path, name: str) -> Path:
        """Where a root is or would be."""
        identity = os.fsencode(project.absolute()) + b"\0" + name.encode()
        return self._root / hashlib.sha256(identity).hexdigest()

    def all(self) -> list[Root]:
        """Every root, by project and name; those that no longer count have `alive` False.

        Raises:
            StoreCorruptError: one cannot be understood, so nobody knows what it keeps.
            StoreError: one cannot be read.
        """
        try:
            paths = sorted(self._root.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise explain(error, "read", self._root) from error
        found = [_read(path) for path in paths if not path.name.startswith(".")]
        present = [root for root in found if root is not None]
        return sorted(present, key=lambda root: (str(root.project), root.name))


def _read(path: Path) -> Root | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None  # removed since it was listed
    except OSError as error:
        raise explain(error, "read", path) from error
    try:
        value = json.loads(data)
        if value["version"] != _VERSION or not value["project"].startswith(_SCHEME):
            raise ValueError(value["version"])  # noqa: TRY301  # one answer for all that is foreign
        project = Path(os.fsdecode(unquote_to_bytes(value["project"][len(_SCHEME) :])))
        digests = tuple(Digest.parse(text) for text in value["digests"])
        return Root(project, str(value["name"]), digests, _is_there(project))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreCorruptError(
            f"the root {path} is damaged, so nobody knows what it keeps",
            hint="build the project again, or remove the file when its project is gone",
        ) from error


def _is_there(project: Path) -> bool:
    try:
        project.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # a folder that cannot be asked may well be there: keep
    return True
