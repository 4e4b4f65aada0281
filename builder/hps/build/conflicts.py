"""Two owners of one path: an error when the image is locked, never a surprise of the overlay."""

from collections.abc import Iterable, Sequence

from hps.build.workbench import Workbench
from hps.digest import Blob
from hps.errors import ConflictError
from hps.layer.index import IndexLine, read_index

_SHOWN = 20


def check_conflicts(bench: Workbench, layers: Sequence[tuple[str, Blob]]) -> None:
    """Compare the layers of an image path by path; raises ConflictError naming the owners."""

    def lines(index: Blob) -> Iterable[IndexLine]:
        with bench.store.open(index.digest) as file:
            yield from read_index(file)

    found = conflicts((name, lines(index)) for name, index in layers)
    if found:
        raise ConflictError(
            f"{len(found)} paths have two sources with different content",
            details=tuple(found[:_SHOWN]),
            hint='say whose file stays: [[targets.NAME.keep]] path = "/…", from = "PACKAGE"',
        )


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
