"""A group of models as one thing to publish: a folder for each member, and nothing else.

That is how a monitor with `members` takes them (docs/adr/0013): under one donefile, so that no
reader meets half of a group.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hps.model.folder import is_manifest
from hps.model.release import ModelRelease, ReleaseFile


def members_of(folder: Path) -> tuple[str, ...]:
    """The names of the members that a folder holds, in order; none when it is one model.

    Raises:
        OSError: it cannot be read.
    """
    inside = sorted(one.name for one in folder.iterdir())
    if any(map(is_manifest, inside)):
        return ()
    return tuple(name for name in inside if _is_model(folder / name))


def faults(folder: Path, releases: Mapping[str, ModelRelease], wanted: str | None) -> Iterator[str]:
    """Why a monitor would not take these as one group.

    Args:
        folder: that holds them.
        releases: by the folder of each member, all of them verified.
        wanted: the name that the group must have; None: any.
    """
    for name in sorted(one.name for one in folder.iterdir()):
        if name not in releases:
            yield f"{name} lies beside the members and is none"
    for name, release in releases.items():
        group = release.group
        if release.name != name:
            yield f"the folder {name} holds the model {release.name}"
        if group is None:
            yield f"{name} was not released as one of a group (hps model pack … --group NAME)"
        elif wanted is not None and group.name != wanted:
            yield f"{name} is of the group {group.name}, not of {wanted}"
    groups = {release.group for release in releases.values()}
    numbers = {(release.channel, release.sequence) for release in releases.values()}
    if len(groups) > 1 or len(numbers) > 1:
        yield "the members are not of one release"


def files_of(member: str, files: Sequence[ReleaseFile]) -> list[ReleaseFile]:
    """The files of one member among those of an archive, under their names in the member."""
    start = f"{member}/"
    inside = [(one.path.removeprefix(start), one) for one in files if one.path.startswith(start)]
    return [
        ReleaseFile(path, one.digest, one.size, one.mode)
        for path, one in inside
        if not is_manifest(path)
    ]


def _is_model(folder: Path) -> bool:
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and any(is_manifest(one.name) for one in folder.iterdir())
    )
