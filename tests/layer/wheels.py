"""Wheels made by tests: honest ones, and ones with any fault that a test asks for."""

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hps.layer.entry import Scheme

SCHEME = Scheme.debian("3.11")
LIBRARY = SCHEME.purelib
WHEEL = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def metadata(name: str = "demo", version: str = "1.0") -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()


def row(path: str, data: bytes, algorithm: str = "sha256") -> str:
    raw = hashlib.new(algorithm, data).digest()
    value = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    quoted = f'"{path}"' if "," in path else path
    return f"{quoted},{algorithm}={value},{len(data)}\n"


def contents(
    files: Mapping[str, bytes], *, record: bytes | None = None, info: str = "demo-1.0.dist-info"
) -> dict[str, bytes]:
    """All members of a wheel `demo-1.0-py3-none-any.whl` that holds these files."""
    everything = {f"{info}/WHEEL": WHEEL, f"{info}/METADATA": metadata(), **files}
    if record is None:
        text = "".join(row(path, data) for path, data in everything.items())
        record = f"{text}{info}/RECORD,,\n".encode()
    return {**everything, f"{info}/RECORD": record}


def packed(members: Mapping[str, bytes], *, run: frozenset[str] = frozenset()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if name in run else 0o100644) << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def saved(folder: Path, data: bytes, name: str = "demo-1.0-py3-none-any.whl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
