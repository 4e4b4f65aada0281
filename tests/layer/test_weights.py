"""Weights in archives and folders: what is let in, and what none may hold."""

import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hps.archive.paths import Limits
from hps.errors import BuildError, StoreError, UnsafeArchiveError
from hps.layer.weights import LIMITS, Contents, archive_contents, check_layout, folder_contents
from tests.build.models import link, model, official, packed_zip, tar, tar_gz, write_model
from tests.faults.disks import mounted

NAME = "PP-LCNet_x0_5"
FILES = model(NAME)


def read(folder: Path, data: bytes, limits: Limits = LIMITS) -> Contents:
    path, spool = folder / "archive", folder / "spool"
    path.write_bytes(data)
    spool.mkdir()
    return archive_contents(path, "model.tar", NAME, spool, limits)


def digests(contents: Contents) -> dict[str, str]:
    return {one.path: one.digest.hex for one in contents.files}


EXPECTED = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}


@pytest.mark.parametrize(
    "data",
    [official(NAME), tar_gz(FILES, "x"), packed_zip(FILES, "x")],
    ids=["tar", "tar.gz", "zip"],
)
def test_an_archive_with_one_folder_loses_it(data: bytes, tmp_path: Path) -> None:
    contents = read(tmp_path, data)
    assert digests(contents) == EXPECTED
    assert contents.root in {f"{NAME}_infer", "x"}
    assert contents.description == FILES["inference.yml"]
    assert [one.size for one in contents.files] == [len(FILES[path]) for path in sorted(FILES)]


@pytest.mark.parametrize("data", [tar(FILES), packed_zip(FILES)], ids=["tar", "zip"])
def test_files_at_the_top_stay_there(data: bytes, tmp_path: Path) -> None:
    contents = read(tmp_path, data)
    assert (contents.root, digests(contents)) == ("", EXPECTED)


def test_folders_below_stay_and_droppings_of_desktops_do_not(tmp_path: Path) -> None:
    files = {f"m/{path}": data for path, data in FILES.items()}
    files |= {"m/extra/words.txt": b"a", "__MACOSX/m/x": b"", "._m": b"", "m/.DS_Store": b""}
    contents = read(tmp_path, tar(files))
    assert contents.root == "m"
    assert digests(contents).keys() == {*FILES, "extra/words.txt"}


def test_a_folder_of_the_project_is_read_alike(tmp_path: Path) -> None:
    write_model(tmp_path / "m", NAME)
    assert digests(folder_contents(tmp_path / "m", NAME)) == EXPECTED


HOSTILE = {
    "a symbolic link inside": [link(f"{NAME}_infer/a", "inference.yml")],
    "a symbolic link out": [link(f"{NAME}_infer/a", "../../../etc/passwd")],
    "an absolute link": [link("a", "/etc/passwd")],
    "a hard link to nothing": [link("a", "b", tarfile.LNKTYPE)],
    "a device": [link("null", "", tarfile.CHRTYPE)],
    "a pipe": [link("pipe", "", tarfile.FIFOTYPE)],
    "a way out": [tarfile.TarInfo("../evil")],
    "a way out below": [tarfile.TarInfo(f"{NAME}_infer/../../evil")],
    "an absolute name": [tarfile.TarInfo("/etc/cron.d/evil")],
    "a name twice": [tarfile.TarInfo(f"{NAME}_infer/inference.yml")],
    "a file below a file": [tarfile.TarInfo(f"{NAME}_infer/inference.yml/evil")],
    "a control character": [tarfile.TarInfo("a\nb")],
}


@pytest.mark.parametrize("extra", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_tar_is_refused(extra: Sequence[tarfile.TarInfo], tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchiveError) as caught:
        read(tmp_path, tar(FILES, f"{NAME}_infer", extra))
    assert caught.value.exit_code == 6
    assert "model.tar" in str(caught.value) or "unsafe" in str(caught.value)


@pytest.mark.parametrize("keep", [100, 600, 2000, 4000])
@pytest.mark.parametrize("pack", [official, lambda name: tar_gz(model(name), "m")])
def test_a_truncated_archive_is_refused(pack: object, keep: int, tmp_path: Path) -> None:
    data = pack(NAME) if callable(pack) else b""
    with pytest.raises(UnsafeArchiveError):
        read(tmp_path, data[:keep])


@pytest.mark.parametrize("data", [b"", b"<html>404</html>" * 100, bytes(5000)])
def test_what_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BuildError):
        read(tmp_path, data)


def test_a_bomb_is_refused_by_what_it_says_it_holds(tmp_path: Path) -> None:
    huge = tarfile.TarInfo(f"{NAME}_infer/inference.pdiparams")
    huge.size = 2**40
    with pytest.raises(UnsafeArchiveError, match="too many bytes"):
        read(tmp_path, huge.tobuf() + bytes(1024))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many = {f"{number}.pdiparams": b"" for number in range(12)}
    with pytest.raises(UnsafeArchiveError, match="too many files"):
        read(tmp_path, tar(many), Limits(files=10))


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ([], "holds no files"),
        (["readme.txt"], "holds no weights"),
        (["inference.yml", "inference.pdiparams"], "inference.json or inference.pdmodel"),
        (["inference.json", "inference.pdiparams"], "inference.yml"),
        (["inference.json", "inference.yml"], "inference.pdiparams"),
    ],
)
def test_half_a_model_is_told(paths: list[str], told: str) -> None:
    with pytest.raises(BuildError, match=told):
        check_layout("m.tar", paths)


@pytest.mark.parametrize(
    "paths",
    [
        ["inference.yml", "inference.pdmodel", "inference.pdiparams"],
        ["inference.onnx", "inference.yml"],
        ["config.json", "model-00001-of-00002.safetensors"],
        ["assets/words", "whisper_tiny.pdparams"],
    ],
)
def test_other_layouts_of_paddlex_are_let_in(paths: list[str]) -> None:
    check_layout("m.tar", paths)


@pytest.mark.parametrize("target", ["inference.yml", "/etc/passwd", "nothing"])
def test_a_link_in_a_folder_is_refused(target: str, tmp_path: Path) -> None:
    write_model(tmp_path / "m", NAME)
    (tmp_path / "m" / "link").symlink_to(target)
    with pytest.raises(BuildError, match="link"):
        folder_contents(tmp_path / "m", NAME)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(official(NAME))
    with mounted(tmp_path / "small", "4k") as spool, pytest.raises(StoreError):
        archive_contents(tmp_path / "archive", "model.tar", NAME, spool)
