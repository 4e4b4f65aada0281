"""What the project's trees replace of the layers below them: meant, but never in silence.

Locked layers may not disagree about a path. Trees may: they are the project's own last word.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hps.build.healing import healing
from hps.build.image import Built, Made, build
from hps.build.workbench import Workbench
from hps.digest import Digest
from hps.layer.index import IndexLine, read_index
from hps.lock.base_image import BASE_LAYER

_END = b'",'  # of a path, or within one that has these two characters
_PATH = re.compile(rb'\["((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Override:
    """A path that a tree replaces, and who had it, in which layer."""

    path: str
    tree: str
    layer: str
    owner: str


def find_overrides(bench: Workbench, built: Built | Made) -> list[Override]:
    """Compare the trees of an image with its other layers; reads their indexes, no payload."""

    def work(healed: bool) -> list[Override]:
        one = build(bench, built.target) if healed else built
        digests = [(BASE_LAYER, one.base.index.digest)] if one.base else []
        digests += [(layer.name, layer.index.digest) for layer in one.layers]
        below = [(name, _lines(bench, digest)) for name, digest in digests if name != "trees"]
        trees = [digest for name, digest in digests if name == "trees"]
        return overrides(_lines(bench, trees[0]), below) if trees else []

    with bench.store.session():
        return healing(bench, work)


def _lines(bench: Workbench, digest: Digest) -> Iterator[bytes]:
    with bench.store.open(digest) as file:
        yield from file


def overrides(
    trees: Iterable[bytes], layers: Sequence[tuple[str, Iterable[bytes]]]
) -> list[Override]:
    """The paths that trees replace with something else, and those that they hide, sorted.

    An image has far more paths than its trees, so a line is parsed only where a tree has the
    same path.

    Args:
        trees: the index of their layer, line by line.
        layers: names and indexes of those below, lowest first.
    """
    upper = {_path(line.dump()): line for line in read_index(trees)}
    # Few lines pass this look at their first bytes; of tens of thousands, others cost most.
    starts = {line.dump().split(_END, 1)[0] for line in upper.values()}
    seen: set[bytes] = set()
    hidden: dict[bytes, IndexLine] = {}
    found: list[Override] = []
    for name, lines in reversed(layers):
        for raw in lines:
            if not hidden and raw.split(_END, 1)[0] not in starts:
                continue
            path = _path(raw)
            hides = next((one for prefix, one in hidden.items() if path.startswith(prefix)), None)
            above = hides or upper.get(path)
            if above is None or path in seen:
                continue
            seen.add(path)
            (line,) = read_index([raw])
            if hides is not None or line.thing != above.thing:
                found.append(Override(line.path, _tree(above, upper.values()), name, line.owner))
            # A file or link in place of a folder takes all below it away (OCI image-spec,
            # layer.md, "Applying Changesets"). Folders come before what is in them.
            if line.kind == "directory" and above.kind != "directory":
                hidden[path + b"/"] = above
    return sorted(found, key=lambda one: one.path.encode())


def summary(found: Iterable[Override]) -> str:
    """One line: which tree overrides how many paths of which layer."""
    counts = Counter((one.tree, one.layer) for one in found)
    words: dict[str, list[str]] = {}
    for (tree, layer), count in sorted(counts.items()):
        paths = "1 path" if count == 1 else f"{count} paths"
        words.setdefault(tree, []).append(f"{paths} of layer {layer}")
    return "; ".join(f"tree {tree} overrides {', '.join(all_)}" for tree, all_ in words.items())


def _path(raw: bytes) -> bytes:
    """The path of a line as it is spelled there; the same path is always spelled the same."""
    match = _PATH.match(raw)
    return match[1] if match else raw


def _tree(above: IndexLine, upper: Iterable[IndexLine]) -> str:
    """Whose path that is; a folder that only leads to a tree's files is that tree's."""
    if above.owner != "hps":
        return above.owner
    below = (one.owner for one in upper if one.path.startswith(f"{above.path}/"))
    return next((owner for owner in below if owner != "hps"), above.owner)
