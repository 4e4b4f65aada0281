"""A build with nothing to do, told by bytes before anything is parsed.

After a build the digests of all that it read from the project are written to
`.hps/unchanged.json`, with what it answered. When all of them are the same and the layouts are
still there, the answer is the same. Whatever differs, be it a comment, leads to the ordinary way,
which decides by meaning. This module imports little, and nothing that parses.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hps import __version__
from hps.build.functions import ALL
from hps.errors import HpsError
from hps.layer.tree import tree_digest, tree_entries
from hps.store import whole_file

_NAME = Path(".hps") / "unchanged.json"
Trees = Sequence[tuple[str, str, Sequence[str]]]


def find_root(directory: Path, name: str = "hps.toml") -> Path:
    """The directory, or the nearest above it, that holds the project's configuration."""
    start = directory.resolve()
    return next((one for one in (start, *start.parents) if (one / name).is_file()), start)


def look(root: Path, files: Iterable[str], trees: Trees) -> dict[str, Any] | None:
    """The digests of what a build reads from the project; None if that cannot be read.

    It is taken before and after a build: of what was edited meanwhile nobody knows whether it is in
    the image.

    Args:
        root: of the project.
        files: relative to the root or absolute.
        trees: copied by any of the targets: from, to, exclude.
    """
    try:
        return {
            "files": {name: _file(root / name) for name in files},
            "trees": [[*tree, _tree(root, *tree)] for tree in trees],
        }
    except (OSError, HpsError):
        return None


def remember(
    store: Path,
    looked: dict[str, Any],
    answers: Sequence[dict[str, Any]],
    *,
    rooted: bool = True,
    signing: Sequence[str | None] = (),
) -> bytes:
    """What `recall` compares: the text of `.hps/unchanged.json`.

    Args:
        store: that the build used; another one is another build.
        looked: what `look` gave, all the time.
        answers: one for each target of hps.toml, as `hps build --json` reports it.
        rooted: whether the store knows of the project; if not, it is told when it can be written.
        signing: which key the command line and the environment asked for.
    """
    state = {
        "hps": __version__,
        "functions": ALL,
        "store": str(store),
        "rooted": rooted,
        "signing": list(signing),
        **looked,
        "answers": [[answer, _layout(answer)] for answer in answers],
    }
    return json.dumps(state, indent=1).encode()


def keep(root: Path, state: bytes) -> None:
    """Write the state; a project that cannot be written is asked the ordinary way each time."""
    with contextlib.suppress(OSError), whole_file.replacing(root / _NAME) as file:
        file.write(state)


def recall(
    root: Path, store: Path, signing: Sequence[str | None] = ()
) -> list[dict[str, Any]] | None:
    """The answers of the last build of all targets, if it would answer the same; else None."""
    try:
        state = json.loads((root / _NAME).read_bytes())
        same = (
            (state["hps"], state["functions"], state["store"], state["signing"])
            == (__version__, ALL, str(store), list(signing))
            and (state["rooted"] or not os.access(store, os.W_OK))
            and all(_file(root / name) == digest for name, digest in state["files"].items())
            and all(_tree(root, *tree) == digest for *tree, digest in state["trees"])
            and all(_layout(answer) == digest for answer, digest in state["answers"])
        )
        return [answer | {"changed": False} for answer, _ in state["answers"]] if same else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, HpsError):
        return None  # nothing to compare with, or not whole: the ordinary way finds out


def _file(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _tree(root: Path, source: str, to: str, exclude: Sequence[str]) -> str:
    return str(tree_digest(tree_entries(root / source, to, tuple(exclude))))


def _layout(answer: dict[str, Any]) -> str:
    """The digest of a layout's index, if all its blobs are there; raises OSError otherwise."""
    layout = Path(answer["layout"])
    for digest in _blobs(answer):
        (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).stat()
    return _file(layout / "index.json")


def _blobs(answer: dict[str, Any]) -> list[str]:
    """What lies in a layout: an image, or an index and its images, and what is said of them."""
    found = [answer["digest"], *(one["digest"] for one in answer["attachments"])]
    for image in answer.get("images", [answer]):
        found += [image["digest"], image["image_id"]]
        found += [layer.get("digest", layer["diff_id"]) for layer in image["layers"]]
    return found
