"""What a repository looks like on a real disk: links, modes, things that are no files."""

import os
from pathlib import Path

import pytest

from hps_server.listing import backends_of, read_listing
from hps_server.repository import Entry, Kind


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "m" / "1" / "deep" / "deeper").mkdir(parents=True)
    (folder / "m" / "1" / "model.py").write_text("x")
    (folder / "m" / "config.pbtxt").write_text('backend: "python"')
    return folder


def test_three_levels_and_the_configurations(repository: Path) -> None:
    found = read_listing(repository)
    assert dict(found.entries) == {
        "m": Entry(Kind.DIRECTORY),
        "m/1": Entry(Kind.DIRECTORY),
        "m/1/deep": Entry(Kind.DIRECTORY),
        "m/1/model.py": Entry(Kind.FILE, size=1),
        "m/config.pbtxt": Entry(Kind.FILE, size=17),
    }
    assert dict(found.configs) == {"m": 'backend: "python"'}


def test_the_repository_itself_may_be_a_link(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("models")
    assert read_listing(tmp_path / "current") == read_listing(repository)


def test_links_are_followed_inside_and_named_outside(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (repository / "alias").symlink_to("m")
    (repository / "m" / "2").symlink_to("1")
    (repository / "m" / "3").symlink_to(tmp_path)
    (repository / "m" / "1" / "weights").symlink_to("../../../secret")
    (repository / "m" / "1" / "gone").symlink_to("nowhere")
    (repository / "m" / "1" / "self").symlink_to("self")
    (repository / "m" / "1" / "up").symlink_to("..")
    (repository / "m" / "root").symlink_to("../..")
    entries = read_listing(repository).entries
    assert entries["alias/1/model.py"].kind is Kind.FILE
    assert entries["m/2/model.py"].kind is Kind.FILE
    assert entries["m/3"] == Entry(Kind.OUTSIDE, target=str(tmp_path))
    assert entries["m/1/weights"] == Entry(Kind.OUTSIDE, target=str(tmp_path / "secret"))
    assert entries["m/root"].kind is Kind.OUTSIDE
    assert entries["m/1/gone"].kind is Kind.DANGLING
    assert entries["m/1/self"].kind is Kind.LOOP
    assert entries["m/1/up"].kind is Kind.LOOP


def test_what_is_neither_file_nor_directory(repository: Path) -> None:
    os.mkfifo(repository / "m" / "1" / "pipe")
    assert read_listing(repository).entries["m/1/pipe"].kind is Kind.SPECIAL


def test_a_name_that_is_no_utf8_and_a_configuration_that_is_no_text(repository: Path) -> None:
    (repository / os.fsdecode(b"\xff")).mkdir()
    (repository / "m" / "config.pbtxt").write_bytes(b"\xff\xfe\x00")
    found = read_listing(repository)
    assert found.entries["\udcff"].kind is Kind.DIRECTORY
    assert found.configs["m"].startswith("�")


@pytest.mark.parametrize("make", ["nothing", "file"])
def test_what_cannot_be_listed_is_an_error(tmp_path: Path, make: str) -> None:
    if make == "file":
        (tmp_path / "models").write_text("x")
    with pytest.raises(OSError, match="models"):
        read_listing(tmp_path / "models")


def test_backends_are_libraries_or_python_files(tmp_path: Path) -> None:
    for path in ("python/libtriton_python.so", "vllm/model.py", "other/README"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    assert backends_of(tmp_path) == {"python", "vllm"}
    assert backends_of(tmp_path / "missing") == frozenset()
