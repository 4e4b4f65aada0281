"""The server folder of a package: what is copied is what the manifest lists, or nothing is run."""

import json
import os
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hps.build.served_package import copy_server
from hps.errors import HpsError, IntegrityError, MalformedError, StoreError, UsageError
from hps.sdk.assemble import assemble
from hps.sdk.package import ClientWheel, Ingredients
from hps.trust.authorised import AuthorisedSigner
from tests.build.models import OCR, tar_gz
from tests.faults.disks import mounted
from tests.sdk.project import CATALOGUE
from tests.trust.signed import STRANGER, policy, signer, trusting

PIPELINE = CATALOGUE["OCR"]
NAME = PIPELINE.package
MADE_OF = Ingredients(
    paddlex="3.7.2",
    environments=(),
    epoch=1_700_000_000,
    start_script=b"#!/bin/sh\n",
    configs={"OCR.yaml": OCR.encode()},
    client=ClientWheel("hps-client", "1.0", "hps_client-1.0.whl", b"wheel"),
)
MODEL = "server/model_repo/ocr/1/model.py"
Package = Callable[[Path], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package, as `hps assemble` writes it, and its archive beside it."""
    return make(tmp_path / "output")


def make(output: Path, by: AuthorisedSigner | None = None) -> Path:
    return assemble(PIPELINE, MADE_OF, output, by).folder


def archive(folder: Path) -> Path:
    """An archive of a folder as it is now."""
    path = folder.with_suffix(".tar.gz")
    with tarfile.open(path, "w:gz") as packed:
        packed.add(folder, folder.name)
    return path


def as_it_is(folder: Path) -> Path:
    return folder


both = pytest.mark.parametrize("packed", [as_it_is, archive], ids=["folder", "archive"])


def copy(package: Path, trusted: object = None, pipeline: str = "OCR") -> dict[str, bytes]:
    """The files that would be run, by path."""
    place = Path(str(package) + ".copy")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    copy_server(package, place, pipeline, trusted)  # type: ignore[arg-type] # None or a policy
    return {
        str(one.relative_to(place)): one.read_bytes() for one in place.rglob("*") if one.is_file()
    }


def fault(package: Path, **more: object) -> HpsError:
    with pytest.raises(HpsError) as found:
        copy(package, **more)  # type: ignore[arg-type] # as copy takes them
    return found.value


def server(folder: Path) -> dict[str, bytes]:
    top = folder / "server"
    return {str(one.relative_to(top)): one.read_bytes() for one in top.rglob("*") if one.is_file()}


@both
def test_what_is_copied_is_the_server_folder(folder: Path, packed: Package) -> None:
    place = packed(folder)
    expected = server(folder)
    assert copy(place) == expected
    assert {"server.sh", "package.json", "pipeline_config.yaml"} < expected.keys()
    copied = Path(f"{place}.copy")
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in copied.iterdir()}
    assert (modes["server.sh"], modes["package.json"]) == (0o755, 0o644)
    assert ".spool" not in modes


def test_the_archive_of_assemble_is_the_same(folder: Path) -> None:
    assert copy(folder.parent / f"{NAME}.tar.gz") == server(folder)


def test_what_runs_has_the_modes_of_the_manifest_whatever_the_umask_was(folder: Path) -> None:
    for one in folder.rglob("*"):
        one.chmod(0o700 if one.is_dir() else 0o600)
    copy(folder)
    copied = Path(f"{folder}.copy")
    assert stat.S_IMODE((copied / "server.sh").stat().st_mode) == 0o755


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(3 << 20))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def to_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("package.json")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


@both
@pytest.mark.parametrize(
    ("change", "got"),
    [
        (flip, "sha256:"),
        (append, "more"),
        (shorten, "bytes"),
        (Path.unlink, "no file"),
        (to_link, ""),
        (to_folder, ""),
    ],
    ids=["one bit", "longer", "shorter", "gone", "a link", "a folder"],
)
@pytest.mark.parametrize("member", [MODEL, "server/server.sh", "server/pipeline_config.yaml"])
def test_a_member_that_is_another_one_is_named(
    change: Callable[[Path], object], got: str, member: str, folder: Path, packed: Package
) -> None:
    change(folder / member)
    found = fault(packed(folder))
    assert isinstance(found, IntegrityError)
    assert found.message.endswith(f"is not what its manifest says: {member}")
    assert found.expected
    assert got in str(found.got)
    assert "hps assemble" in str(found.hint)


@both
@pytest.mark.parametrize(
    "path", ["server/sitecustomize.py", "server/model_repo/x", "server/a\nb", "server/0/link"]
)
def test_a_file_too_much_is_named(path: str, folder: Path, packed: Package) -> None:
    place = folder / path
    place.parent.mkdir(exist_ok=True)
    if place.name == "link":
        place.symlink_to("/etc")
    else:
        place.touch()
    found = fault(packed(folder))
    assert found.exit_code in {5, 6}
    assert "\n" not in found.message
    if path.isprintable() and place.name != "link":
        assert path in found.message
        assert "does not list it" in str(found.expected)


def test_the_first_wrong_member_is_named(folder: Path) -> None:
    flip(folder / "server/server.sh")
    (folder / "server/package.json").unlink()
    (folder / "server/zzz").touch()
    assert fault(folder).message.endswith("server/package.json")
    (folder / "server/aaa").touch()
    assert fault(folder).message.endswith("server/aaa")


@both
def test_what_python_leaves_is_neither_wrong_nor_run(folder: Path, packed: Package) -> None:
    expected = server(folder)
    left = (folder / MODEL).parent / "__pycache__"
    left.mkdir()
    (left / "model.cpython-311.pyc").write_bytes(b"bad")
    assert copy(packed(folder)) == expected


@both
def test_the_client_is_not_looked_at(folder: Path, packed: Package) -> None:
    """It is not run here, and servers are often copied without it."""
    shutil.rmtree(folder / "client")
    assert copy(packed(folder)) == server(folder)


@both
def test_another_pipeline(folder: Path, packed: Package) -> None:
    found = fault(packed(folder), pipeline="ts_forecast")
    assert isinstance(found, UsageError)
    assert (found.expected, found.got) == ("ts_forecast", "OCR")


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@both
def test_what_is_no_package(folder: Path, packed: Package, tmp_path: Path) -> None:
    edit(folder, pipeline=None)
    assert "names none" in str(fault(packed(folder)).got)
    edit(folder, format=2)
    assert isinstance(fault(packed(folder)), MalformedError)
    (folder / "manifest.json").write_bytes(b" " * (5 << 20))
    assert isinstance(fault(packed(folder)), IntegrityError)
    (folder / "manifest.json").unlink()
    assert "is no package" in fault(packed(folder)).message
    other = tmp_path / "note"
    other.write_bytes(tar_gz({"note": b""}))
    assert "is no package" in fault(other).message
    other.write_bytes(b"<html>" * 100)
    assert "not an archive" in fault(other).message


def test_a_folder_inside_a_package_is_told_from_one(folder: Path) -> None:
    found = fault(folder / "server")
    assert (found.exit_code, found.hint) == (2, f"name {folder}")
    assert fault(Path("/proc")).exit_code == 2  # nothing is listed before there is a manifest


def test_a_package_without_a_server(tmp_path: Path) -> None:
    found = assemble(PIPELINE, replace(MADE_OF, start_script=None), tmp_path, None)
    assert "has no server part" in fault(found.folder).message
    assert "has no server part" in fault(found.archive).message


def test_a_package_without_end(folder: Path) -> None:
    """What a manifest promises is looked at before anything is copied."""
    row = {"sha256": "0" * 64, "size": 1, "mode": "0644"}
    listed = json.loads((folder / "manifest.json").read_bytes())["members"]
    edit(folder, members=listed + [row | {"path": f"server/{number}"} for number in range(1000)])
    assert "too many files" in fault(folder).message
    edit(folder, members=[*listed, row | {"path": "server/big", "size": 2**39}])
    assert "too many bytes" in fault(folder).message


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    (folder / "server/server.sh").unlink()
    os.mkfifo(folder / "server/server.sh")
    assert "server/server.sh" in fault(folder).message


def test_a_package_that_changes_while_it_is_read(folder: Path) -> None:
    """Whatever is copied has the digest that was checked."""
    good = server(folder)
    member, ended = folder / MODEL, threading.Event()
    size = len(good[MODEL.removeprefix("server/")])

    def change() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            with member.open("r+b") as file:
                file.write(good[MODEL.removeprefix("server/")] if number % 2 else b"#" * size)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        copied, refused = [], []
        for _ in range(60):
            try:
                copied.append(copy(folder))
            except IntegrityError as error:
                refused.append(error.message)
    finally:
        ended.set()
        changing.join()
    assert all(files == good for files in copied)
    assert all(message.endswith(MODEL) for message in refused)


@both
def test_a_policy_asks_for_a_signature(tmp_path: Path, packed: Package) -> None:
    signed = make(tmp_path / "signed", signer())
    assert copy(packed(signed), trusting()) == server(signed)
    found = fault(packed(signed), trusted=trusting(STRANGER))
    assert isinstance(found, IntegrityError)
    assert any(line.startswith("key-untrusted") for line in found.details)
    edit(signed, paddlex="9")
    assert "subject-mismatch" in str(fault(packed(signed), trusted=trusting()))
    unsigned = make(tmp_path / "unsigned")
    found = fault(packed(unsigned), trusted=trusting())
    assert found.details[0].startswith("unsigned")
    assert copy(packed(unsigned), policy('unsigned = "allow"'))


def test_a_signature_does_not_make_other_bytes_good(tmp_path: Path) -> None:
    signed = make(tmp_path / "signed", signer())
    flip(signed / MODEL)
    assert fault(signed, trusted=trusting()).message.endswith(MODEL)


def test_a_full_disk_is_told(folder: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "16k") as disk:
        place = disk / "place"
        place.mkdir()
        with pytest.raises(StoreError, match=r"cannot be (written|unpacked)"):
            copy_server(folder, place, "OCR", None)
        shutil.rmtree(place)
        place.mkdir()
        with pytest.raises(StoreError):
            copy_server(folder.parent / f"{NAME}.tar.gz", place, "OCR", None)
