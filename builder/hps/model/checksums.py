"""Checksums that nobody has signed: files as `sha256sum` writes them. Pure.

GNU coreutils, section "cksum": the usual form (`HEX  NAME`, `HEX *NAME`) and that of `--tag`
(`SHA256 (NAME) = HEX`). Stricter than `sha256sum -c`, which passes over lines that it cannot read.
"""

import re
from collections.abc import Sequence

from hps.digest import Digest
from hps.model.paths import MOST_FILES
from hps.model.release import MANIFEST, ReleaseFile, ordered

NAMES = ("SHA256SUMS", "sha256sum.txt", "SHA256SUM")  # what such a file is called in a model
LARGEST = 16 << 20  # bytes
_USUAL = re.compile(r"([0-9A-Fa-f]{64}) [ *](.+)")
_TAGGED = re.compile(r"SHA256 \((.+)\) = ([0-9A-Fa-f]{64})")
_HERE = "./"


def parse(data: bytes) -> tuple[ReleaseFile, ...]:
    """Read such a file.

    A name may begin with one `./`, as `find -exec sha256sum` writes it. Lines that begin with `#`
    are comments. Refused are lines with a carriage return, because `sha256sum` takes it for a part
    of the name, and escaped names (a backslash before the line), because no file of a model holds
    the signs that need one.

    Returns:
        The files in the order of a release, without the file itself and the manifest.

    Raises:
        ValueError: a line is none of these forms, a name is no path of a model or occurs twice,
            or there is none or too much.
    """
    if len(data) > LARGEST:
        raise ValueError(f"longer than {LARGEST} bytes")
    try:
        lines = data.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    if len(lines) > 2 * MOST_FILES:
        raise ValueError(f"{len(lines)} lines, at most {2 * MOST_FILES} are allowed")
    files = [
        _line(line, number)
        for number, line in enumerate(lines, start=1)
        if not line.startswith("#")
    ]
    if not files:
        raise ValueError("it lists nothing")
    return ordered([one for one in files if one.path not in (*NAMES, MANIFEST)])


def text(files: Sequence[ReleaseFile]) -> str:
    """Such a file for these files, in the usual form."""
    return "".join(f"{one.digest.hex}  {one.path}\n" for one in files)


def _line(line: str, number: int) -> ReleaseFile:
    if line.endswith("\r"):
        raise ValueError(f"line {number} ends with a carriage return; sha256sum writes none")
    if line.startswith("\\"):
        raise ValueError(f"line {number} has an escaped name, which no file of a model needs")
    if found := _USUAL.fullmatch(line):
        digest, name = found.groups()
    elif found := _TAGGED.fullmatch(line):
        name, digest = found.groups()
    else:
        raise ValueError(f"line {number} is not one that sha256sum writes: {line[:100]!r}")
    return ReleaseFile(name.removeprefix(_HERE), Digest(digest.lower()))
