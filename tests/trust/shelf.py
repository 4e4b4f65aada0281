"""A repository with a signed image, on a server that does what it is told."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Attachment, Subject
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.trust.attachments import sign_image
from hps.trust.bundle import BUNDLE_TYPE
from hps.trust.file_key import FileKey
from tests.servers import Behaviour, HostileServer, fine
from tests.trust.signed import KEY, NAME, Signed, signer

PREFIX = "/v2/team/app"


@dataclass
class Shelf:
    """What `team/app` holds; put a behaviour at a path to make it misbehave."""

    server: HostileServer
    listed: dict[Digest, list[dict[str, Any]]] = field(default_factory=dict)

    def blob(self, data: bytes, behaviour: Behaviour | None = None) -> dict[str, Any]:
        digest = Digest.of(data)
        self.server.script(f"{PREFIX}/blobs/{digest}", behaviour or fine(data))
        return {"digest": str(digest), "size": len(data)}

    def manifest(
        self, data: bytes, *tags: str, media_type: str = MANIFEST_TYPE, **headers: str
    ) -> Digest:
        answer = fine(data, media_type=media_type, headers=headers)
        for name in (str(Digest.of(data)), *tags):
            self.server.script(f"{PREFIX}/manifests/{name}", answer)
        return Digest.of(data)

    def attach(self, attachment: Attachment) -> None:
        """Put a manifest that speaks of another there, and list it where it has a subject."""
        for data in attachment.blobs:
            self.blob(data)
        tags = [] if attachment.tag is None else [attachment.tag]
        self.manifest(attachment.manifest, *tags, media_type=attachment.media_type)
        if attachment.subject is not None:
            self.list(attachment.subject, attachment.descriptor())

    def list(self, subject: Digest, *descriptors: dict[str, Any]) -> None:
        self.listed.setdefault(subject, []).extend(descriptors)
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": self.listed[subject]}
        path = f"{PREFIX}/referrers/{subject}?artifactType={quote(BUNDLE_TYPE, safe='')}"
        self.server.script(path, fine(json.dumps(index).encode(), media_type=INDEX_TYPE))

    def publish(
        self,
        signed: Signed,
        tag: str = "1.0",
        *,
        attachments: Iterable[Attachment] | None = None,
    ) -> Digest:
        for layer in signed.image.layers:
            self.blob(signed.blobs.path(layer.digest).read_bytes())
        self.blob(signed.image.config)
        for one in signed.attachments if attachments is None else attachments:
            self.attach(one)
        return self.manifest(signed.image.manifest, tag)

    def index(
        self, images: Sequence[Signed], tag: str = "many", key: FileKey | None = KEY
    ) -> Digest:
        """An index of images that are there already."""
        entries = [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": str(one.image.digest),
                "size": len(one.image.manifest),
                "platform": {"os": "linux", "architecture": f"arch{number}"},
            }
            for number, one in enumerate(images)
        ]
        data = canonical.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
        if key is not None:
            about = Subject(INDEX_TYPE, Digest.of(data), len(data))
            for one in sign_image(about, NAME, [], signer(key)):
                self.attach(one)
        return self.manifest(data, tag, media_type=INDEX_TYPE)
