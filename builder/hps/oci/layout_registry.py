"""An image layout read as a repository: the adapter of the port in `registry` for a folder or tar.

OCI image specification 1.1, image-layout.md. A layout has no registry to ask for referrers: they
are what `index.json` lists and what the index at the fallback tag lists.
"""

import errno
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, LimitError, MalformedError, NotFoundError
from hps.oci.attachment import fallback_tag
from hps.oci.documents import (
    DOCUMENT_LIMIT,
    Descriptor,
    Index,
    parse,
    read_document,
)
from hps.oci.image import REFERENCE_ANNOTATION
from hps.oci.layout_contents import blob_name
from hps.oci.layout_files import FolderFiles, LayoutFiles
from hps.oci.registry import (
    INDEX_TYPES,
    MANIFEST_DEPTH,
    MANIFEST_TYPES,
    ManifestDocument,
    Referrers,
    check_document,
    check_limit,
    select_referrers,
)
from hps.store.foreign_text import printable

_PIECE = 1 << 20  # bytes read at once
_MOST_ENTRIES = 1000  # of index.json, that are looked at


class LayoutRegistry:
    """An image layout as a repository (see `Registry`); its tags are `ref.name` annotations.

    Args:
        source: a folder, or the files of an archive.

    Raises:
        IntegrityError: `index.json` is missing, too large or no index.
    """

    def __init__(self, source: Path | LayoutFiles) -> None:
        self._files = FolderFiles(source) if isinstance(source, Path) else source
        self._folder = self._files.root
        path = self._folder / "index.json"
        self._entries = parse(Index, path, read_document(path, opener=self._files.open)).manifests
        if len(self._entries) > _MOST_ENTRIES:
            raise LimitError(
                f"{path} lists too much",
                expected=f"at most {_MOST_ENTRIES}",
                got=len(self._entries),
            )

    @property
    def name(self) -> str:
        """The folder or archive."""
        return str(self._folder)

    @property
    def entries(self) -> tuple[Descriptor, ...]:
        """What `index.json` lists."""
        return self._entries

    def open(self, blob: Blob) -> BinaryIO:
        """A blob for who hashes it himself; can be sought; raises as `stream`."""
        return self._open(blob.digest)

    def abandon(self) -> None:
        """See `Registry.abandon`; reading files ends by itself."""

    def manifest(self, wanted: Digest | str) -> ManifestDocument:
        """See `Registry.manifest`."""
        if isinstance(wanted, Digest):
            named = [entry for entry in self._entries if entry.digest == wanted]
            return self._document(wanted, named[0] if named else None)
        named = [
            each for each in self._entries if each.annotations.get(REFERENCE_ANNOTATION) == wanted
        ]
        if not named:
            raise self._absent(repr(printable(wanted)))
        if len({each.digest for each in named}) > 1:
            raise MalformedError(
                f"{self._folder / 'index.json'} gives the name {printable(wanted)!r} twice",
                hint="do not use it; two readers would see two things",
            )
        return self._document(named[0].digest, named[0])

    def stream(
        self,
        blob: Blob,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],  # noqa: ARG002 - of the port
    ) -> None:
        """See `Registry.stream`; there is one attempt, so that `restart` is never called."""
        hasher = hashlib.sha256()
        size = 0
        for piece in self._pieces(blob.digest):
            size += len(piece)
            if size > blob.size:
                break
            hasher.update(piece)
            sink(piece)
        if size != blob.size:
            raise IntegrityError(
                f"wrong size: the blob {blob.digest} of {self.name}",
                expected=f"{blob.size} bytes",
                got=f"{size} bytes" if size < blob.size else "more",
            )
        self._compare(blob.digest, Digest(hasher.hexdigest()))

    def read(self, blob: Blob, limit: int) -> bytes:
        """See `Registry.read`."""
        check_limit(blob, limit, self.name)
        body = bytearray()
        self.stream(blob, body.extend, body.clear)
        return bytes(body)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Referrers:
        """See `Registry.referrers`."""
        found = [each for each in map(self._speaking, self._entries) if each is not None]
        entries = [descriptor for about, descriptor in found if about == str(subject)]
        try:
            index = self.manifest(fallback_tag(subject))
        except NotFoundError:
            return select_referrers(entries, artifact_type)
        if not index.is_index:
            raise MalformedError(
                f"{fallback_tag(subject)} of {self.name} is not an index of referrers",
                got=index.media_type,
            )
        return select_referrers([*entries, *index.as_json()["manifests"]], artifact_type)

    def _speaking(self, entry: Descriptor) -> tuple[str, dict[str, object]] | None:
        """Of what a listed manifest speaks, and its descriptor; None if it is no such thing."""
        if entry.media_type not in MANIFEST_TYPES or entry.size > DOCUMENT_LIMIT:
            return None
        try:
            value = self._document(entry.digest, entry).as_json()
        except (IntegrityError, FetchError):
            return None  # what cannot be read must not hide what can
        about = value.get("subject")
        if not isinstance(about, dict) or not isinstance(about.get("digest"), str):
            return None
        descriptor = {
            "mediaType": entry.media_type,
            "digest": str(entry.digest),
            "size": entry.size,
            "artifactType": value.get("artifactType") or entry.artifact_type,
            "annotations": value.get("annotations") or {},
        }
        return about["digest"], descriptor

    def _document(self, digest: Digest, entry: Descriptor | None) -> ManifestDocument:
        data = bytearray()
        for piece in self._pieces(digest):
            data += piece
            if len(data) > DOCUMENT_LIMIT:
                raise LimitError(
                    f"{digest} of {self.name} is too large for a manifest",
                    expected=f"at most {DOCUMENT_LIMIT} bytes",
                    got="more",
                )
        self._compare(digest, Digest.of(bytes(data)))
        media_type = _own_type(bytes(data)) if entry is None else entry.media_type
        return check_document(f"{digest} of {self.name}", media_type, bytes(data))

    def _pieces(self, digest: Digest) -> Iterator[bytes]:
        with self._open(digest) as reader:
            try:
                while piece := reader.read(_PIECE):
                    yield piece
            except OSError as error:
                raise self._unreadable(digest, error) from error

    def _open(self, digest: Digest) -> BinaryIO:
        try:
            return self._files.open(self._folder / blob_name(digest))
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                raise self._absent(str(digest)) from error
            raise self._unreadable(digest, error) from error

    def _unreadable(self, digest: Digest, error: OSError) -> FetchError:
        path = self._folder / blob_name(digest)
        return FetchError(f"{path} cannot be read: {error.strerror or error}")

    def _compare(self, expected: Digest, got: Digest) -> None:
        if expected != got:
            raise IntegrityError(
                f"{expected} of {self.name}: the bytes are not what was promised",
                expected=expected,
                got=got,
                hint="do not use this layout; copy it again",
            )

    def _absent(self, what: str) -> NotFoundError:
        return NotFoundError(f"{self.name} has no {what}", hint="check the name")


def _own_type(data: bytes) -> str:
    """What a document says that it is; in a layout nothing else may be said about it."""
    try:
        value = canonical.loads(data, max_bytes=DOCUMENT_LIMIT, max_depth=MANIFEST_DEPTH)
    except ValueError:
        return ""
    found = value.get("mediaType") if isinstance(value, dict) else None
    return found if isinstance(found, str) and found in MANIFEST_TYPES | INDEX_TYPES else ""
