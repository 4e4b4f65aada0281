"""Small real images for tests: layers from Debian's static busybox, kept in a folder of blobs."""

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hps.config.target import ImageSettings
from hps.digest import Blob, Digest
from hps.oci.image import Image, assemble


class Blobs:
    """A folder of blobs by digest, as a store has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, data: bytes) -> Blob:
        blob = Blob(Digest.of(data), len(data))
        self.path(blob.digest).write_bytes(data)
        return blob

    def path(self, digest: Digest) -> Path:
        return self.folder / digest.hex


def layer_tar(files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    """A layer with folders for every path; all files can be executed."""
    buffer = io.BytesIO()
    folders = {str(parent) for name in [*files, *(links or {})] for parent in Path(name).parents}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted((folders - {"."}) | set(files) | set(links or {})):
            member = tarfile.TarInfo(name)
            member.mode = 0o755
            if name in files:
                member.size = len(files[name])
            elif links and name in links:
                member.type = tarfile.SYMTYPE
                member.linkname = links[name]
            else:
                member.type = tarfile.DIRTYPE
            tar.addfile(member, io.BytesIO(files.get(name, b"")))
    return buffer.getvalue()


def busybox() -> bytes:
    """The statically linked program of the Debian package busybox-static."""
    found = shutil.which("busybox", path="/bin:/usr/bin")
    assert found, "busybox is not installed: apt-get install busybox-static"
    return Path(found).read_bytes()


def settings(**fields: Any) -> ImageSettings:
    return ImageSettings.model_validate(fields)


def small_image(blobs: Blobs, reference: str = "demo:cpu", **fields: Any) -> Image:
    """Two layers of a few bytes; nothing in them runs."""
    layers = [
        blobs.add(layer_tar({"etc/name": b"demo\n"})),
        blobs.add(layer_tar({"usr/share/large": bytes(range(256)) * 8192})),
    ]
    return assemble(reference, settings(**fields), layers, platform="linux/amd64", epoch=0)


def busybox_image(blobs: Blobs, reference: str = "demo:busybox", **fields: Any) -> Image:
    """An image that runs: busybox and a shell, and a second layer with a script."""
    layers = [
        blobs.add(layer_tar({"bin/busybox": busybox()}, links={"bin/sh": "busybox"})),
        blobs.add(layer_tar({"opt/hello": b"#!/bin/sh\necho hello from $NAME\n"})),
    ]
    return assemble(reference, settings(**fields), layers, platform="linux/amd64", epoch=0)
