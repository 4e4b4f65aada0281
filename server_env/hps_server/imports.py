"""Makes the import of PaddleX shorter, without a change to it.

PaddleX 3.7 imports some 4,000 modules, whatever the pipeline. Python's garbage collector looks at
all that they make again and again, and finds next to nothing. And two packages that it imports for
a few pipelines are large: scikit-learn, of which it calls two classes, and Matplotlib's pyplot.
They are imported when they are first used. What that saves: docs/explanation/performance.md.
"""

import contextlib
import gc
import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Modules that wait, and the names that PaddleX takes from them without using them at import.
# Whatever else is asked of them brings the real module at once.
LATER: "Mapping[str, frozenset[str]]" = {
    "sklearn": frozenset(),
    "sklearn.cluster": frozenset({"KMeans"}),
    "sklearn.preprocessing": frozenset({"StandardScaler"}),
    "matplotlib.pyplot": frozenset(),
}


@contextlib.contextmanager
def eased(later: "Mapping[str, frozenset[str]]" = LATER) -> "Iterator[None]":
    """Import without the collector, and large modules only when they are used.

    What the block makes is left out of all collections to come, as it stays for ever: some 420,000
    objects. `gc.unfreeze` brings it back.
    """
    enabled = gc.isenabled()
    sys.meta_path.insert(0, Finder(later))
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


class Finder(MetaPathFinder, Loader):
    """Gives stand-ins for the modules that wait, and the modules once they are wanted.

    It stays in `sys.meta_path`: a module below one that waits must not come before it.

    Args:
        later: names by module. Modules of one top-level package wait together, and no more when
            one of them has been imported.
    """

    def __init__(self, later: "Mapping[str, frozenset[str]]") -> None:
        there = {_package(name) for name in later if name in sys.modules}
        self._later = {name: names for name, names in later.items() if _package(name) not in there}
        self._lock = threading.Lock()

    def find_spec(
        self, name: str, path: "Sequence[str] | None", _: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """See MetaPathFinder."""
        if name not in self._later:
            self._bring_above(name)
            return None
        found = PathFinder.find_spec(name, path)  # a stand-in has the real path
        if found is None:
            return None
        spec = ModuleSpec(name, self, origin=found.origin)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See Loader."""
        return _Waiting(spec.name, self, self._later.get(spec.name, frozenset()))

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: that is what it is for."""

    def bring(self, name: str) -> ModuleType:
        """The module itself, imported now if it has been waiting."""
        with self._lock:
            for each in [each for each in self._later if _package(each) == _package(name)]:
                del self._later[each]
                sys.modules.pop(each, None)
        return importlib.import_module(name)

    def _bring_above(self, name: str) -> None:
        above = name.rpartition(".")[0]
        while above:
            if above in self._later:
                self.bring(above)
                return
            above = above.rpartition(".")[0]


class _Waiting(ModuleType):
    """Stands for a module until something is asked of it."""

    def __init__(self, name: str, finder: Finder, later: "frozenset[str]") -> None:
        super().__init__(name)
        self._hps_finder = finder
        self._hps_later = later

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks for what a module may lack
            raise AttributeError(name)
        if name in self._hps_later:
            return Deferred(self._hps_finder, self.__name__, name)
        return getattr(self._hps_finder.bring(self.__name__), name)


class Deferred:
    """Stands for a class or function of a module, which is imported when it is used."""

    def __init__(self, finder: Finder, module: str, name: str) -> None:
        self._hps_place = finder, module, name

    def _hps_real(self) -> Any:
        finder, module, name = self._hps_place
        return getattr(finder.bring(module), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return self._hps_real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hps_real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        """Ask the real one."""
        return isinstance(instance, self._hps_real())

    def __mro_entries__(self, _: object) -> "tuple[type, ...]":
        """Put the real one among the bases of a class (PEP 560)."""
        return (self._hps_real(),)


def _package(name: str) -> str:
    return name.partition(".")[0]
