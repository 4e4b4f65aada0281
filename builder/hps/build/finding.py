"""From a path of a built image back to the layer and the artifact that brought it."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hps.build.image import Built
from hps.build.proof import index_lines
from hps.build.workbench import Workbench
from hps.layer.index import IndexLine
from hps.layer.whiteout import hidden, is_below
from hps.lock.base_image import BASE_LAYER


@dataclass(frozen=True, slots=True)
class Origin:
    """What brought a path into an image."""

    path: str
    layer: str
    owner: str
    kind: str
    size: int
    content: str
    over: tuple[Mapping[str, str], ...] = ()  # layers and owners of what it is laid over


def find(bench: Workbench, built: Built, pattern: str) -> list[Origin]:
    """Every path of an image that a pattern matches, the topmost layer's entry first."""
    wanted = pattern.strip("/")
    found: dict[str, list[tuple[str, IndexLine]]] = {}
    layers = [(layer.name, layer.index.digest) for layer in reversed(built.layers)]
    gone: set[str] = set()
    for name, digest in layers + ([(BASE_LAYER, built.base.index.digest)] if built.base else []):
        for line in index_lines(bench, digest):
            if name == BASE_LAYER and is_below(line.path, gone):
                continue
            if built.base and (path := hidden(line.path)):
                gone.add(path)
            elif line.path == wanted or fnmatch.fnmatchcase(line.path, wanted):
                found.setdefault(line.path, []).append((name, line))
    return [_origin(found[path]) for path in sorted(found)]


def _origin(lines: Sequence[tuple[str, IndexLine]]) -> Origin:
    """Of the topmost line of a path; those below count where they say something else."""
    (layer, line), *below = lines
    over = tuple(
        {"layer": name, "owner": one.owner} for name, one in below if one.thing != line.thing
    )
    return Origin(f"/{line.path}", layer, line.owner, line.kind, line.size, line.content, over)
