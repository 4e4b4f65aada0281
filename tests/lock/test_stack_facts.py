"""Facts of a GPU stack out of files: headers, metadata, names of libraries, what they link."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.lock.stack import Asks, Has
from hps.lock.stack_facts import FileFacts, gather
from hps.lock.stack_table import Version

CUDNN_HEADER = b"""\
#ifndef CUDNN_VERSION_H_
#define CUDNN_VERSION_H_
#define CUDNN_MAJOR 8
#define CUDNN_MINOR 9
#define CUDNN_PATCHLEVEL 7
#define CUDNN_VERSION (CUDNN_MAJOR * 1000 + CUDNN_MINOR * 100 + CUDNN_PATCHLEVEL)
"""
TENSORRT_HEADER = b"""\
#define NV_TENSORRT_MAJOR 8 //!< TensorRT major version.
#define NV_TENSORRT_MINOR 6 //!< TensorRT minor version.
#define NV_TENSORRT_PATCH 1 //!< TensorRT patch version.
#define NV_TENSORRT_BUILD 6 //!< TensorRT build number.
"""
PADDLE = b"""\
full_version     = '3.2.1'
cuda_version     = '11.8'
cudnn_version    = '8.9.7'
hip_version      = None
tensorrt_version = 'None'
with_pip_cuda_libraries = 'OFF'
"""


def note(path: str, data: bytes, who: str = "x") -> FileFacts:
    return FileFacts(path, who, note=data)


def has(*files: FileFacts) -> dict[str, Version]:
    return {one.component: one.version for one in gather(files)[0]}


def asks(*files: FileFacts) -> dict[str, Version]:
    return {one.component: one.version for one in gather(files)[1]}


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (note("/opt/include/cudnn_version.h", CUDNN_HEADER), {"cudnn": (8, 9, 7)}),
        (note("/opt/include/cudnn_version_v8.h", CUDNN_HEADER), {"cudnn": (8, 9, 7)}),
        (note("/opt/include/NvInferVersion.h", TENSORRT_HEADER), {"tensorrt": (8, 6, 1)}),
        (note("/opt/include/NvInferVersion.h", TENSORRT_HEADER[:60]), {}),
        (
            note(
                "/usr/local/cuda/version.json",
                json.dumps({"cuda_cudart": {"version": "11.8.89"}}).encode(),
            ),
            {"cuda": (11, 8, 89)},
        ),
        (note("/usr/local/cuda/version.json", b'{"cuda_cudart": {"version": "new"}}'), {}),
        (note("/usr/local/cuda/version.json", b"[" * 100000), {}),
        (note("/usr/local/cuda/version.json", b'{"cuda_cudart": []}'), {}),
        (
            note("/p/x.dist-info/METADATA", b"Name: nvidia_cudnn.cu12\nVersion: 9.5.1.17\n"),
            {"cudnn": (9, 5, 1)},
        ),
        (
            note(
                "/p/x.dist-info/METADATA", b"Name: nvidia-cuda-runtime-cu12\r\nVersion: 12.6.77\r\n"
            ),
            {"cuda": (12, 6, 77)},
        ),
        (
            note("/p/x.dist-info/METADATA", b"Name: tensorrt_cu12_libs\nVersion: 10.5.0\n"),
            {"tensorrt": (10, 5, 0)},
        ),
        (
            note("/p/x.dist-info/METADATA", b"Name: a\n\nName: nvidia-cudnn-cu12\nVersion: 9.1\n"),
            {},
        ),
        (FileFacts("/l/libcudart.so.11.8.89", "x", "libcudart.so.11.0"), {"cuda": (11, 8, 89)}),
        (FileFacts("/l/libcudart.so.12", "x", "libcudart.so.12"), {"cuda": (12,)}),
        (FileFacts("/l/libcudnn.so.8.9.7", "x", "libcudnn.so.8"), {"cudnn": (8, 9, 7)}),
        (FileFacts("/l/libcudnn.so.8.9.7", "x"), {}),  # a file of that name that is no library
        (FileFacts("/l/libnvinfer.so.8.6.1", "x", "libnvinfer.so.8"), {"tensorrt": (8, 6, 1)}),
        (FileFacts("/l/libcudnn_ops_infer.so.8.9.7", "x", "libcudnn_ops_infer.so.8"), {}),
    ],
)
def test_versions(file: FileFacts, found: dict[str, Version]) -> None:
    assert has(file) == found


def test_a_full_version_says_more_than_a_soname() -> None:
    soname = FileFacts("/l/libcudnn.so.9", "x", "libcudnn.so.9")
    metadata = note("/p/METADATA", b"Name: nvidia-cudnn-cu12\nVersion: 9.5.1.17\n")
    assert gather([soname, metadata])[0] == (Has("cudnn", (9, 5, 1), "x", "/p/METADATA"),)
    other = FileFacts("/l/libcudnn.so.9", "y", "libcudnn.so.9")
    assert len(gather([metadata, other])[0]) == 2


def test_contradictions_are_kept_for_the_judge() -> None:
    header = note("/opt/include/cudnn_version.h", CUDNN_HEADER)
    library = FileFacts("/l/libcudnn.so.8.9.2", "x", "libcudnn.so.8")
    assert {one.version for one in gather([header, library])[0]} == {(8, 9, 7), (8, 9, 2)}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("libcudart.so.11.0", {"cuda": (11,)}),
        ("libcublas.so.12", {"cuda": (12,)}),
        ("libcublasLt.so.11", {"cuda": (11,)}),
        ("libnvrtc.so.11.2", {"cuda": (11,)}),
        ("libnvJitLink.so.12", {"cuda": (12,)}),
        ("libcufft.so.10", {"cuda": (11,)}),
        ("libcufft.so.11", {"cuda": (12,)}),
        ("libcudnn.so.8", {"cudnn": (8,)}),
        ("libcudnn_cnn_infer.so.8", {"cudnn": (8,)}),
        ("libnvinfer.so.8", {"tensorrt": (8,)}),
        ("libnvinfer_plugin.so.10", {"tensorrt": (10,)}),
        ("libnvonnxparser.so.8", {"tensorrt": (8,)}),
        ("libcurand.so.10", {}),  # the same in CUDA 11, 12 and 13
        ("libcusolver.so.11", {}),
        ("libcudartx.so.11", {}),
        ("libcuda.so.1", {}),
        ("libcudnn.so", {}),
    ],
)
def test_what_links(name: str, found: dict[str, Version]) -> None:
    assert asks(FileFacts("/l/x.so", "x", needed=(name,))) == found


def test_what_paddle_was_compiled_for() -> None:
    file = note("/usr/lib/python3/dist-packages/paddle/version/__init__.py", PADDLE, "paddle")
    assert asks(file) == {"cuda": (11, 8), "cudnn": (8, 9)}
    assert "compiled for 8.9.7" in gather([file])[1][1].evidence
    cpu = PADDLE.replace(b"'11.8'", b"'False'").replace(b"'8.9.7'", b"'False'")
    assert asks(note(file.path, cpu)) == {}
    assert asks(note("/x/paddle/version.py", PADDLE)) == {}


def test_of_the_c_library_the_highest_is_told() -> None:
    wants = (
        ("libc.so.6", ("GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_PRIVATE")),
        ("libm.so.6", ("GLIBC_2.29",)),
        ("libstdc++.so.6", ("GLIBCXX_3.4.32",)),
    )
    (found,) = gather([FileFacts("/l/x.so", "x", wants=wants)])[1]
    assert found == Asks("glibc", (2, 34), "x", "/l/x.so wants GLIBC_2.34")


@given(
    st.sampled_from(
        [
            *("/a/cudnn_version.h", "/a/NvInferVersion.h", "/c/version.json", "/i/METADATA"),
            "/a/paddle/version/__init__.py",
        ]
    ),
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
)
def test_any_bytes_of_a_note_are_read(path: str, data: bytes) -> None:
    found, asked = gather([note(path, data)])
    assert all(one.version for one in found)
    assert all(one.version for one in asked)
