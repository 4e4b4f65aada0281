"""What an export of the store holds: the document beside its blobs. No file is touched here.

An export is a folder, or a tar of it:

    hps-export.json  blobs/sha256/<hex>

The document is canonical JSON, so the same blobs give the same bytes. What it says is a claim until
every blob has been compared with its digest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hps import canonical
from hps.digest import Blob, Digest
from hps.errors import MalformedError
from hps.store.foreign_text import printable

NAME = "hps-export.json"
FOLDER = "blobs/sha256"
LIMIT = 64 << 20  # bytes of the document
MOST = 200_000  # blobs of one export
_VERSION = 1
_LARGEST = 1 << 40  # bytes of one blob


@dataclass(frozen=True, slots=True)
class Exported:
    """One blob of an export, and what people call it."""

    blob: Blob
    file: str

    @property
    def path(self) -> str:
        """Where it lies, below the export."""
        return f"{FOLDER}/{self.blob.digest.hex}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The document of an export.

    Args:
        project: of hps.toml.
        targets: that can be built from it.
        blobs: each digest once, sorted.
    """

    project: str
    targets: tuple[str, ...]
    blobs: tuple[Exported, ...]

    @classmethod
    def make(cls, project: str, targets: Iterable[str], blobs: Iterable[Exported]) -> "Manifest":
        """The document for these blobs; of several names for one blob the first by order."""
        found: dict[Digest, Exported] = {}
        for each in sorted(blobs, key=lambda one: (one.blob.digest.hex, one.file)):
            found.setdefault(each.blob.digest, each)
        return cls(project, tuple(sorted(set(targets))), tuple(found.values()))

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(each.blob.size for each in self.blobs)

    def dumps(self) -> bytes:
        """The bytes of the document."""
        value = {
            "version": _VERSION,
            "project": self.project,
            "targets": list(self.targets),
            "blobs": [
                {"digest": str(one.blob.digest), "size": one.blob.size, "file": one.file}
                for one in self.blobs
            ],
        }
        return canonical.dumps(value) + b"\n"


def parse(data: bytes, where: str) -> Manifest:
    """Read the document of an export.

    Args:
        data: its bytes.
        where: the export, for errors.

    Raises:
        MalformedError: it is no such document, or from a newer hps.
    """
    try:
        value = canonical.loads(data, max_bytes=LIMIT, max_depth=8)
        if not isinstance(value, dict):
            raise ValueError("it is no object")  # noqa: TRY004, TRY301 - the same answer for all
        version = value.get("version")
        if version != _VERSION:
            raise ValueError(f"its version is {str(version)[:20]}, not {_VERSION}")  # noqa: TRY301
        blobs = _list(value, "blobs")
        if len(blobs) > MOST:
            raise ValueError(f"it lists more than {MOST} blobs")  # noqa: TRY301
        manifest = Manifest(
            _text(value.get("project"), "project"),
            tuple(_text(each, "targets") for each in _list(value, "targets")),
            tuple(_exported(each) for each in blobs),
        )
    except ValueError as error:
        raise MalformedError(
            f"{where} is no export that hps can read: {printable(str(error))}",
            expected=f"a {NAME} as `hps store export` writes it",
            hint="export again; a newer hps may have written it",
        ) from error
    digests = [each.blob.digest.hex for each in manifest.blobs]
    if digests != sorted(set(digests)):
        raise MalformedError(
            f"{where} is no export that hps can read: its blobs are not sorted, or stand twice",
            hint="export again",
        )
    return manifest


def _exported(value: object) -> Exported:
    if not isinstance(value, dict):
        raise ValueError("a blob is no object")  # noqa: TRY004 - as canonical does
    size = value.get("size")
    if type(size) is not int or not 0 <= size <= _LARGEST:
        raise ValueError("the size of a blob is none")
    digest = Digest.parse(_text(value.get("digest"), "digest"))
    return Exported(Blob(digest, size), printable(_text(value.get("file"), "file")))


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list):
        raise ValueError(f"{key} is no list")  # noqa: TRY004 - as canonical does
    return found


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")  # noqa: TRY004 - as canonical does
    return value
