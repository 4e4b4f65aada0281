"""Weights for tests: small files in PaddleX's layout, in folders and archives, honest or not."""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

OCR = """\
pipeline_name: OCR
SubPipelines:
  DocPreprocessor:
    pipeline_name: doc_preprocessor
    SubModules:
      DocUnwarping:
        module_name: image_unwarping
        model_name: UVDoc
        model_dir: null
SubModules:
  TextDetection:
    module_name: text_detection
    model_name: PP-OCRv6_medium_det
    model_dir: null
    thresholds: {0: 0.3, 1: 0.5}
  TextRecognition:
    module_name: text_recognition
    model_name: PP-OCRv6_medium_rec
    model_dir: null
"""
DETECTOR, RECOGNISER = "PP-OCRv6_medium_det", "PP-OCRv6_medium_rec"


def model(name: str, seed: int = 0) -> dict[str, bytes]:
    """The files of a model; nothing of them can be loaded, all of it can be locked."""
    return {
        "inference.yml": f"Global:\n  model_name: {name}\nPreProcess: {{}}\n".encode(),
        "inference.json": b'{"program": {}}\n',
        "inference.pdiparams": random.Random(seed).randbytes(5000),
    }


def tar(files: Mapping[str, bytes], root: str = "", extra: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """An uncompressed tar; `extra` members come last and hold nothing."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{root}/{path}" if root else path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return data.getvalue()


def official(name: str, seed: int = 0) -> bytes:
    """A tar as PaddleX publishes it: one folder, NAME_infer."""
    return tar(model(name, seed), f"{name}_infer")


def tar_gz(files: Mapping[str, bytes], root: str = "") -> bytes:
    return gzip.compress(tar(files, root), mtime=0)


def packed_zip(files: Mapping[str, bytes], root: str = "") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(f"{root}/{path}" if root else path, content)
    return data.getvalue()


def link(path: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type, member.linkname = kind, to
    return member


def write_model(folder: Path, name: str, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    for path, content in model(name, seed).items():
        (folder / path).write_bytes(content)
