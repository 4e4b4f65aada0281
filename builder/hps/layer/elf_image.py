"""The files of an image as the dynamic linker sees them: layers laid over each other. Pure."""

import posixpath
from collections.abc import Iterable, Iterator

from hps.errors import UnsafeArchiveError
from hps.layer.elf_layer import Thing
from hps.layer.path_resolution import Nothing, resolve

_WHITEOUT = ".wh."  # OCI image-spec, "Whiteouts"
_OPAQUE = ".wh..wh..opq"


class ElfImage:
    """What lies at each path of an image.

    Args:
        layers: what each layer holds, lowest first.
    """

    def __init__(self, layers: Iterable[Iterable[Thing]]) -> None:
        self._things: dict[str, Thing] = {}
        self._inside: dict[str, set[str]] = {}  # names in a folder
        for layer in layers:
            self._lay(list(layer))

    def __iter__(self) -> Iterator[tuple[str, Thing]]:
        """Paths and what lies there, sorted."""
        return iter(sorted(self._things.items()))

    def at(self, path: str) -> Thing | None:
        """What lies at a path that `resolve` gave; a hard link is what it links to."""
        return self._things.get(path)

    def resolve(self, path: str) -> str | None:
        """The path without links, relative to the root; None when nothing is there.

        Links are followed as in a root file system of its own (path_resolution(7)); a chain that
        goes in circles leads nowhere.
        """
        try:
            return resolve(path, self._target)
        except UnsafeArchiveError:
            return None

    def _target(self, path: str) -> str | None:
        thing = self._things.get(path)
        if thing is None and path not in self._inside:
            raise Nothing
        return thing.link if thing is not None and thing.kind == "symlink" else None

    def _lay(self, layer: list[Thing]) -> None:
        """Whiteouts are of what lies below and not of the layer's own, wherever they stand."""
        for thing in layer:
            folder, name = posixpath.split(thing.path)
            if name == _OPAQUE:
                self._empty(self._folder(folder))
            elif name.startswith(_WHITEOUT):
                self._remove(posixpath.join(self._folder(folder), name[len(_WHITEOUT) :]))
        for thing in layer:
            folder, name = posixpath.split(thing.path)
            if not name.startswith(_WHITEOUT):
                self._put(posixpath.join(self._folder(folder), name), thing)

    def _folder(self, path: str) -> str:
        """Where a folder of a layer lies in the image: links of lower layers are followed."""
        found = self.resolve(path)
        return path if found is None else found

    def _put(self, path: str, thing: Thing) -> None:
        """Lay one thing; what would lie below a file or a link to nothing is no part of an image.

        Whoever unpacks such a layer refuses it.
        """
        if not self._is_folder(posixpath.dirname(path)):
            return
        old = self._things.get(path)
        if thing.kind == "hardlink":
            target = self._things.get(self._folder(thing.link))
            thing = Thing(path, "file") if target is None else target
        if thing.kind != "directory" or (old is not None and old.kind != "directory"):
            self._remove(path)  # a folder takes the place of a link, and of all but a folder
        if thing.kind == "directory":
            self._inside.setdefault(path, set())
        self._things[path] = thing
        while path:
            folder, name = posixpath.split(path)
            self._inside.setdefault(folder, set()).add(name)
            path = folder

    def _is_folder(self, path: str) -> bool:
        """Whether a path is a folder, or nothing yet, and all above it are."""
        while path:
            thing = self._things.get(path)
            if thing is not None and thing.kind != "directory":
                return False
            path = posixpath.dirname(path)
        return True

    def _remove(self, path: str) -> None:
        self._empty(path)
        self._inside.pop(path, None)
        self._things.pop(path, None)
        folder, name = posixpath.split(path)
        self._inside.get(folder, set()).discard(name)

    def _empty(self, folder: str) -> None:
        left = [posixpath.join(folder, name) for name in self._inside.get(folder, ())]
        while left:
            path = left.pop()
            left += [posixpath.join(path, name) for name in self._inside.pop(path, ())]
            self._things.pop(path, None)
        if folder in self._inside:
            self._inside[folder] = set()
