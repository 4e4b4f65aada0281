"""What every adapter of the port `Registry` must do, filled through one small port of the tests."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hps import canonical
from hps.digest import Blob, Digest
from hps.oci.attachment import Attachment, Subject, fallback_index, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, REFERENCE_ANNOTATION
from hps.oci.mirrored_registry import Mirror, MirroredRegistry
from hps.oci.registry import Registry, WritableRegistry
from hps.oci.registry_push import push_attachment, push_referrers

KIND = "application/vnd.example.note+json"
LAYER = bytes(range(256)) * 5_000  # two pieces of 1 MiB
CONFIG = b'{"architecture":"amd64","os":"linux"}'


def describe(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


def blob_of(data: bytes) -> Blob:
    return Blob(Digest.of(data), len(data))


@dataclass(frozen=True)
class Content:
    """An image at the tag 1.0, and what speaks of it."""

    image: Attachment
    referrers: tuple[Attachment, ...]

    @classmethod
    def make(cls) -> "Content":
        manifest = canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": describe("application/vnd.oci.image.config.v1+json", CONFIG),
                "layers": [describe("application/vnd.oci.image.layer.v1.tar", LAYER)],
            }
        )
        image = Attachment(manifest, blobs=(CONFIG, LAYER), tag="1.0")
        subject = Subject(MANIFEST_TYPE, image.digest, len(manifest))
        kinds = (KIND, KIND, "application/vnd.example.other")
        notes = (
            referrer(subject, kind, canonical.dumps({"n": n}), {"n": str(n)})
            for n, kind in enumerate(kinds)
        )
        return cls(image, tuple(notes))


class Place(Protocol):
    """Where an adapter reads; the tests write there."""

    def fill(self, content: Content) -> Registry: ...

    def path(self, digest: Digest) -> Path:
        """The file that holds a blob, for damage."""


@dataclass(frozen=True)
class LayoutPlace:
    """A layout as another tool could have written it."""

    folder: Path
    open: Callable[[Path], Registry]

    def fill(self, content: Content) -> Registry:
        blobs = self.folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        index = fallback_index(content.image.digest, content.referrers)
        attachments = (content.image, *content.referrers, index)
        for each in attachments:
            for data in (each.manifest, *each.blobs):
                (blobs / Digest.of(data).hex).write_bytes(data)
        self.list([content.image, content.referrers[0], index])
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return self.open(self.folder)

    def list(self, attachments: Sequence[Attachment]) -> None:
        entries = []
        for each in attachments:
            named = {} if each.tag is None else {REFERENCE_ANNOTATION: each.tag}
            entries.append({**describe(each.media_type, each.manifest), "annotations": named})
        document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
        (self.folder / "index.json").write_text(json.dumps(document))

    def path(self, digest: Digest) -> Path:
        return self.folder / "blobs" / "sha256" / digest.hex


@dataclass(frozen=True)
class ServerPlace:
    """A repository in a real registry."""

    registry: WritableRegistry
    where: Callable[[str], Path]

    def fill(self, content: Content) -> Registry:
        push_attachment(self.registry, content.image)
        push_referrers(self.registry, content.image.digest, content.referrers)
        return self.registry

    def path(self, digest: Digest) -> Path:
        return self.where(digest.hex)


@dataclass(frozen=True)
class MirroredPlace:
    """A repository behind a mirror that has nothing of it."""

    filled: ServerPlace
    empty: Registry

    def fill(self, content: Content) -> Registry:
        behind = self.filled.fill(content)
        return MirroredRegistry("alias/contract", [Mirror(self.empty), Mirror(behind)])

    def path(self, digest: Digest) -> Path:
        return self.filled.path(digest)
