"""Donefiles: small files that say that a model is published. Pure.

Paddle Serving's monitor looks at their time alone and never at what they hold, so that what hps
writes there works for both. It is a hint: nobody has signed it, whatever follows from it is held
against the manifest, and a wrong one costs at most a pull in vain.
"""

import re
from dataclasses import dataclass
from typing import Any

from hps import canonical
from hps.digest import Blob, Digest
from hps.model import checksums
from hps.model.release import LAST_SEQUENCE, ModelRelease, ReleaseFile, check_channel, check_name
from hps.oci.shape import fields, text

LARGEST = 64 << 10  # bytes that are read of one
FORMAT = 1
_LARGEST_ARCHIVE = 2**50  # bytes
_LARGEST_MANIFEST = 2**30
_MARK = "hps-donefile"
_FIELDS = ("model", "channel", "sequence", "manifest")
_DIGEST = re.compile(r"(?:sha256:)?([0-9A-Fa-f]{64})\s*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive: what it is called, and its bytes."""

    name: str
    blob: Blob


@dataclass(frozen=True, slots=True)
class Hint:
    """What a donefile says, believed for nothing; empty when it says nothing that is understood.

    Args:
        model: its name.
        channel: likewise.
        sequence: of the release.
        manifest: digest and size of `model.sig`.
        archive: of a packed model.
        checksums: of the files of a model, or of its one archive, from a donefile that is a file
            as `sha256sum` writes it.
        digest: of the archive, from a donefile that is nothing but a digest.
    """

    model: str = ""
    channel: str = ""
    sequence: int | None = None
    manifest: Blob | None = None
    archive: Packed | None = None
    checksums: tuple[ReleaseFile, ...] = ()
    digest: Digest | None = None

    def archive_digest(self, name: str) -> Digest | None:
        """The sha256 that it states for a packed model, if it states one.

        Args:
            name: of the archive where it lies. What hps wrote names one archive, wherever that
                was put.
        """
        if self.archive is not None:
            return self.archive.blob.digest
        return next((one.digest for one in self.checksums if one.path == name), self.digest)


def write(release: ModelRelease, manifest: bytes, archive: Packed | None = None) -> bytes:
    """The donefile of a release.

    Args:
        release: what is published.
        manifest: its `model.sig`.
        archive: what it was packed into.

    Raises:
        ValueError: the archive has a name that no reader would take.
    """
    document: dict[str, Any] = {
        _MARK: FORMAT,
        "model": release.name,
        "channel": release.channel,
        "sequence": release.sequence,
        "manifest": _blob_record(Blob(Digest.of(manifest), len(manifest))),
    }
    if archive is not None:
        document["archive"] = {"name": archive.name, **_blob_record(archive.blob)}
    data = canonical.dumps(document) + b"\n"
    _own(canonical.loads(data, max_bytes=LARGEST))
    return data


def read(data: bytes) -> Hint:
    """What a donefile says. Whatever bytes others put there give an empty hint.

    Args:
        data: as it was found; of one that is longer than `LARGEST` nothing is believed.
    """
    if len(data) > LARGEST:
        return Hint()
    if data.lstrip().startswith(b"{"):
        try:
            return _own(canonical.loads(data, max_bytes=LARGEST, max_depth=4))
        except ValueError:
            return Hint()
    if data.isascii() and (found := _DIGEST.fullmatch(data.decode("ascii"))):
        return Hint(digest=Digest(found[1].lower()))
    try:
        return Hint(checksums=checksums.parse(data))
    except ValueError:
        return Hint()


def _own(value: object) -> Hint:
    found = fields(value, "donefile", (_MARK, *_FIELDS), ("archive",))
    if type(found[_MARK]) is not int or found[_MARK] != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    sequence = found["sequence"]
    if type(sequence) is not int or not 1 <= sequence <= LAST_SEQUENCE:
        raise ValueError("its sequence is not a sequence number")
    return Hint(
        check_name(found["model"]),
        check_channel(found["channel"]),
        sequence,
        _blob(fields(found["manifest"], "manifest", ("sha256", "size")), _LARGEST_MANIFEST),
        _packed(found["archive"]) if "archive" in found else None,
    )


def _packed(value: object) -> Packed:
    found = fields(value, "archive", ("name", "sha256", "size"))
    name = text(found["name"], "archive.name")
    if not _NAME.fullmatch(name):
        raise ValueError("archive.name is not the name of an archive")
    return Packed(name, _blob(found, _LARGEST_ARCHIVE))


def _blob(found: Any, largest: int) -> Blob:
    size = found["size"]
    if type(size) is not int or not 0 <= size <= largest:
        raise ValueError("a size is not a whole number of bytes")
    return Blob(Digest(text(found["sha256"], "sha256")), size)


def _blob_record(blob: Blob) -> dict[str, Any]:
    return {"sha256": blob.digest.hex, "size": blob.size}
