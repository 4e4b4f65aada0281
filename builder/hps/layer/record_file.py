"""RECORD: what a wheel says it holds, and what an installation says it put where.

Follows "Recording installed projects", section "The RECORD file", and the binary distribution
format, section "The .dist-info directory".
"""

import base64
import binascii
import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hps.digest import Digest
from hps.errors import IntegrityError, UnsafeArchiveError

_LENGTHS = {"sha256": 32, "sha384": 48, "sha512": 64}  # md5 and sha1 must not be used
_HEX = re.compile(r"[0-9a-f]+")
_DIGITS = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the path, the hash as `algorithm=value` and the size in bytes, both optional."""

    path: str
    hash: str = ""
    size: str = ""

    @classmethod
    def of(cls, path: str, data: bytes) -> "Row":
        """The row of a file made here."""
        return cls.hashed(path, bytes.fromhex(Digest.of(data).hex), len(data))

    @classmethod
    def hashed(cls, path: str, sha256: bytes, size: int) -> "Row":
        """The row of a file whose sha256 and size in bytes are known."""
        return cls(path, f"sha256={_encode(sha256)}", str(size))

    @property
    def algorithm(self) -> str:
        """Name of the hash, empty without one."""
        return self.hash.partition("=")[0]

    @property
    def value(self) -> bytes:
        """The hash itself; checked by `parse`."""
        return _decode(self.hash.partition("=")[2])


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    if not text.isascii() or re.search(r"[^A-Za-z0-9_=-]", text):
        raise ValueError("not urlsafe base64")
    text = text.rstrip("=")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parse(data: bytes, where: str) -> dict[str, Row]:
    """Read a RECORD, by path.

    Raises:
        UnsafeArchiveError: it is not UTF-8 or CSV, names a path twice with different content,
            or a hash is of an unknown kind or form; every fault in `details`.
    """
    rows: dict[str, Row] = {}
    faults = []
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnsafeArchiveError(f"{where}: RECORD cannot be read", got=error) from error
    for fields in lines:
        if not fields:
            continue
        row = _plain(Row(*[*fields, "", ""][:3]))
        fault = _fault(fields, row)
        if fault is None and rows.get(row.path, row) != row:
            fault = "listed twice"
        if fault:
            faults.append(f"{row.path}: {fault}")
        rows[row.path] = row
    if faults:
        raise UnsafeArchiveError(f"{where}: RECORD is malformed", details=tuple(faults))
    return rows


def _plain(row: Row) -> Row:
    """A row with its hash in base64; a few build tools write hexadecimal."""
    algorithm, _, value = row.hash.partition("=")
    if len(value) == 2 * _LENGTHS.get(algorithm, 0) and _HEX.fullmatch(value):
        return Row(row.path, f"{algorithm}={_encode(bytes.fromhex(value))}", row.size)
    return row


def _fault(fields: list[str], row: Row) -> str | None:
    if len(fields) > 3:  # noqa: PLR2004 - path, hash, size
        return "more than three fields"
    if row.size and not _DIGITS.fullmatch(row.size):
        return f"no size: {row.size}"
    if not row.hash:
        return None
    if row.algorithm not in _LENGTHS:
        return f"hash of a kind that is not used: {row.hash}"
    try:
        whole = len(row.value) == _LENGTHS[row.algorithm]
    except (ValueError, binascii.Error):
        whole = False
    return None if whole else f"damaged hash: {row.hash}"


def check(
    rows: Mapping[str, Row], sizes: Mapping[str, int], unlisted: Collection[str], where: str
) -> None:
    """Compare what RECORD lists with what the wheel holds; the hashes are checked while reading.

    Args:
        rows: of the wheel's RECORD.
        sizes: bytes of each file in the wheel.
        unlisted: RECORD itself and its signatures, which cannot have a hash.
        where: the wheel, for errors.

    Raises:
        IntegrityError: files missing, not listed, without hash, or of another size.
    """
    faults = [f"{path}: listed, but not there" for path in rows if path not in sizes]
    for path, size in sizes.items():
        if path in unlisted:
            continue
        row = rows.get(path)
        if row is None:
            faults.append(f"{path}: there, but not listed")
        elif not row.hash:
            faults.append(f"{path}: listed without a hash")
        elif row.size and int(row.size) != size:
            faults.append(f"{path}: {size} bytes, listed with {row.size}")
    if faults:
        raise IntegrityError(
            f"{where} does not hold what its RECORD says",
            details=tuple(sorted(faults)[:50]),
            got=f"{len(faults)} faults",
            hint="the wheel was changed after it was built: ask for another version, or name the "
            "project in python.wrong-records of the target to install its files as they are",
        )


def dump(rows: Iterable[Row]) -> bytes:
    """RECORD of an installation: sorted, lines end with a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(sorted((row.path, row.hash, row.size) for row in rows))
    return text.getvalue().encode()
