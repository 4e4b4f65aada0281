"""Two owners of one path: an error when the image is locked, never a surprise of the overlay."""

import itertools
from collections.abc import Callable, Collection, Iterable, Sequence

from hps.build.workbench import Workbench
from hps.config.target import Keep
from hps.digest import Blob
from hps.errors import ConflictError
from hps.layer.index import IndexLine, read_index
from hps.layer.whiteout import hidden, is_below
from hps.lock.base_image import REMOVED

_SHOWN = 20
# Layers that may replace what a base image has: dpkg's rules decide about packages, and what the
# system layer computes is of all of them.
DECIDED = frozenset({"debian", "system", REMOVED})


def check_conflicts(
    bench: Workbench,
    layers: Sequence[tuple[str, Blob]],
    rules: Sequence[Keep],
    base: Blob | None = None,
) -> None:
    """Compare the layers of an image path by path.

    Args:
        bench: the tools.
        layers: names and indexes, lowest first.
        rules: of hps.toml.
        base: the index of the image below them.

    Raises:
        ConflictError: two owners differ about a path, or a `keep` rule keeps nothing.
    """

    def lines(index: Blob) -> Iterable[IndexLine]:
        with bench.store.open(index.digest) as file:
            yield from read_index(file)

    found = conflicts((name, lines(index)) for name, index in layers)
    if base is not None:
        found += _replaced(lines, layers, rules, base)
    if found:
        raise ConflictError(
            f"{len(found)} paths have two sources with different content",
            details=tuple(found[:_SHOWN]),
            hint='say whose file stays: [[targets.NAME.keep]] path = "/…", from = "PACKAGE"',
        )
    indexes = [index for _, index in layers] + ([base] if base else [])
    everything = itertools.chain.from_iterable(lines(index) for index in indexes)
    if idle := idle_rules(rules, everything if rules else ()):
        raise ConflictError(
            "a rule of hps.toml keeps nothing, and takes its path from all others",
            details=tuple(f"keep {rule.path} from {rule.from_}" for rule in idle),
            hint="correct path and name; `hps why` names packages as rules do",
        )


def _replaced(
    lines: Callable[[Blob], Iterable[IndexLine]],
    layers: Sequence[tuple[str, Blob]],
    rules: Sequence[Keep],
    base: Blob,
) -> list[str]:
    """What layers would silently replace in the base image, after what others take away from it."""
    decided = [index for name, index in layers if name in DECIDED]
    gone = {path for index in decided for line in lines(index) if (path := hidden(line.path))}
    others = [(name, lines(index)) for name, index in layers if name not in DECIDED]
    return over_base(lines(base), others, gone, rules)


def over_base(
    base: Iterable[IndexLine],
    layers: Iterable[tuple[str, Iterable[IndexLine]]],
    gone: Collection[str],
    rules: Sequence[Keep],
) -> list[str]:
    """One line for each path that a layer would silently replace in the base image.

    Args:
        base: what the base holds.
        layers: those that nothing else decides about; see DECIDED.
        gone: paths of the base that other layers take away.
        rules: a path that one of them keeps from a package is that package's.
    """
    ours: dict[str, list[tuple[str, IndexLine]]] = {}
    for name, lines in layers:
        for line in lines:
            ours.setdefault(line.path, []).append((name, line))
    found = []
    for below in base:
        for name, line in ours.get(below.path, ()):
            if line.thing == below.thing or is_below(below.path, gone):
                continue
            if any(_keeps(rule, line) for rule in rules):
                continue
            found.append(
                f"/{line.path}: {below.owner} (of the base image) and {line.owner} (layer {name})"
            )
    return found


def idle_rules(rules: Iterable[Keep], lines: Iterable[IndexLine]) -> list[Keep]:
    """The rules whose package brings nothing at their path, and nothing below it."""
    left = list(rules)
    for line in lines:
        if not left:
            break
        left = [rule for rule in left if not _keeps(rule, line)]
    return left


def _keeps(rule: Keep, line: IndexLine) -> bool:
    path = rule.path.strip("/")
    return line.owner == rule.from_ and (line.path == path or line.path.startswith(f"{path}/"))


def conflicts(layers: Iterable[tuple[str, Iterable[IndexLine]]]) -> list[str]:
    """One line for each path that layers disagree about; equal files are no conflict."""
    seen: dict[str, tuple[str, str, str]] = {}
    found: list[str] = []
    for name, lines in layers:
        for line in lines:
            what = f"{line.kind} {line.mode:o} {line.uid}:{line.gid} {line.content}"
            first = seen.setdefault(line.path, (what, name, line.owner))
            # Folders are compared too: the upper layer's mode would replace the lower one's
            # (OCI image-spec, layer.md, "Applying Changesets").
            if first[0] != what:
                found.append(
                    f"/{line.path}: {first[2]} (layer {first[1]}) and {line.owner} (layer {name})"
                )
    return found
