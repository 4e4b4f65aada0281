"""What hps.toml and hps.lock of this repository decide: what PaddleX's scripts left to the day."""

from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hps.build.project import Project
from hps.config.schema import Config
from hps.lock import text
from hps.lock.records import LockedTarget, Package

ROOT = Path(__file__).resolve().parents[2]
LOCK = text.read((ROOT / "hps.lock").read_bytes())
CPU = LOCK.target("cpu")

# The digests that others have published of the two archives which need an account.
CUDNN = "a3e2509028cecda0117ce5a0f42106346e82e86d390f4bb9475afc976c77402e"
TENSORRT = "15bfe6053d45feec45ecc7123a9106076b0b43fa0435f242d89dca0778337759"


@pytest.fixture(scope="module")
def config() -> Config:
    return Project.open(ROOT).config


def packages(target: LockedTarget) -> list[Package]:
    return [*target.wheels, *target.sdists]


def asked_for(config: Config, name: str) -> set[str]:
    """The Debian packages that hps.toml names for a target."""
    debian = config.targets[name].debian
    return set(debian.packages) if debian else set()


@pytest.mark.parametrize("target", LOCK.targets, ids=lambda target: target.name)
def test_each_package_is_one_version_of_one_file(target: LockedTarget) -> None:
    for kind in (packages(target), target.debs):
        names = Counter(one.name for one in kind)
        assert names.total() > 3
        assert set(names.values()) == {1}
    artifacts = [*packages(target), *target.debs, *target.archives]
    assert all(one.version and one.size for one in artifacts)
    assert len({one.sha256 for one in artifacts}) == len(artifacts)


@pytest.mark.parametrize("target", LOCK.targets, ids=lambda target: target.name)
def test_debian_packages_are_of_one_release(target: LockedTarget) -> None:
    assert {one.source for one in target.debs} == {"bookworm"}
    assert {one.suite.removesuffix("-security") for one in target.debs} == {"bookworm"}


def test_two_releases_are_mixed_for_the_gpu_of_the_document_alone(config: Config) -> None:
    """bookworm and bookworm-security are one release; focal and jammy are two."""
    releases = {
        name: {suite.partition("-")[0] for suite in source.suites}
        for name, source in config.sources.debian.items()
    }
    assert releases == {"bookworm": {"bookworm"}, "ubuntu": {"focal", "jammy"}}
    asking = [
        name
        for name, target in config.targets.items()
        if target.debian and target.debian.source == "ubuntu"
    ]
    assert asking == ["gpu"]


def test_nothing_is_installed_for_the_administrator_of_a_gpu(config: Config) -> None:
    assert {"gpu", "gpu-cuda12"} <= set(config.targets)
    asked = {one for name in config.targets for one in asked_for(config, name)}
    locked = {deb.name for target in LOCK.targets for deb in target.debs}
    assert not [one for one in asked | locked if one.startswith("datacenter-gpu-manager")]


def test_triton_is_a_wheel_or_a_file_that_is_brought(config: Config) -> None:
    """Nothing of it is fetched from an address that hps.toml would have to name."""
    found = {
        name: archive
        for name, target in config.targets.items()
        for archive in target.archives
        if archive.name == "tritonserver"
    }
    assert sorted(found) == ["cpu", "gpu", "gpu-cuda12"]
    assert [str(found[name].wheel) for name in ("cpu", "gpu-cuda12")] == [
        "nvidia-pytriton==0.7.0",
        "nvidia-pytriton==0.7.0",
    ]
    assert (found["gpu"].file, found["gpu"].url) == ("tritonserver-2.15.0-gpu.zip", None)
    assert CPU
    (locked,) = (one for one in CPU.archives if one.name == "tritonserver")
    assert (locked.index, locked.version) == ("default", "0.7.0")


def test_archives_that_need_an_account_have_their_digest_and_place(config: Config) -> None:
    by_name = {one.name: one for one in config.targets["gpu"].archives}
    assert by_name["cudnn"].sha256 == CUDNN
    assert by_name["tensorrt"].sha256 == TENSORRT
    for archive in (by_name["cudnn"], by_name["tensorrt"]):
        assert archive.obtain
        assert not archive.redistributable
        assert archive.url is None


def test_paddle_and_paddlex_are_released_wheels(config: Config) -> None:
    """No tree of theirs goes into an image, so no edit of one does."""
    assert CPU
    wheels = {one.name: one for one in CPU.wheels}
    for name in ("paddlepaddle", "paddlex"):
        assert wheels[name].index == "default"
        assert wheels[name].version.replace(".", "").isdecimal()
    trees = {str(tree.from_) for target in config.targets.values() for tree in target.trees}
    assert trees == {"server_env/hps_server"}


def test_what_publishes_no_wheel_is_locked_with_what_builds_it() -> None:
    assert CPU
    assert {one.name: one.version for one in CPU.sdists} == {"gputil": "1.4.0", "jieba": "0.42.1"}
    for sdist in CPU.sdists:
        assert [one.name for one in sdist.build] == ["setuptools"]
        assert len(sdist.build[0].sha256) == len(sdist.wheel_sha256) == 64


def test_pip_and_pip_tools_are_locked_like_any_package() -> None:
    for name in ("rc-cpu", "rc-gpu"):
        target = LOCK.target(name)
        assert target
        wheels = {one.name: one for one in target.wheels}
        assert {"pip", "pip-tools", "setuptools", "wheel"} <= set(wheels)
        assert wheels["pip-tools"].version == "7.6.2"
        assert not [deb.name for deb in target.debs if "pip" in deb.name or "venv" in deb.name]


def test_a_serving_image_holds_nothing_to_build_with() -> None:
    assert CPU
    debs = {deb.name for deb in CPU.debs}
    tools = {"binutils", "build-essential", "ccache", "cpp", "g++", "gcc", "git", "make", "unzip"}
    tools |= {"python3-pip", "python3-venv", "wget", "libc6-dev", "libpython3.11-dev"}
    assert not debs & tools
    assert not [name for name in debs if name.startswith("texlive")]
    assert "pip" not in {one.name for one in packages(CPU)}


def test_nothing_that_compiles_models_at_the_start_is_asked_for(config: Config) -> None:
    """PaddleX's plugin builds TensorRT engines on the card of the host; no image has it."""
    project = Project.open(ROOT)
    lines = [line.text for name in config.targets for line in project.requirements(name)]
    asked = {Requirement(line).name for line in lines}
    locked = {one.name for target in LOCK.targets for one in packages(target)}
    assert "paddlepaddle-gpu" in asked
    assert not [one for one in asked | locked if one.startswith("ultra-infer")]


def test_base_images_are_named_with_their_digest(config: Config) -> None:
    images = [target.base.image for target in config.targets.values() if target.base]
    assert images
    assert all("@sha256:" in image for image in images)
