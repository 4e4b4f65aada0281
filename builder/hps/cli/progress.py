"""Showing what goes on: bars on a terminal, plain lines elsewhere, always on stderr."""

import sys
import threading
from collections.abc import Callable, Sequence

import click

from hps.cli.sizes import size
from hps.store.request import Event


def make_progress() -> "Bars | Lines":
    """Bars when stderr is a terminal, else lines."""
    return Bars() if sys.stderr.isatty() else Lines()


class Lines:
    """One line for each thing that was done; nothing for what was there already."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """See Progress."""
        with self._lock:
            click.echo(text, err=True)

    def started(self, label: str) -> None:
        """See Progress."""

    def finished(self, label: str, *, made: bool) -> None:
        """See Progress."""
        if made:
            self.note(f"made {label}")

    def fetching(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """See Progress."""
        return self._each("fetched", files)

    def moving(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """See `hps.oci.moving.Watch`."""
        return self._each("moved", files)

    def _each(self, word: str, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        def watch(event: Event) -> None:
            if event.kind == "done":
                self.note(f"{word} {files[event.index][0]} ({size(event.count)})")

        return watch


class Bars:
    """A bar for bytes that are fetched and one for steps that are made."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._steps: dict[str, None] = {}
        self._made = 0
        self._task = self._bars.add_task("building", total=None, visible=False, state="")

    def note(self, text: str) -> None:
        """See Progress."""
        self._console.print(text, highlight=False, markup=False)

    def started(self, label: str) -> None:
        """See Progress."""
        with self._lock:
            self._steps[label] = None
            self._show()

    def finished(self, label: str, *, made: bool) -> None:
        """See Progress."""
        with self._lock:
            self._steps.pop(label, None)
            self._made += made
            self._show()

    def _show(self) -> None:
        running = ", ".join(list(self._steps)[:3])
        self._bars.update(self._task, visible=bool(self._steps), state=f"{self._made} {running}")
        if self._steps:
            self._bars.start()
        else:
            self._bars.stop()

    def fetching(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """See Progress."""
        return self._each("fetching", files)

    def moving(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """See `hps.oci.moving.Watch`."""
        return self._each("moving", files)

    def _each(self, word: str, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        total = sum(count for _, count in files)
        task = self._bars.add_task(word, total=total or None, state="")
        ended = 0

        def watch(event: Event) -> None:
            nonlocal ended
            if event.kind == "start":
                self._bars.start()
                self._bars.update(task, state=files[event.index][0])
            elif event.kind == "bytes":
                self._bars.advance(task, event.count)
            elif event.kind == "restart":
                self._bars.advance(task, -event.count)
            else:
                ended += 1
            if ended == len(files):
                self._bars.stop()
                self._bars.remove_task(task)

        return watch
