"""A GPU target as a process: files that a person brings, licences, the stack, the audit.

The archives have the names and the structure of NVIDIA's and are made here; all that is done with
them is done with the real ones too.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.lock import text
from tests.build import gpu_parts
from tests.build.gpu_parts import CUDNN_FILE, TENSORRT_FILE, File
from tests.build.laboratory import UNUSED, Laboratory

pytestmark = pytest.mark.network

TARGET = """
[targets.gpu]
device = "gpu"
driver = "450.80.02"
python-version = "3.11"

[targets.gpu.debian]
source = "os"
packages = ["dash"]
exclude = {excluded}

[targets.gpu.python]
requirements = ["gpu.in"]

[[targets.gpu.archives]]
name = "cuda"
file = "{cuda.name}"
path = "server_env/{cuda.name}"
copy = [{{from = "cuda-11.8", to = "/usr/local/cuda-11.8"}}]

[[targets.gpu.archives]]
name = "cudnn"
file = "{cudnn.name}"
sha256 = "{cudnn.sha256}"
path = "server_env/{cudnn.name}"
obtain = "the maker's site: cuDNN v8.9.7 for CUDA 11.x, Linux x86_64 (Tar); needs an account"
licence = "NVIDIA cuDNN SLA"
redistributable = false
strip-components = 1
copy = [{{from = "lib", to = "/paddlex/libs"}}]

[[targets.gpu.archives]]
name = "tensorrt"
file = "{tensorrt.name}"
sha256 = "{tensorrt.sha256}"
path = "server_env/{tensorrt.name}"
obtain = "the maker's site: TensorRT 8.6 GA for Linux x86_64 and CUDA 11.x TAR package"
licence = "NVIDIA TensorRT SLA"
redistributable = false
strip-components = 1
copy = [{{from = "targets/x86_64-linux-gnu/lib", to = "/paddlex/tensorrt/lib"}}]

[[targets.gpu.archives]]
name = "tritonserver"
file = "{triton.name}"
path = "server_env/{triton.name}"
copy = [{{from = "tritonserver", to = "/opt/tritonserver"}}]

[targets.gpu.image.environment]
LD_LIBRARY_PATH = "/paddlex/libs:/paddlex/tensorrt/lib:/usr/local/cuda-11.8/lib64"
"""


@dataclass
class Gpu:
    """A laboratory with a second target, whose archives nobody has brought yet."""

    lab: Laboratory
    cuda: File
    cudnn: File
    tensorrt: File
    triton: File

    @property
    def server_env(self) -> Path:
        return self.lab.folder / "server_env"

    def bring(self, *files: File) -> None:
        for file in files or (self.cuda, self.cudnn, self.tensorrt, self.triton):
            file.put(self.server_env)

    def exchange(self, name: str, file: File) -> None:
        """Ask for another archive of that name, and bring it."""
        old: File = getattr(self, name)
        self.lab.edit(old.sha256, file.sha256)
        setattr(self, name, file)


@pytest.fixture
def gpu(lab: Laboratory, tmp_path: Path) -> Gpu:
    (work := tmp_path / "parts").mkdir()
    made = Gpu(
        lab,
        gpu_parts.cuda(work),
        gpu_parts.cudnn(work),
        gpu_parts.tensorrt(work),
        gpu_parts.triton(work),
    )
    lab.edit('name = "lab"', 'name = "lab"\ndefault-targets = ["cpu"]')
    parts = {
        "cuda": made.cuda,
        "cudnn": made.cudnn,
        "tensorrt": made.tensorrt,
        "triton": made.triton,
    }
    lab.config.write_text(
        lab.config.read_text() + TARGET.format(**parts, excluded=json.dumps(UNUSED))
    )
    lab.index.add(*gpu_parts.paddle({"cuda": "11.8", "cudnn": "8.9.7", "tensorrt": "None"}))
    (lab.folder / "gpu.in").write_text("paddlepaddle-gpu\n")
    return made


def test_a_plain_lock_and_build_leave_it_alone(gpu: Gpu) -> None:
    before = gpu.lab.lock_path.read_bytes()
    assert gpu.lab.run("lock").err.splitlines()[-1] == "hps.lock is unchanged"
    assert gpu.lab.lock_path.read_bytes() == before
    assert [one["target"] for one in gpu.lab.run("build", "--frozen", "--json").json] == ["cpu"]
    assert "the target is not locked" in gpu.lab.run("lock", "--check", "gpu", "--json", code=3).out


def test_all_missing_files_are_told_at_once_before_any_work(gpu: Gpu) -> None:
    gpu.bring(gpu.cuda, gpu.triton)
    done = gpu.lab.run("lock", "gpu", code=4)
    assert "error[artifact-not-found]: 2 files are missing that you have to bring" in done.err
    for file, obtain in ((gpu.cudnn, "cuDNN v8.9.7 for CUDA 11.x"), (gpu.tensorrt, "8.6 GA")):
        place = gpu.server_env / file.name
        assert (
            f"  {file.name}\n    digest: sha256:{file.sha256}\n    looked: the store, {place}\n"
            in (done.err)
        )
        assert f"    get it: the maker's site: {obtain}" in done.err.replace("TensorRT ", "")
    assert "resolving" not in done.err
    assert "hps store add FILE" in done.err
    told = json.loads(gpu.lab.run("--json", "lock", "gpu", "--offline", code=4).out)
    assert told["error"] == "artifact-not-found"
    assert {CUDNN_FILE, TENSORRT_FILE} <= set(told["details"])


def test_from_files_to_a_signed_off_image(gpu: Gpu) -> None:
    """The way of the document: put the files there, lock, build, look at what is inside."""
    cpu_before = gpu.lab.lock.target("cpu")
    gpu.bring(gpu.cuda, gpu.triton, gpu.cudnn)
    elsewhere = gpu.tensorrt.put(gpu.lab.folder.parent / "downloads")
    added = gpu.lab.run("store", "add", str(elsewhere))
    assert added.out.strip() == f"sha256:{gpu.tensorrt.sha256}"
    gpu.lab.run("lock", "gpu")
    locked = gpu.lab.lock.target("gpu")
    assert locked is not None
    assert gpu.lab.lock.target("cpu") == cpu_before
    by_name = {one.name: one for one in locked.archives}
    assert by_name["cudnn"].sha256 == gpu.cudnn.sha256
    assert (by_name["tensorrt"].file, by_name["tensorrt"].size) == (
        TENSORRT_FILE,
        len(gpu.tensorrt.data),
    )
    assert b"NVIDIA" not in text.write(gpu.lab.lock)  # licences are no part of the lock
    shutil.rmtree(gpu.server_env)  # the store has all of it now
    (built,) = gpu.lab.run("build", "gpu", "--frozen", "--offline", "--json").json
    assert (
        gpu.lab.run("build", "gpu", "--check", "--offline", "--json").json[0]["digest"]
        == (built["digest"])
    )
    audit_passes(gpu)
    why = gpu.lab.run("why", "/paddlex/libs/libcudnn.so.8", "--target", "gpu", "--offline").out
    assert "/paddlex/libs/libcudnn.so.8 -> libcudnn.so.8.9.7" in why
    assert "layer cudnn" in why
    audit_fails(gpu)
    the_driver_is_a_part_of_what_is_locked(gpu)


def audit_passes(gpu: Gpu) -> None:
    done = gpu.lab.run("audit", "elf", "gpu", "--offline")
    assert "may be missing: libcuda.so.1, libnvidia-ml.so.1" in done.out
    told = gpu.lab.run("audit", "elf", "gpu", "--offline", "--json", "--large", "0").json
    assert told["passed"]
    assert told["missing"] == told["unversioned"] == []
    unused = {one["path"]: one["owner"] for one in told["unused"]}
    assert unused["/paddlex/tensorrt/lib/libnvinfer_plugin.so.8.6.1"] == "tensorrt"
    assert "/paddlex/tensorrt/lib/libnvinfer.so.8.6.1" not in unused  # the plugins link it
    # Opened by name, which nobody sees: it is listed, and that is all.
    assert unused["/paddlex/libs/libcudnn.so.8.9.7"] == "cudnn"


def test_a_file_with_other_bytes_is_refused(gpu: Gpu) -> None:
    gpu.bring()
    (gpu.server_env / CUDNN_FILE).write_bytes(gpu.cudnn.data[:-1])
    done = gpu.lab.run("lock", "gpu", code=5)
    assert f"{CUDNN_FILE} is not what was promised" in done.err
    assert gpu.cudnn.sha256 in done.err
    assert "cuDNN v8.9.7 for CUDA 11.x" in done.err


def older_cudnn(gpu: Gpu, work: Path) -> None:
    gpu.exchange("cudnn", gpu_parts.cudnn(work, "8.6.0"))


def cudnn_of_cuda_12(gpu: Gpu, work: Path) -> None:
    gpu.exchange("cudnn", gpu_parts.cudnn(work, cublas="libcublas.so.12"))


def older_driver(gpu: Gpu, work: Path) -> None:
    gpu.lab.edit('driver = "450.80.02"', 'driver = "440.33"')


def paddle_of_cuda_12(gpu: Gpu, work: Path) -> None:
    file, data = gpu_parts.paddle({"cuda": "12.6", "cudnn": "9.5.1", "tensorrt": "None"})
    gpu.lab.index.add(file, data)


def triton_of_cuda_12(gpu: Gpu, work: Path) -> None:
    gpu.triton = gpu_parts.triton(work, "libcudart.so.12")


SLIPS: list[tuple[Callable[[Gpu, Path], None], tuple[str, ...]]] = [
    (
        older_cudnn,
        (
            "TensorRT 8.6.1 of archive tensorrt (/paddlex/tensorrt/lib/libnvinfer.so.8.6.1) needs",
            "needs cuDNN 8.9 or a later 8.x; there is cuDNN 8.6.0 of archive cudnn",
            "Python package paddlepaddle-gpu asks for cuDNN 8.9 or a later 8.x",
            "what would fit: cuDNN 8.9 or a later 8.x",
        ),
    ),
    (
        cudnn_of_cuda_12,
        (
            "archive cudnn asks for CUDA 12 (/paddlex/libs/libcudnn_cnn_infer.so.8.9.7 links",
            "links libcublas.so.12); there is CUDA 11.8.89 of archive cuda",
        ),
    ),
    (older_driver, ("needs the driver 450.80.02 or a later one; the hosts may have 440.33",)),
    (
        paddle_of_cuda_12,
        ("asks for CUDA 12.6 or a later 12.x", "asks for cuDNN 9.5 or a later 9.x"),
    ),
    (triton_of_cuda_12, ("archive tritonserver asks for CUDA 12",)),
]


@pytest.mark.parametrize(
    ("slip", "told"),
    # One shows the way; the decisions themselves are those of tests/lock/test_stack.py.
    [pytest.param(*one, marks=[pytest.mark.slow] if at else []) for at, one in enumerate(SLIPS)],
    ids=[slip.__name__ for slip, _ in SLIPS],
)
def test_what_does_not_go_together_is_not_locked(
    gpu: Gpu, tmp_path: Path, slip: Callable[[Gpu, Path], None], told: tuple[str, ...]
) -> None:
    (work := tmp_path / "others").mkdir()
    slip(gpu, work)
    gpu.bring()
    before = gpu.lab.lock_path.read_bytes()
    done = gpu.lab.run("lock", "gpu", code=3)
    assert "error[stack-inconsistent]" in done.err
    for line in told:
        assert line in done.err
    assert gpu.lab.lock_path.read_bytes() == before


def audit_fails(gpu: Gpu) -> None:
    """It says what is missing and who needs it; rules of hps.toml let it pass."""
    gpu.lab.edit(":/usr/local/cuda-11.8/lib64", "")
    done = gpu.lab.run("audit", "elf", "gpu", "--offline", code=6)
    assert "not found: libcublas.so.11" in done.out
    assert "needed by /paddlex/libs/libcudnn_cnn_infer.so.8.9.7 (cudnn)" in done.out
    place = "/usr/local/cuda-11.8/targets/x86_64-linux/lib/libcublas.so.11.11.3.6"
    assert f"it lies at {place}, where nothing looks" in done.out
    assert "error[audit-failed]: the image gpu needs shared libraries" in done.err
    told = gpu.lab.run("audit", "elf", "gpu", "--offline", "--json", code=6).json
    assert not told["passed"]
    assert {one["library"] for one in told["missing"]} == {"libcublas.so.11", "libcudart.so.11.0"}
    rules = (("libcublas.so.*", "the host has it"), ("libcudart.so.*", "the host has it"))
    for library, because in (*rules, ("libnothing.so", "of a slip")):
        rule = f'[[targets.gpu.audit.external]]\nlibrary = "{library}"\nbecause = "{because}"\n'
        gpu.lab.config.write_text(gpu.lab.config.read_text() + rule)
    done = gpu.lab.run("audit", "elf", "gpu", "--offline")
    assert "may be missing: libcublas.so.11, libcudart.so.11.0: the host has it" in done.out
    assert "note: nothing misses libnothing.so" in done.err


def the_driver_is_a_part_of_what_is_locked(gpu: Gpu) -> None:
    gpu.lab.edit('driver = "450.80.02"', 'driver = "525.60.13"')
    done = gpu.lab.run("build", "gpu", code=3)
    assert "targets.gpu.driver: changed since the lock was made" in done.err


def test_what_a_driver_is_not(gpu: Gpu) -> None:
    gpu.lab.edit('driver = "450.80.02"', 'driver = "v525"')
    assert "targets.gpu.driver" in gpu.lab.run("lock", "--check", "gpu", code=2).err


def test_an_audit_of_what_is_not_there(gpu: Gpu) -> None:
    assert "no target cqu" in gpu.lab.run("audit", "elf", "cqu", code=2).err
    assert gpu.lab.run("audit", "elf", "gpu", "--offline", code=3).err
    assert "Usage" in gpu.lab.run("audit", "elf", code=2).err
    help_text = gpu.lab.run("audit", "elf", "--help").out
    assert "dlopen" in help_text
    assert "code 6" in help_text
