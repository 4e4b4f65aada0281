"""The layout of a target for those who hand it on: built, and signed as it was."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hps.build.healing import healing
from hps.build.image import make
from hps.build.platforms import Attesting, build_group
from hps.build.workbench import Workbench
from hps.config.platforms import base_name
from hps.digest import Digest
from hps.errors import HpsError
from hps.oci.index import platform_index
from hps.oci.layout_reading import layout_faults, open_layout


def laid_out(
    bench: Workbench,
    names: Sequence[str],
    *,
    verify: bool = False,
    attest: Callable[[], Attesting | None] = lambda: None,
) -> Path:
    """Build a target if its layout is not what the lock says, and give the layout.

    A layout that holds the image is left alone: the signatures that lie beside it were made by
    keys that need not be at hand now.

    Args:
        bench: the tools.
        names: of the target, one for each platform.
        verify: hash every layer.
        attest: gives who signs, where the image has to be built.

    Raises:
        as `hps.build.image.build`.
    """
    group = names[0] if len(names) == 1 else base_name(names[0])
    folder = bench.project.layout_path(group)
    if not _is_there(bench, names, folder, verify=verify):
        build_group(bench, names, verify=verify, attest=attest())
    return folder


def _is_there(bench: Workbench, names: Sequence[str], folder: Path, *, verify: bool) -> bool:
    def work(healed: bool) -> bool:
        images = [make(bench, name, verify=verify).image for name in names]
        wanted = images[0].digest
        if len(images) > 1:
            unnamed = [replace(image, reference=None) for image in images]
            wanted = platform_index(bench.project.reference(names[0]), unnamed).digest
        # What was damaged in the store is so in the layout too: they are one file.
        return not healed and _holds(folder, wanted, bench.project.reference(names[0]))

    with bench.store.session():
        return healing(bench, work)


def _holds(folder: Path, wanted: Digest, name: str) -> bool:
    """Whether a folder holds this and nothing else; sizes are compared, bytes are not."""
    try:
        layout = open_layout(folder)
        listed = [(one.digest, one.reference) for one in layout.images]
        listed += [(one.digest, one.reference) for one in layout.indexes]
        return listed == [(wanted, name)] and not layout_faults(folder, layout, hashed=False)
    except HpsError:
        return False  # then it is written anew
