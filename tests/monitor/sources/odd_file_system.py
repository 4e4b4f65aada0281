# mypy: disable-error-code="import-untyped,misc"
"""A file system of fsspec over folders of this machine that hangs, lies and raises when told to."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class OddFileSystem(LocalFileSystem):
    """`odd:///folder`; what it shall do is set for the class, because others make the objects."""

    protocol = "odd"
    cachable = False
    proceed: ClassVar[threading.Event] = threading.Event()
    calls: ClassVar[list[str]] = []
    faults: ClassVar[dict[str, Exception]] = {}
    lies: ClassVar[Callable[[list[dict[str, Any]]], list[dict[str, Any]]]] = staticmethod(
        lambda entries: entries
    )

    @classmethod
    def behave(cls) -> None:
        """Forget what it was told."""
        cls.proceed.set()
        cls.faults.clear()
        cls.calls.clear()
        cls.lies = staticmethod(lambda entries: entries)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(LocalFileSystem._strip_protocol(path.removeprefix("odd://")))

    def info(self, path: str, **settings: Any) -> dict[str, Any]:
        self._act("info")
        found: dict[str, Any] = super().info(path, **settings)
        return found

    def ls(self, path: str, detail: bool = False, **settings: Any) -> list[Any]:
        self._act("ls")
        return type(self).lies(super().ls(path, detail=detail, **settings))

    def open(self, path: str, mode: str = "rb", **settings: Any) -> Any:
        self._act("open")
        return super().open(path, mode, **settings)

    def _act(self, what: str) -> None:
        self.calls.append(what)
        if fault := self.faults.get(what):
            raise fault
        self.proceed.wait()


fsspec.register_implementation("odd", OddFileSystem, clobber=True)
