"""The build that a challenge starts: a process of its own, told by one JSON argument.

It builds as `hps build --offline` does, from a store that holds artifacts alone. When a layer is
not what the lock says, it still tells what each layer came out as, so that both can be shown.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hps.build.graph import Graph
from hps.build.image import build
from hps.build.project import Project
from hps.build.trees import trees_step
from hps.build.workbench import Workbench
from hps.derivation.bubblewrap import Bubblewrap
from hps.derivation.sandbox import Sandbox
from hps.derivation.scheduler import Silent
from hps.errors import HpsError, NotReproducibleError
from hps.release.challenge_sandbox import VariedSandbox
from hps.store.request import Event


@dataclass(frozen=True, slots=True)
class Order:
    """What the child is told.

    Args:
        target: to be built.
        project: folder of the project.
        store: with artifacts alone.
        output: folder for the layout.
        result: file for the answer.
        processors: that it may use; all when empty.
        files: path inside the sandbox to path outside, shown to every program there.
        environment: added to that of every program in the sandbox.
        clock: what the clock must say, in seconds since 1970; 0 for the truth.
    """

    target: str
    project: str
    store: str
    output: str
    result: str
    processors: Sequence[int]
    files: Mapping[str, str]
    environment: Mapping[str, str]
    clock: float


class Talk(Silent):
    """Progress as lines on stderr, which the parent shows when the build fails."""

    def note(self, text: str) -> None:
        """See hps.build.workbench.Progress."""
        print(text, file=sys.stderr)  # noqa: T201 - what a process has stderr for

    def finished(self, label: str, *, made: bool) -> None:
        """See Progress."""
        if made:
            self.note(f"made {label}")

    def fetching(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        """See hps.build.workbench.Progress."""
        del files
        return lambda _: None


def main(text: str) -> int:
    """Build what the order says, write the answer, and give an exit code."""
    order = Order(**json.loads(text))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if order.processors:
        os.sched_setaffinity(0, order.processors)
    try:
        answer = _answer(order)
    except HpsError as error:
        answer = {"error": error.as_json()}
    Path(order.result).write_text(json.dumps(answer))
    return 0 if "layers" in answer else 1


def _end_with_parent() -> None:
    """The parent keeps stdin open for as long as it wants an answer."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _answer(order: Order) -> dict[str, Any]:
    bench = Workbench.open(
        Project.open(Path(order.project)),
        store=Path(order.store),
        environment={},
        offline=True,
        jobs=len(os.sched_getaffinity(0)),
        indexes={},
        make_sandbox=lambda: _sandbox(order),
        progress=Talk(),
        caches=(),  # what others made proves nothing about this machine
    )
    try:
        built = build(bench, order.target, output=Path(order.output))
    except NotReproducibleError as error:
        return {"image": None, "layers": _made(bench, order.target), "error": error.as_json()}
    layers = [(one.name, str(one.blob.digest), str(one.index.digest)) for one in built.layers]
    return {"image": str(built.image.digest), "layers": layers, "error": None}


def _sandbox(order: Order) -> Sandbox:
    sandbox = Bubblewrap()
    if not order.files and not order.environment:
        return sandbox
    files = {inside: Path(outside) for inside, outside in order.files.items()}
    return VariedSandbox(sandbox, files, order.environment, order.clock)


def _made(bench: Workbench, name: str) -> list[tuple[str, str, str]]:
    """What each layer came out as, from the traces that the build left."""
    lock = bench.project.require_lock()
    locked = next(target for target in lock.targets if target.name == name)
    config = bench.project.target(name)
    graph = Graph(locked, config, lock.source_date_epoch)
    steps = {layer.name: layer.step for layer in graph.layers}
    trees = trees_step(bench.project.root, config.trees, lock.source_date_epoch)
    if trees:
        steps["trees"] = trees
    known = bench.scheduler().survey(steps.values()).known
    return [
        (layer, str(known[step]["layer"].digest), str(known[step]["index"].digest))
        for layer, step in steps.items()
        if step in known
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
