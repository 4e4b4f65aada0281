"""Parts of a GPU image with the names and the structure of NVIDIA's, tiny, made by the suite.

The real archives need an account and gigabytes. What hps reads of them is here the same: the
folders, the links from libX.so to libX.so.8 to libX.so.8.9.7, sonames, DT_NEEDED, headers with
versions, the compression.
"""

import gzip
import hashlib
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.build.laboratory import wheel
from tests.layer.libraries import Member, Wanted, library, program, tar

CUDNN_FILE = "cudnn-linux-x86_64-8.9.7.29_cuda11-archive.tar.xz"
TENSORRT_FILE = "TensorRT-8.6.1.6.Linux.x86_64-gnu.cuda-11.8.tar.gz"


@dataclass(frozen=True)
class File:
    """An archive, as its maker publishes it."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def put(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.data)
        return path


def links(folder: str, name: str, version: str) -> dict[str, str]:
    """libX.so and libX.so.8, which lead to libX.so.8.9.7."""
    major = version.partition(".")[0]
    return {
        f"{folder}/{name}.so": f"{name}.so.{major}",
        f"{folder}/{name}.so.{major}": f"{name}.so.{version}",
    }


def cuda(work: Path, version: str = "11.8.89") -> File:
    """The runtime libraries of a CUDA toolkit, as its base image has them."""
    major = version.partition(".")[0]
    top = f"cuda-{version.rpartition('.')[0]}"
    lib, soname = f"{top}/targets/x86_64-linux/lib", {"11": "11.0"}.get(major, major)
    cudart, cublas = f"libcudart.so.{version}", f"libcublas.so.{major}.11.3.6"
    driver = library(work / "libcuda.so.1", Wanted("libcuda.so.1"))
    members: dict[str, Member] = {
        top: None,
        f"{top}/lib64": "targets/x86_64-linux/lib",
        f"{top}/version.json": f'{{"cuda_cudart": {{"version": "{version}"}}}}'.encode(),
        f"{lib}/{cudart}": library(work / cudart, Wanted(f"libcudart.so.{soname}", [driver])),
        f"{lib}/libcudart.so.{soname}": cudart,
        f"{lib}/{cublas}": library(work / cublas, Wanted(f"libcublas.so.{major}")),
        f"{lib}/libcublas.so.{major}": cublas,
    }
    return File(f"{top}.tar.gz", gzip.compress(tar(members), mtime=0))


def cudnn(work: Path, version: str = "8.9.7", cublas: str = "libcublas.so.11") -> File:
    """cuDNN: a library that opens others by name, and these, which link each other and cuBLAS."""
    major, minor, patch = version.split(".")
    top = CUDNN_FILE.removesuffix(".tar.xz")
    below = library(work / cublas, Wanted(cublas))
    members: dict[str, Member] = {
        top: None,
        f"{top}/LICENSE": b"Not for everybody.\n",
        f"{top}/include": None,
        f"{top}/include/cudnn_version.h": (
            f"#define CUDNN_MAJOR {major}\n#define CUDNN_MINOR {minor}\n"
            f"#define CUDNN_PATCHLEVEL {patch}\n"
        ).encode(),
        f"{top}/lib": None,
    }
    ops: list[Path] = []
    for name in ("libcudnn", "libcudnn_ops_infer", "libcudnn_cnn_infer"):
        needs = [*ops, below] if name == "libcudnn_cnn_infer" else []
        made = library(work / f"{name}.so.{version}", Wanted(f"{name}.so.{major}", needs))
        ops = [made] if name == "libcudnn_ops_infer" else ops
        members |= {**links(f"{top}/lib", name, version), f"{top}/lib/{name}.so.{version}": made}
    return File(CUDNN_FILE, lzma.compress(tar(members)))


def tensorrt(work: Path, version: str = "8.6.1") -> File:
    """TensorRT: the folders that people know are links into `targets`."""
    major, minor, patch = version.split(".")
    top, inner = "TensorRT-8.6.1.6", "targets/x86_64-linux-gnu"
    lib = f"{top}/{inner}/lib"
    cublas = library(work / "libcublas.so.11", Wanted("libcublas.so.11"))
    infer = library(work / f"libnvinfer.so.{version}", Wanted(f"libnvinfer.so.{major}", [cublas]))
    plugin = library(
        work / f"libnvinfer_plugin.so.{version}", Wanted(f"libnvinfer_plugin.so.{major}", [infer])
    )
    members: dict[str, Member] = {
        top: None,
        f"{top}/bin": f"{inner}/bin",
        f"{top}/lib": f"{inner}/lib",
        f"{top}/doc/README": b"Large books.\n",
        f"{top}/include/NvInferVersion.h": (
            f"#define NV_TENSORRT_MAJOR {major} //!< major.\n#define NV_TENSORRT_MINOR {minor}\n"
            f"#define NV_TENSORRT_PATCH {patch}\n#define NV_TENSORRT_BUILD 6\n"
        ).encode(),
        f"{top}/python/tensorrt-{version}-cp310-none-linux_x86_64.whl": b"not taken",
        f"{lib}/libnvinfer.so.{version}": infer,
        f"{lib}/libnvinfer_plugin.so.{version}": plugin,
        **links(lib, "libnvinfer", version),
        **links(lib, "libnvinfer_plugin", version),
    }
    return File(TENSORRT_FILE, gzip.compress(tar(members), mtime=0))


def triton(work: Path, cudart: str = "libcudart.so.11.0") -> File:
    """A server that links CUDA's runtime and the driver."""
    below = [library(work / name, Wanted(name)) for name in (cudart, "libnvidia-ml.so.1")]
    server = program(work / "tritonserver", Wanted(needs=below))
    members: dict[str, Member] = {"tritonserver/bin/tritonserver": server}
    return File("tritonserver.tar.gz", gzip.compress(tar(members), mtime=0))


def paddle(compiled_for: Mapping[str, str]) -> tuple[str, bytes]:
    """A wheel of Paddle that says what it was compiled for."""
    said = "".join(f"{name}_version = {text!r}\n" for name, text in compiled_for.items())
    files = {"paddle/__init__.py": b"", "paddle/version/__init__.py": said.encode()}
    return wheel("paddlepaddle_gpu", "3.2.1", files=files)
