"""The GPU stack: what goes together, what does not, who is named, and what would fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.lock.stack import Asks, Has, Stack, Verdict, judge
from hps.lock.stack_table import DRIVERS, LAST, ROWS, Version, rows

CUDA = Has(
    "cuda", (11, 8, 89), "base image v/cuda:11.8", "/usr/local/cuda/lib64/libcudart.so.11.8.89"
)
CUDNN = Has("cudnn", (8, 9, 7), "archive cudnn", "/paddlex/libs/libcudnn.so.8.9.7")
TENSORRT = Has(
    "tensorrt", (8, 6, 1), "archive tensorrt", "/paddlex/tensorrt/lib/libnvinfer.so.8.6.1"
)
PADDLE = (
    Asks("cuda", (11, 8), "Python package paddlepaddle-gpu", "version/__init__.py"),
    Asks("cudnn", (8, 9), "Python package paddlepaddle-gpu", "version/__init__.py"),
)
TRITON = Asks("cuda", (11,), "archive tritonserver", "libtritonserver.so links libcudart.so.11.0")
DOCUMENT = (CUDA, CUDNN, TENSORRT)


def judged(
    *has: Has,
    asks: tuple[Asks, ...] = (),
    driver: Version | None = (450, 80, 2),
    glibc: Version | None = None,
) -> Verdict:
    return judge(Stack(has, asks, driver, glibc))


def problems(verdict: Verdict) -> str:
    return "\n".join(line for fault in verdict.faults for line in fault.lines())


def test_the_stack_of_the_document_goes_together() -> None:
    verdict = judged(*DOCUMENT, asks=(*PADDLE, TRITON))
    assert verdict == Verdict()


def test_the_modern_stack_goes_together() -> None:
    has = (
        Has("cuda", (12, 6, 77), "Python package nvidia-cuda-runtime-cu12", "METADATA"),
        Has("cudnn", (9, 5, 1), "Python package nvidia-cudnn-cu12", "cudnn_version.h"),
        Has("tensorrt", (10, 5, 0), "Python package tensorrt-cu12-libs", "METADATA"),
    )
    asks = (
        Asks("cuda", (12,), "Python package nvidia-cudnn-cu12", "libcudnn_ops.so.9"),
        Asks("cuda", (12, 6), "Python package paddlepaddle-gpu", "version/__init__.py"),
        Asks("cudnn", (9, 5), "Python package paddlepaddle-gpu", "version/__init__.py"),
    )
    assert judged(*has, asks=asks, driver=(525, 60, 13)) == Verdict()


def test_a_driver_that_is_too_old_is_told_with_what_it_can_do() -> None:
    told = problems(judged(CUDA, driver=(440, 33)))
    assert "CUDA 11.8.89 of base image v/cuda:11.8" in told
    assert "needs the driver 450.80.02 or a later one" in told
    assert "the hosts may have 440.33" in told
    assert "what would fit: hosts with 450.80.02, or CUDA 10" in told
    assert not judged(CUDA, driver=(450, 80, 2)).faults
    assert judged(CUDA, driver=(450, 80, 1)).faults
    assert not judged(CUDA, driver=(575, 51)).faults


def test_without_a_driver_it_is_said_which_one_is_needed() -> None:
    verdict = judged(CUDA, driver=None)
    assert not verdict.faults
    assert "needs the driver 450.80.02 or a later one; `driver` in hps.toml" in verdict.notes[0]


def test_the_newest_cuda_that_is_asked_for_decides_about_the_driver() -> None:
    asks = (Asks("cuda", (12,), "Python package x", "x.so links libcudart.so.12"),)
    told = problems(judged(CUDA, asks=asks))
    assert "525.60.13" in told


def test_a_toolkit_that_nobody_knows_is_noted() -> None:
    verdict = judged(Has("cuda", (99, 0, 1), "archive x", "e"))
    assert not verdict.faults
    assert "not known to hps" in verdict.notes[0]


def test_cudnn_for_another_cuda() -> None:
    """The archive of CUDA 12 links against its cuBLAS."""
    asks = (Asks("cuda", (12,), "archive cudnn", "libcudnn_cnn_infer.so.8 links libcublas.so.12"),)
    told = problems(judged(CUDA, CUDNN, asks=asks, driver=(525, 60, 13)))
    assert "archive cudnn asks for CUDA 12 (libcudnn_cnn_infer.so.8 links libcublas.so.12)" in told
    assert "there is CUDA 11.8.89 of base image v/cuda:11.8" in told


def test_paddle_that_was_compiled_for_something_else() -> None:
    wheel = "Python package paddlepaddle-gpu"
    asks = (Asks("cuda", (12, 6), wheel, "says 12.6"), Asks("cudnn", (9, 5), wheel, "says 9.5.1"))
    told = problems(judged(*DOCUMENT, asks=asks, driver=(525, 60, 13)))
    assert f"{wheel} asks for CUDA 12.6 or a later 12.x (says 12.6); there is CUDA 11.8.89" in told
    assert f"{wheel} asks for cuDNN 9.5 or a later 9.x (says 9.5.1); there is cuDNN 8.9.7" in told
    assert "what would fit: cuDNN 9.5 or a later 9.x" in told


def test_paddle_without_its_libraries() -> None:
    told = problems(judged(CUDA, asks=PADDLE))
    assert "asks for cuDNN 8.9 or a later 8.x (version/__init__.py); there is none" in told


def test_an_older_minor_version_lacks_symbols_and_a_newer_one_does_not() -> None:
    older = Has("cudnn", (8, 6, 0), "archive cudnn", "h")
    told = problems(judged(CUDA, older, asks=PADDLE))
    assert "there is cuDNN 8.6.0 of archive cudnn (h)" in told
    assert not judged(CUDA, Has("cudnn", (8, 10, 0), "archive cudnn", "h"), asks=PADDLE).faults


def test_tensorrt_names_the_cudnn_that_it_needs() -> None:
    older = Has("cudnn", (8, 6, 0), "archive cudnn", "cudnn_version.h")
    told = problems(judged(CUDA, older, TENSORRT))
    assert "TensorRT 8.6.1 of archive tensorrt (/paddlex/tensorrt/lib/libnvinfer.so.8.6.1)" in told
    assert "needs cuDNN 8.9 or a later 8.x; there is cuDNN 8.6.0 of archive cudnn" in told
    assert "TensorRT 8.6.1 Support Matrix" in told


def test_tensorrt_for_a_cuda_that_it_does_not_support() -> None:
    newer = Has("cuda", (12, 4, 99), "base image v/cuda:12.4", "e")
    told = problems(judged(newer, CUDNN, TENSORRT, driver=(525, 60, 13)))
    assert "needs CUDA 11.0 to 11.8, or 12.0 to 12.1; there is CUDA 12.4.99" in told


def test_a_component_without_the_one_below_it() -> None:
    told = problems(judged(CUDNN))
    assert "needs CUDA 11.0 to 11.8, or 12.0 or a later 12.x; there is none" in told


def test_two_versions_with_one_soname() -> None:
    other = Has("cudnn", (8, 9, 2), "base image v/cuda:11.8", "/usr/lib/libcudnn.so.8.9.2")
    told = problems(judged(CUDA, CUDNN, other))
    assert "cuDNN 8.9.7 of archive cudnn" in told
    assert "cuDNN 8.9.2 of base image v/cuda:11.8" in told
    assert "are both there" in told
    same = Has("cudnn", (8,), "base image v/cuda:11.8", "/usr/lib/libcudnn.so.8")
    assert not judged(CUDA, CUDNN, same).faults
    beside = Has("cudnn", (9, 1, 0), "Python package nvidia-cudnn-cu11", "/nvidia/libcudnn.so.9")
    assert not judged(CUDA, CUDNN, beside).faults


def test_an_archive_that_contradicts_itself() -> None:
    other = Has("cudnn", (8, 9, 2), "archive cudnn", "/paddlex/include/cudnn_version.h")
    assert "archive cudnn contradicts itself" in problems(judged(CUDA, CUDNN, other))


def test_the_c_library() -> None:
    asks = (Asks("glibc", (2, 38), "archive tritonserver", "bin/tritonserver wants GLIBC_2.38"),)
    told = problems(judged(asks=asks, glibc=(2, 31)))
    assert "archive tritonserver asks for glibc 2.38 (bin/tritonserver wants GLIBC_2.38)" in told
    assert "the image has glibc 2.31" in told
    assert not judged(asks=asks, glibc=(2, 38)).faults
    assert not judged(asks=asks, glibc=None).faults


def test_what_no_row_covers_is_noted_and_not_refused() -> None:
    verdict = judged(CUDA, Has("cudnn", (9, 99, 0), "archive cudnn", "e"))
    assert not verdict.faults
    assert "cuDNN 9.99.0 of archive cudnn is not compared" in verdict.notes[0]
    verdict = judged(CUDA, Has("tensorrt", (8,), "archive x", "libnvinfer.so.8"))
    assert not verdict.faults
    assert "TensorRT 8 of archive x is not compared" in verdict.notes[0]


def test_every_fault_is_told_once() -> None:
    verdict = judged(CUDA, CUDNN, TENSORRT, asks=(*PADDLE, *PADDLE), driver=(400, 0))
    assert len(verdict.faults) == 1


def test_the_table_is_whole() -> None:
    """Every component has a last version, every row a source, every range its order."""
    assert {row.component for row in ROWS} == set(LAST)
    for row in ROWS:
        assert row.source
        assert row.first[:2] <= LAST[row.component]
        assert all(high is None or low <= high for _, low, high in row.ranges)
    assert list(DRIVERS) == sorted(DRIVERS)
    assert list(DRIVERS.values()) == sorted(DRIVERS.values())


@pytest.mark.parametrize(
    ("component", "version", "needs"),
    [
        ("cudnn", (8, 9, 7), {"cuda"}),
        ("cudnn", (8, 4, 0), set()),
        ("cudnn", (8,), set()),
        ("tensorrt", (8, 6, 1), {"cuda", "cudnn"}),
        ("tensorrt", (8, 5, 3), {"cuda", "cudnn"}),
        ("tensorrt", (9, 1), set()),
        ("tensorrt", (10, 7, 0), {"cuda"}),
        ("cuda", (11, 8), set()),
    ],
)
def test_rows_of_a_version(component: str, version: Version, needs: set[str]) -> None:
    assert {row.needs for row in rows(component, version)} == needs


VERSIONS = st.lists(st.integers(0, 20), min_size=1, max_size=3).map(tuple)
COMPONENTS = st.sampled_from(["cuda", "cudnn", "tensorrt"])
WHO = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(st.builds(Has, COMPONENTS, VERSIONS, WHO, st.just("e")), max_size=5),
    st.lists(
        st.builds(Asks, COMPONENTS | st.just("glibc"), VERSIONS, WHO, st.just("e")), max_size=5
    ),
    st.none() | VERSIONS,
    st.none() | VERSIONS,
)
def test_laws(
    has: list[Has], asks: list[Asks], driver: Version | None, glibc: Version | None
) -> None:
    """Every verdict is said in full sentences, and does not depend on who is looked at first."""
    verdict = judge(Stack(tuple(has), tuple(asks), driver, glibc))
    for fault in verdict.faults:
        assert fault.problem
        assert fault.fits
    turned = judge(Stack(tuple(has[::-1]), tuple(asks[::-1]), driver, glibc))
    assert bool(turned.faults) == bool(verdict.faults)
    if not has and not asks:
        assert verdict == Verdict()
    more = judge(Stack((*has, *has), tuple(asks), driver, glibc))
    assert set(more.faults) == set(verdict.faults)
