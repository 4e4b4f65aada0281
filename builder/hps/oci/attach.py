"""Further manifests beside an image that is laid out already."""

import os
from collections.abc import Sequence
from pathlib import Path

from hps.digest import Digest
from hps.errors import BuildError
from hps.oci.attachment import Attachment, fallback_index, fallback_tag
from hps.oci.layout import write_layout
from hps.oci.layout_contents import blob_name
from hps.oci.layout_reading import open_layout
from hps.store.locking import exclusive


def attach(folder: Path, subject: Digest, referrers: Sequence[Attachment]) -> bool:
    """Lay referrers beside an image or index of a layout; all that is there stays.

    The layout is replaced as a whole, and the index of its referrers is made anew. Several that
    add to one layout at once wait for each other (the lock file `.NAME.lock` beside it stays), so
    none loses what another has added. `hps build` does not wait: it replaces a layout.

    Args:
        folder: of the layout.
        subject: the image, or the index of images.
        referrers: manifests whose subject it is, without a tag.

    Returns:
        Whether something had to be added.

    Raises:
        UsageError, IntegrityError: there is no layout, or it is damaged.
        BuildError: the image is no longer there, or the layout cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    with exclusive(folder.with_name(f".{folder.name}.lock"), wait=True):
        layout = open_layout(folder)
        if subject not in layout.subjects:
            raise BuildError(
                f"the image layout {folder} was replaced meanwhile",
                expected=subject,
                got=", ".join(map(str, layout.subjects)) or "no image",
                hint="run it again if the new image is meant",
            )
        there = {one.digest for one in layout.attachments}
        new = [one for one in referrers if one.digest not in there]
        if not new:
            return False
        kept = [one for one in layout.attachments if one.tag != fallback_tag(subject)]
        listed = [one for one in (*kept, *new) if one.subject == subject]
        write_layout(
            folder,
            layout.images,
            lambda digest: folder / blob_name(digest),
            (*kept, *new, fallback_index(subject, listed)),
            layout.indexes,
        )
        return True
