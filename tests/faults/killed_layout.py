"""Writes layouts and archives of images and is killed at each effect; nothing half may be seen.

`python -m tests.faults.killed_layout NAME FOLDER` prints how many times it was killed.
"""

import sys
from pathlib import Path

from hps.digest import Digest
from hps.oci.archive import archive_pieces, write_archive
from hps.oci.image import Image
from hps.oci.layout import check_layout, write_layout
from tests.faults.tracer import walk
from tests.oci.images import Blobs, small_image

FORMS = {"layout": "image", "archive": "image.tar"}  # name: what is written


class Walk:
    """One form of an image, in the folders where writing it was killed."""

    def __init__(self, form: str, folder: Path) -> None:
        self.archive = form == "archive"
        self.name = FORMS[form]
        self.blobs = Blobs(folder / "blobs")
        self.images = small_image(self.blobs), small_image(self.blobs, labels={"version": "2"})

    def write(self, place: Path, image: Image) -> None:
        if self.archive:
            write_archive(place / self.name, [image], self.blobs.path, epoch=0)
        else:
            write_layout(place / self.name, [image], self.blobs.path)

    def read(self, place: Path) -> Image | None:
        """The image that is there, whole; raises otherwise."""
        path = place / self.name
        if not path.exists():
            return None
        if not self.archive:
            (image,) = check_layout(path)
            return image
        found = Digest.of(path.read_bytes())
        return next(image for image in self.images if self.packed(image) == found)

    def packed(self, image: Image) -> Digest:
        return Digest.of(b"".join(archive_pieces([image], self.blobs.path, epoch=0)))

    def run(self, folder: Path, before: Image | None) -> int:
        """Put the second image over `before`, killed at each effect."""

        def prepare(place: Path) -> None:
            if before is not None:
                self.write(place, before)

        places = walk(folder, prepare, lambda place: self.write(place, self.images[1]))
        for place in (folder / each for each in places):
            assert self.read(place) in {before, self.images[1]}, place
            self.write(place, self.images[0])
            assert self.read(place) == self.images[0], place
            left = [path.name for path in place.iterdir()]
            assert left == [self.name], left
        return len(places)


def main(form: str, folder: Path) -> None:
    own = Walk(form, folder)
    counts = []
    for name, before in (("first", None), ("again", own.images[0])):
        (folder / name).mkdir()
        counts.append(own.run(folder / name, before))
    print(*counts)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
