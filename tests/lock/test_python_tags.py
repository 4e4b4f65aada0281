"""Tags of a target against `packaging`'s own for this interpreter, and the choice among files."""

import platform
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import sys_tags

from hps.errors import ResolutionError
from hps.lock.python_tags import choose_wheel, ranks

BOOKWORM = ranks("3.11", "linux/amd64", (2, 36))
FILES = [
    "numpy-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "numpy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl",
    "numpy-1.0-cp311-cp311-manylinux_2_38_x86_64.whl",
    "numpy-1.0-cp311-cp311-manylinux_2_28_aarch64.whl",
    "numpy-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
    "numpy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl",
    "numpy-1.0-cp39-abi3-manylinux_2_28_x86_64.whl",
    "numpy-1.0-cp311-none-any.whl",
    "numpy-1.0-py3-none-any.whl",
    "numpy-1.0-py2-none-any.whl",
]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="packaging knows glibc only here")
def test_the_tags_of_this_interpreter_are_those_of_packaging() -> None:
    major, minor = (int(part) for part in platform.libc_ver()[1].split(".")[:2])
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]
    ours = {str(tag) for tag in ranks(version, name, (major, minor))}
    theirs = [str(tag) for tag in sys_tags()]
    assert ours == {tag for tag in theirs if "musllinux" not in tag}
    manylinux = [tag for tag in theirs if "manylinux" in tag]  # packaging moved linux_* in 26.3
    mine = [str(tag) for tag in ranks(version, name, (major, minor)) if "manylinux" in str(tag)]
    assert mine == manylinux


def test_a_full_python_version_has_the_tags_of_its_minor_version() -> None:
    assert ranks("3.11.2", "linux/amd64", (2, 36)) == BOOKWORM


def test_the_best_file_is_the_newest_glibc_that_the_target_has() -> None:
    assert choose_wheel(FILES, BOOKWORM) == "numpy-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    focal = ranks("3.11", "linux/amd64", (2, 27))
    assert choose_wheel(FILES, focal) == FILES[0]
    arm = ranks("3.11", "linux/arm64", (2, 36))
    assert choose_wheel(FILES, arm) == "numpy-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (FILES[6:], "numpy-1.0-cp39-abi3-manylinux_2_28_x86_64.whl"),
        (FILES[7:], "numpy-1.0-cp311-none-any.whl"),
        (FILES[8:], "numpy-1.0-py3-none-any.whl"),
        (FILES[9:], None),
        (FILES[2:6], None),
        ([], None),
        (["a-1-1-py3-none-any.whl", "a-1-2x-py3-none-any.whl"], "a-1-2x-py3-none-any.whl"),
        (["a-1-py3-none-any.whl", "a-1-1-py3-none-any.whl"], "a-1-1-py3-none-any.whl"),
        (["a-1-py2.py3-none-any.whl", "A-1-py3-none-any.whl"], "A-1-py3-none-any.whl"),
    ],
)
def test_choice(files: list[str], chosen: str | None) -> None:
    assert choose_wheel(files, BOOKWORM) == chosen


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(FILES), unique=True))
def test_the_order_of_the_index_does_not_matter(source: random.Random, files: list[str]) -> None:
    shuffled = source.sample(files, len(files))
    assert choose_wheel(shuffled, BOOKWORM) == choose_wheel(files, BOOKWORM)


def test_a_platform_without_wheels_is_refused_by_name() -> None:
    with pytest.raises(ResolutionError, match="linux/riscv64"):
        ranks("3.11", "linux/riscv64", (2, 36))
