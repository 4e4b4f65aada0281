"""The layout of a target for those who hand it on: built, and signed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hps.build.healing import healing
from hps.build.image import lay_out, make, whole_layout
from hps.build.platforms import Attesting, build_group
from hps.build.workbench import Workbench
from hps.config.platforms import base_name
from hps.oci.index import platform_index
from hps.oci.layout_contents import Layout
from hps.trust.evidence import evidence_of


def laid_out(
    bench: Workbench,
    names: Sequence[str],
    *,
    verify: bool = False,
    attest: Callable[[], Attesting | None] = lambda: None,
) -> Path:
    """Build a target if its layout is not what the lock says, and give the layout.

    A layout that holds the signed image is left alone: its signatures were made by keys that need
    not be at hand now. One without a signature (`hps run` needs none) is signed first where
    somebody signs.

    Args:
        bench: the tools.
        names: of the target, one for each platform.
        verify: hash every layer.
        attest: gives who signs; called where the image has to be built, or has no signature.

    Raises:
        as `hps.build.image.build`, and what `attest` raises.
    """
    group = names[0] if len(names) == 1 else base_name(names[0])
    folder = bench.project.layout_path(group)
    there = _found(bench, names, folder, verify=verify)
    if there is None or not _is_signed(there):
        signing = attest()
        if there is None or signing is not None:
            build_group(bench, names, verify=verify, attest=signing)
    return folder


def _found(bench: Workbench, names: Sequence[str], folder: Path, *, verify: bool) -> Layout | None:
    """The layout, if it is what the lock says; what was damaged there is made good."""

    def work(healed: bool) -> Layout | None:
        images = [make(bench, name, verify=verify).image for name in names]
        wanted = images[0].digest
        if len(images) > 1:
            unnamed = [replace(image, reference=None) for image in images]
            wanted = platform_index(bench.project.reference(names[0]), unnamed).digest
        there = whole_layout(folder, [(wanted, bench.project.reference(names[0]))])
        if there is not None and healed:
            lay_out(bench, folder, there, healed=True)
        return there

    with bench.store.session():
        return healing(bench, work)


def _is_signed(layout: Layout) -> bool:
    """Whether anybody says anything about what is laid out; whom to trust is not asked here."""
    return any(evidence_of(subject, layout.attachments) for subject in layout.listed)
