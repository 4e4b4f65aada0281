"""What `docker save` writes, read as a repository: the adapter of the port in `registry` for it.

Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format". Such an archive
has a configuration and layers and no manifest, so hps makes the one that it would have written for
an image of its own: an image that hps built comes back with its digest.
"""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hps.archive.decompress import PIECE, codec_of
from hps.digest import Blob, Digest
from hps.errors import IntegrityError, MalformedError, NotFoundError, UsageError
from hps.oci.archive_files import ArchiveFiles
from hps.oci.documents import (
    Config,
    DockerImage,
    DockerManifest,
    parse,
    read_document,
)
from hps.oci.image import LAYER_TYPE, MANIFEST_TYPE, ImageLayer, manifest
from hps.oci.packing import GZIP_TYPE, ZSTD_TYPE, unpacked
from hps.oci.registry import ManifestDocument, Referrers, check_limit
from hps.store.foreign_text import printable
from hps.store.sending import Sending

_MANIFEST = "manifest.json"
_HEAD = 6  # bytes by which a packed layer is told
_MOST_LAYERS = 1000  # engines stop at 127
_SHOWN = 10  # names in a hint
_PACKED = {"gz": GZIP_TYPE, "zst": ZSTD_TYPE}


class DockerArchive:
    """One image of an archive of Docker's as a repository (see `Registry`).

    Args:
        files: of the archive, with its links.
        name: which image, as `manifest.json` has it (NAME:TAG); None: the only one.

    Raises:
        UsageError: there is no such image, or more than one and none was named.
        IntegrityError: the archive contradicts itself; packed layers are read for this, plain ones
            when somebody wants them.
    """

    def __init__(self, files: ArchiveFiles, name: str | None = None) -> None:
        self._files = files
        image = self._choose(name)
        if files.size(image.config) is None:
            raise MalformedError(f"{files.root} has no {printable(image.config)}")
        path = files.root / image.config
        self._config = read_document(path, opener=files.open)
        _check_name(path, image.config, Digest.of(self._config))
        diff_ids = parse(Config, path, self._config).diff_ids
        if len(diff_ids) != len(image.layers) or len(diff_ids) > _MOST_LAYERS:
            raise IntegrityError(
                f"{files.root}: configuration and manifest.json disagree about the layers",
                expected=f"{len(diff_ids)}, at most {_MOST_LAYERS}",
                got=len(image.layers),
            )
        self._names: dict[Digest, str] = {}
        layers = [
            self._layer(name, diff_id) for name, diff_id in zip(image.layers, diff_ids, strict=True)
        ]
        self._document = ManifestDocument(MANIFEST_TYPE, manifest(self._config, layers))

    @property
    def name(self) -> str:
        """The archive."""
        return str(self._files.root)

    def abandon(self) -> None:
        """See `Registry.abandon`; reading files ends by itself."""

    def manifest(self, wanted: Digest | str) -> ManifestDocument:
        """See `Registry.manifest`: the one that was made, by its digest."""
        if wanted != self._document.digest:
            raise self._absent(str(wanted))
        return self._document

    @property
    def digest(self) -> Digest:
        """Of the manifest that was made."""
        return self._document.digest

    def stream(
        self,
        blob: Blob,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],  # noqa: ARG002 - of the port
    ) -> None:
        """See `Registry.stream`; there is one attempt, so that `restart` is never called."""
        with Sending(blob, self.open(blob), lambda: self._changed(blob)) as pieces:
            for piece in pieces:
                sink(piece)

    def read(self, blob: Blob, limit: int) -> bytes:
        """See `Registry.read`."""
        check_limit(blob, limit, self.name)
        if blob.digest == Digest.of(self._config):
            return self._config
        body = bytearray()
        self.stream(blob, body.extend, body.clear)
        return bytes(body)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Referrers:
        """See `Registry.referrers`: there are none in such an archive."""
        del subject, artifact_type
        return Referrers()

    def open(self, blob: Blob) -> BinaryIO:
        """A blob for who hashes it himself; can be sought; raises as `stream`."""
        if blob.digest == Digest.of(self._config):
            return io.BytesIO(self._config)
        if blob.digest not in self._names:
            raise self._absent(str(blob.digest))
        return self._files.open(self._files.root / self._names[blob.digest])

    def _choose(self, name: str | None) -> DockerImage:
        path = self._files.root / _MANIFEST
        if _MANIFEST not in self._files.names():
            raise UsageError(
                f"{self._files.root} is no archive of `docker save`",
                expected="a tar with manifest.json in it",
                hint="oci-archive: reads archives of image layouts",
            )
        data = b'{"images":' + read_document(path, opener=self._files.open) + b"}"
        images = parse(DockerManifest, path, data).images
        found = [one for one in images if name is None or any(_is(name, tag) for tag in one.tags)]
        if len(found) == 1:
            return found[0]
        there = [printable(tag) for one in images for tag in one.tags][:_SHOWN]
        raise UsageError(
            f"{self._files.root} holds {len(images)} images, and {len(found)} of that name",
            expected=f"one of: {', '.join(there)}" if there else "one image",
            got=name or "no name",
            hint=f"docker-archive:{self._files.root}:NAME:TAG names one",
        )

    def _layer(self, name: str, diff_id: Digest) -> ImageLayer:
        size = self._files.size(name)
        if size is None:
            raise MalformedError(f"{self._files.root} has no layer {printable(name)}")
        with self._files.open(self._files.root / name) as file:
            found = codec_of(file.read(_HEAD))
        if found == "none":
            self._names[diff_id] = name
            return ImageLayer(diff_id, size, LAYER_TYPE)
        if found not in _PACKED:
            raise MalformedError(
                f"{self._files.root}: the layer {printable(name)} is packed with {found}",
                expected="a plain tar, gzip or zstd",
            )
        packed = self._packed(name, size, _PACKED[found], diff_id)
        self._names[packed.digest] = name
        return packed

    def _packed(self, name: str, size: int, media_type: str, diff_id: Digest) -> ImageLayer:
        """A packed layer: its own digest stands nowhere, and what is in it must be the diff_id."""
        path = self._files.root / name
        with self._files.open(path) as file:
            digest = _digest(file)
            layer = ImageLayer(digest, size, media_type, diff_id)
            file.seek(0)
            for _ in unpacked(file, layer, str(path)):
                pass
        return layer

    def _changed(self, blob: Blob) -> IntegrityError:
        return IntegrityError(
            f"{self.name} is damaged: a layer is not what the configuration says",
            expected=blob.digest,
            hint="do not use this archive; save the image again",
        )

    def _absent(self, what: str) -> NotFoundError:
        return NotFoundError(f"{self.name} has no {what}", hint="check the name")


def _is(name: str, tag: str) -> bool:
    """Whether a tag is meant; writers other than Docker put the name of its registry before."""
    host, slash, rest = tag.partition("/")
    return name == tag or (bool(slash) and "." in host and rest.removeprefix("library/") == name)


def _check_name(path: Path, name: str, got: Digest) -> None:
    """Docker names the configuration by its digest; other writers need not."""
    stem = name.removeprefix("blobs/sha256/").removesuffix(".json")
    try:
        expected = Digest(stem)
    except ValueError:
        return
    if expected != got:
        raise IntegrityError(f"{path} is damaged", expected=expected, got=got)


def _digest(file: BinaryIO) -> Digest:
    hasher = hashlib.sha256()
    while piece := file.read(PIECE):
        hasher.update(piece)
    return Digest(hasher.hexdigest())
