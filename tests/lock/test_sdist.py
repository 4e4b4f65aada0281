"""Which sdist is taken, and what it says about how it is built."""

import io
import random
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.errors import BuildError, ResolutionError, UnsafeArchiveError
from hps.lock.sdist import LEGACY, build_requirements, choose_sdist, read_build_system
from hps.store.python_index import IndexFile


def listed(**more: object) -> IndexFile:
    return IndexFile(url="https://example.org/f", **more)  # type: ignore[arg-type]


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


FILES = {
    "GPUtil-1.4.0.tar.gz": listed(upload_time=at("2018-12-18")),
    "GPUtil-1.4.0.zip": listed(upload_time=at("2018-12-18")),
    "GPUtil-1.3.0.zip": listed(upload_time=at("2018-01-01")),
    "GPUtil-1.5.0.tar.gz": listed(upload_time=at("2020-01-01"), yanked=""),
    "GPUtil-1.6.0.tar.gz": listed(upload_time=at("2021-01-01"), requires_python=">=3.13"),
    "gputil-2.0rc1.tar.gz": listed(upload_time=at("2022-01-01")),
    "GPUtil-3.0-py3-none-any.whl": listed(),
    "other-9.tar.gz": listed(),
    "GPUtil-4.tar.bz2": listed(),
}


@pytest.mark.parametrize(
    ("requirement", "options", "chosen"),
    [
        ("gputil", {}, "GPUtil-1.4.0.tar.gz"),
        ("gputil<1.4", {}, "GPUtil-1.3.0.zip"),
        ("gputil==1.5.0", {}, "GPUtil-1.5.0.tar.gz"),
        ("gputil", {"python_version": "3.13"}, "GPUtil-1.6.0.tar.gz"),
        ("gputil", {"prerelease": True}, "gputil-2.0rc1.tar.gz"),
        ("gputil>=2.0rc1", {}, "gputil-2.0rc1.tar.gz"),
        ("gputil", {"as_of": at("2018-06-01")}, "GPUtil-1.3.0.zip"),
    ],
)
def test_choice(requirement: str, options: dict[str, object], chosen: str) -> None:
    given = {"python_version": "3.11"} | options
    for seed in range(5):
        order = random.Random(seed).sample(list(FILES), len(FILES))
        found = choose_sdist(requirement, {file: FILES[file] for file in order}, **given)  # type: ignore[arg-type]
        assert (found.file, found.origin) == (chosen, FILES[chosen])


@pytest.mark.parametrize("requirement", ["gputil>9", "other>9", "absent"])
def test_nothing_fits(requirement: str) -> None:
    with pytest.raises(ResolutionError, match="no sdist fits"):
        choose_sdist(requirement, FILES, python_version="3.11")


def test_as_of_without_upload_times_is_explained() -> None:
    with pytest.raises(ResolutionError) as caught:
        choose_sdist("a", {"a-1.tar.gz": listed()}, python_version="3.11", as_of=at("2030-01-01"))
    assert "upload times" in str(caught.value.hint)


def sdist(folder: Path, text: str | None, *, top: str = "a-1", kind: str = "w:gz") -> Path:
    path = folder / "a-1.tar.gz"
    with tarfile.open(path, kind) as archive:  # type: ignore[call-overload]
        for name, content in ((f"{top}/setup.py", "exit(1)"), (f"{top}/pyproject.toml", text)):
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content.encode())
                archive.addfile(member, io.BytesIO(content.encode()))
    return path


def test_without_a_build_system_the_legacy_one_holds(tmp_path: Path) -> None:
    assert read_build_system(sdist(tmp_path, None)) == LEGACY
    assert read_build_system(sdist(tmp_path, "[tool.black]\n")) == LEGACY
    assert build_requirements(sdist(tmp_path, None)) == ("setuptools>=40.8.0",)


def test_a_declared_build_system_is_read(tmp_path: Path) -> None:
    text = (
        '[build-system]\nrequires = ["flit_core<4"]\nbuild-backend = "b:x"\nbackend-path = ["."]\n'
    )
    for kind in ("w:gz", "w:xz", "w"):
        system = read_build_system(sdist(tmp_path, text, kind=kind))
        assert (system.requires, system.backend) == (("flit_core<4",), "b:x")
        assert system.backend_path == (".",)
    with zipfile.ZipFile(tmp_path / "a-1.zip", "w") as archive:
        archive.writestr("a-1/sub/pyproject.toml", "not this one")
        archive.writestr("a-1/pyproject.toml", text)
    assert read_build_system(tmp_path / "a-1.zip").backend == "b:x"


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "build-system = 1",
        "[build-system]\n",
        '[build-system]\nrequires = "setuptools"\n',
        "[build-system]\nrequires = [1]\n",
        '[build-system]\nrequires = ["not a requirement!"]\n',
        '[build-system]\nrequires = ["a @ https://example.org/a.whl"]\n',
        "[build-system]\nrequires = []\nbuild-backend = 1\n",
        '[build-system]\nrequires = []\nbackend-path = "."\n',
    ],
)
def test_a_wrong_build_system_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BuildError, match=r"pyproject\.toml of a-1\.tar\.gz is not valid"):
        read_build_system(sdist(tmp_path, text))


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "zip"])
def test_a_damaged_sdist_is_refused(tmp_path: Path, damage: str) -> None:
    path = sdist(tmp_path, "# " + "x" * 5000 + str(random.Random(1).random()))
    data = path.read_bytes()
    content = {"empty": b"", "garbage": b"\x1f\x8b" + b"x" * 99, "truncated": data[:60]}
    path.write_bytes(content.get(damage, b"PK\x03\x04" + b"x" * 99))
    with pytest.raises(BuildError, match="cannot be read as an sdist"):
        read_build_system(path)


def test_a_huge_pyproject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError, match="1 MiB"):
        read_build_system(sdist(tmp_path, "#" * ((1 << 20) + 1)))
