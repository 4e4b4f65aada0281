"""One plain file at one path of the image."""

from pathlib import Path

from hps.archive.paths import safe
from hps.digest import Digest
from hps.errors import BuildError
from hps.layer.entry import Entry
from hps.layer.merged_usr import merged


def plain_entries(
    path: Path, to: str, owner: str, *, promised: Digest | None = None, executable: bool = False
) -> list[Entry]:
    """A file as it is, for instance model weights.

    Args:
        path: where its bytes lie.
        to: absolute path in the image.
        owner: name of the artifact.
        promised: its digest, checked while the layer is written.
        executable: whether it gets the run bit.

    Raises:
        BuildError: there is no such file.
        UnsafeArchiveError: `to` is no path of an image.
    """
    if not path.is_file():
        raise BuildError(f"{owner}: there is no file {path.name}", got=path)
    size = path.stat().st_size
    return [
        Entry(
            merged(safe(to.lstrip("/"))),
            "file",
            owner,
            executable,
            size,
            open=lambda: path.open("rb"),
            promised=promised,
        )
    ]
