"""Images to copy, places to copy between, and what must hold wherever they arrive."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hps import canonical
from hps.digest import Digest
from hps.oci.attachment import Attachment, Subject, fallback_index, referrer
from hps.oci.copying import Wishes, copy
from hps.oci.image import CONFIG_TYPE, MANIFEST_TYPE, Image
from hps.oci.layout import write_layout
from hps.oci.moving import Moved
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.oci.transports import parse_place
from hps.store.blobs import Store
from hps.store.request import Event
from hps.store.retry import Deadlines
from tests.oci.images import Blobs, small_image

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
KIND = "application/vnd.example.note+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"


def note(image: Image, text: str = "good") -> Attachment:
    """A referrer of an image."""
    subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    return referrer(subject, KIND, canonical.dumps({"note": text}), {"by": text})


def older(subject: Digest, *payloads: bytes, ending: str = "sig") -> Attachment:
    """What cosign 2 keeps at a tag, with payloads instead of signatures."""
    diff_ids = [str(Digest.of(one)) for one in payloads]
    config = canonical.dumps(
        {"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )
    layers = [
        {
            "mediaType": SIGNATURE,
            "digest": str(Digest.of(one)),
            "size": len(one),
            "annotations": {"dev.cosignproject.cosign/signature": one.hex()},
        }
        for one in payloads
    ]
    named = {"mediaType": CONFIG_TYPE, "digest": str(Digest.of(config)), "size": len(config)}
    manifest = canonical.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": named, "layers": layers}
    )
    return Attachment(manifest, blobs=(config, *payloads), tag=f"sha256-{subject.hex}.{ending}")


@dataclass
class Silence:
    """Takes what is told of blobs that move."""

    events: list[Event] = field(default_factory=list)

    def moving(self, files: Sequence[tuple[str, int]]) -> Callable[[Event], None]:
        del files
        return self.events.append


@dataclass(frozen=True)
class CopyLab:
    """A folder with a store, a signed image in a layout, and how to copy it."""

    folder: Path
    authority: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def blobs(self) -> Blobs:
        return Blobs(self.folder / "blobs")

    @property
    def layout(self) -> Path:
        return self.folder / "layout"

    def signed_image(self, **fields: Any) -> Image:
        """An image at `oci:layout:demo:cpu` with a referrer and an older signature."""
        image = small_image(self.blobs, **fields)
        referrers = [note(image)]
        attachments = [
            *referrers,
            fallback_index(image.digest, referrers),
            older(image.digest, b"ours"),
        ]
        write_layout(self.layout, [image], self.blobs.path, attachments)
        return image

    def connect(self, reference: Reference) -> RegistryClient:
        return RegistryClient(
            reference,
            environment={"PATH": os.environ["PATH"], **self.environment},
            home=self.folder,
            authority=self.authority,
            deadlines=PATIENT,
        )

    def copy(self, origin: str, goal: str, watch: Silence | None = None, **wishes: object) -> Moved:
        return copy(
            parse_place(origin),
            parse_place(goal),
            store=self.store,
            connect=self.connect,
            watch=watch or Silence(),
            wishes=Wishes(**wishes),  # type: ignore[arg-type] # the fields of Wishes
        )


def files_below(folder: Path) -> Iterator[str]:
    """Every file and folder, for comparing before and after."""
    for path in sorted(folder.rglob("*")):
        yield path.relative_to(folder).as_posix()
