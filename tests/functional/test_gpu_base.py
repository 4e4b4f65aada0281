"""A GPU target over a vendor's image: its CUDA counts, and its environment is in force."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from tests.build import gpu_parts
from tests.build.base_lab import SETTINGS, BaseImage, BaseLaboratory, Packed

pytestmark = [pytest.mark.network, pytest.mark.slow]

TARGET = """
[[targets.cpu.archives]]
name = "cudnn"
file = "{cudnn.name}"
sha256 = "{cudnn.sha256}"
path = "server_env/{cudnn.name}"
strip-components = 1
copy = [{{from = "lib", to = "/paddlex/libs"}}]
"""


@pytest.fixture
def gpu(base_lab: BaseLaboratory, base_image: BaseImage, tmp_path: Path) -> BaseLaboratory:
    """The base image with CUDA laid over it, as `hub/team/os:1`, and cuDNN in the project."""
    (work := tmp_path / "parts").mkdir()
    toolkit = Packed.of(gzip.decompress(gpu_parts.cuda(work).data), "+gzip")
    folders = "LD_LIBRARY_PATH=/cuda-11.8/lib64:/paddlex/libs"
    settings = {**SETTINGS, "Env": [*SETTINGS["Env"], folders]}
    layers = (*base_image.layers, toolkit)
    base_lab.push(replace(base_image, layers=layers, settings=settings))
    cudnn = gpu_parts.cudnn(work)
    cudnn.put(base_lab.folder / "server_env")
    base_lab.config.write_text(base_lab.config.read_text() + TARGET.format(cudnn=cudnn))
    base_lab.edit("[targets.cpu]", '[targets.cpu]\ndevice = "gpu"\ndriver = "440.33"')
    return base_lab


def test_the_cuda_of_the_base_is_what_the_driver_and_cudnn_meet(gpu: BaseLaboratory) -> None:
    done = gpu.run("lock", "--upgrade", code=3)
    assert "error[stack-inconsistent]" in done.err
    assert (
        "CUDA 11.8.89 of base image hub/team/os:1 (/cuda-11.8/targets/x86_64-linux/lib/"
        "libcudart.so.11.8.89) needs the driver 450.80.02 or a later one"
    ) in done.err
    gpu.edit('driver = "440.33"', 'driver = "450.80.02"')
    gpu.run("lock", "--upgrade")
    done = gpu.run("audit", "elf", "cpu", "--offline")
    assert "may be missing: libcuda.so.1" in done.out
    told = gpu.run("audit", "elf", "cpu", "--offline", "--json", "--large", "0").json
    assert told["passed"]
    owners = {one["path"]: one["owner"] for one in told["unused"]}
    assert owners["/paddlex/libs/libcudnn_cnn_infer.so.8.9.7"] == "cudnn"
