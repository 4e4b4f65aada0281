"""Folders, tar archives and zips of packages, whose bytes depend on their members alone.

Nothing is compressed: what a compressor gives depends on its version, and packages are small.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hps.layer.entry import Entry
from hps.layer.tar import write_layer

_STORED = 0xFFFF  # most bytes of a stored block (RFC 1951, 3.2.4)
_ZIP_FIRST = int(datetime(1980, 1, 1, tzinfo=UTC).timestamp())  # no zip can say earlier


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package: its path below the package, with `/`, its bytes, its run bit."""

    path: str
    data: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        """Its permissions, whatever the umask."""
        return 0o755 if self.executable else 0o644


def tar(members: Sequence[Member], *, folder: str, epoch: int) -> bytes:
    """A tar of members below one folder: sorted, root's, every time the epoch."""
    entries = [
        Entry(
            f"{folder}/{one.path}",
            "file",
            folder,
            executable=one.executable,
            size=len(one.data),
            open=lambda data=one.data: io.BytesIO(data),  # type: ignore[misc] # a default binds it
        )
        for one in members
    ]
    written = io.BytesIO()
    write_layer(entries, written.write, epoch=epoch)
    return written.getvalue()


def gzip(data: bytes) -> bytes:
    """A gzip file that holds data as it is: no name, no time, no system (RFC 1952, 2.3)."""
    pieces = [data[start : start + _STORED] for start in range(0, len(data), _STORED)] or [b""]
    blocks = [
        struct.pack("<BHH", number == len(pieces) - 1, len(piece), len(piece) ^ 0xFFFF) + piece
        for number, piece in enumerate(pieces)
    ]
    head = struct.pack("<4BLBB", 0x1F, 0x8B, 8, 0, 0, 0, 255)
    return head + b"".join(blocks) + struct.pack("<LL", zlib.crc32(data), len(data) % 2**32)


def stored_zip(files: Mapping[str, bytes], *, epoch: int) -> bytes:
    """A zip in the order of the files, nothing compressed, all of one time."""
    when = datetime.fromtimestamp(max(epoch, _ZIP_FIRST), UTC)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, when.timetuple()[:6])
            info.create_system = 3  # Unix, on every system
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return written.getvalue()
