"""Places of images as users of skopeo write them: TRANSPORT:DETAILS. No I/O.

containers-transports(5) of containers/image. Nothing is filled in: no default registry, no tag
`latest`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hps.digest import Digest
from hps.errors import UsageError
from hps.oci.reference import Reference
from hps.store.foreign_text import printable

Transport = Literal["docker", "oci", "oci-archive", "docker-archive", "docker-daemon"]

SPELLINGS: dict[Transport, str] = {
    "docker": "docker://HOST/NAME[:TAG][@sha256:HEX]",
    "oci": "oci:FOLDER[:NAME]",
    "oci-archive": "oci-archive:FILE[:NAME]",
    "docker-archive": "docker-archive:FILE[:NAME:TAG]",
    "docker-daemon": "docker-daemon:NAME:TAG",
}
_UNKNOWN = {
    "dir": "oci:FOLDER keeps the same bytes in a layout that others read",
    "containers-storage": "podman and buildah copy from and to oci:FOLDER themselves",
    "ostree": "oci:FOLDER is read by ostree's own tools",
    "sif": "oci-archive:FILE is read by apptainer",
}
_DIGEST = re.compile(r"(?P<path>.*)@(?P<digest>sha256:[0-9a-f]{64})")
# [HOST[:PORT]/]NAME:TAG as engines take it; the tag is not left out (distribution/reference).
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOCKER_NAME = re.compile(
    rf"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{{1,5}})?/)?{_PART}(?:/{_PART})*:\w[\w.-]{{0,127}}",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Where an image is, or shall be.

    Args:
        transport: how it is reached.
        reference: of `docker`.
        path: of the three that are files or folders.
        name: which image there, or in Docker.
        digest: of a layout or its archive, instead of a name.
    """

    transport: Transport
    reference: Reference | None = None
    path: Path | None = None
    name: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        if self.transport == "docker":
            return f"docker://{self.reference}"
        name = f":{self.name}" if self.name else f"@{self.digest}" if self.digest else ""
        if self.transport == "docker-daemon":
            return f"{self.transport}{name}"
        return f"{self.transport}:{self.path}{name}"


def parse_place(text: str) -> ImagePlace:
    """Read TRANSPORT:DETAILS.

    Raises:
        UsageError: another transport, or details that it does not take; names what is known.
    """
    transport, colon, details = text.partition(":")
    for known in SPELLINGS:
        if colon and transport == known:
            return _docker(details, text) if known == "docker" else _local(known, details, text)
    hint = _UNKNOWN.get(transport) if colon else None
    raise UsageError(
        f"{printable(text, 300)!r} names no place of images",
        expected="one of: " + ", ".join(SPELLINGS.values()),
        hint=hint or "transports are spelled as in skopeo",
    )


def registry_reference(text: str) -> Reference:
    """Read HOST/NAME[:TAG][@sha256:HEX] with or without docker:// before it; raises UsageError."""
    return Reference.parse(text.removeprefix("docker://"))


def docker_name(text: str) -> str:
    """A name that an engine can give an image; raises UsageError."""
    if not _DOCKER_NAME.fullmatch(text):
        raise UsageError(
            f"{printable(text, 300)!r} cannot name an image in Docker",
            expected="[HOST/]NAME:TAG, lower-case letters and digits with single . _ - between",
            hint="write the tag; hps does not assume `latest`",
        )
    return text


def _docker(details: str, text: str) -> ImagePlace:
    if not details.startswith("//"):
        raise UsageError(
            f"{printable(text, 300)!r} names nothing in a registry", expected=SPELLINGS["docker"]
        )
    return ImagePlace("docker", Reference.parse(details.removeprefix("//")))


def _local(transport: Transport, details: str, text: str) -> ImagePlace:
    if transport == "docker-daemon":
        name = details if _IMAGE_ID.fullmatch(details) else docker_name(details)
        return ImagePlace(transport, name=name)
    if transport != "docker-archive" and (found := _DIGEST.fullmatch(details)):
        digest = Digest.parse(found["digest"])
        return ImagePlace(transport, path=_path(found["path"], text), digest=digest)
    path, colon, name = details.partition(":")
    if colon and not name:
        raise UsageError(f"{printable(text, 300)!r} ends in a colon", expected=SPELLINGS[transport])
    if transport == "docker-archive" and name:
        name = docker_name(name)
    return ImagePlace(transport, path=_path(path, text), name=name or None)


def _path(path: str, text: str) -> Path:
    if not path or "\0" in path:
        raise UsageError(f"{printable(text, 300)!r} names no file or folder")
    return Path(path)
