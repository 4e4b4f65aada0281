"""Packing: the same bytes from the same files, nothing followed, nothing half-written."""

import hashlib
import itertools
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.paths import Limits
from hps.archive.refusal import ArchiveError, Reason
from hps.archive.zip_archive import ZipArchive
from hps.digest import Digest
from hps.errors import PublishError, UsageError
from hps.model.archive import ArchiveWritten, Form, write_archive
from hps.model.archive_encoders import Encoder, gzip, plain, zstd
from hps.model.archive_zip import ZipWriter
from hps.model.extract import Top, unpack
from hps.model.packing import PackFolder
from hps.model.paths import check_path, check_paths
from tests.model.test_extract import MODEL, on_disk, staging

# What a model packs to, in every year and on every machine: no compressor is asked.
KNOWN = {
    Form.TAR: "1e19fa9bed28873cbd319baee24934fbbfa3c7951224533be1e1b92c6b975657",
    Form.TAR_GZ: "15fa214c2fab8f2a47605e09445889827ca2c896b6ad926b633fa61977170510",
    Form.ZIP: "48516c8285d35f5814aa7d493bf228af4b7da990ec527385de20c8f2b69a8b40",
}


def model(top: Path) -> Path:
    for path, data in MODEL.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o644)
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "run.sh").chmod(0o700)
    (top / "empty folder").mkdir()
    return top


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("prefix", ["", "m", "a/b"])
def test_what_is_packed_comes_out_again(tmp_path: Path, form: Form, prefix: str) -> None:
    folder, out = model(tmp_path / "m"), tmp_path / f"m.{form}"
    written = write_archive(folder, out, form=form, top=prefix)
    assert written.digest == Digest.of(out.read_bytes())
    assert written.size == out.stat().st_size
    target = staging(tmp_path)
    found = unpack(out, target, top=Top(prefix) if prefix else None)
    assert found == written.files
    assert {one.path: one.mode for one in found} == dict.fromkeys(MODEL, 0o644) | {"run.sh": 0o755}
    assert on_disk(target) == MODEL | {"run.sh": b"#!/bin/sh\n"}
    assert (target / "empty folder").is_dir()
    assert [path.name for path in tmp_path.iterdir() if ".partial" in path.name] == []


@pytest.mark.parametrize("form", KNOWN)
def test_the_bytes_are_known(tmp_path: Path, form: Form) -> None:
    written = write_archive(model(tmp_path / "m"), tmp_path / "x", form=form)
    assert written.digest.hex == KNOWN[form]


@pytest.mark.parametrize("form", Form)
def test_nothing_but_the_files_counts(tmp_path: Path, form: Form) -> None:
    """Not umask, locale, time, order of making, owner, further bits, nor what was there before."""
    one = write_archive(model(tmp_path / "one"), tmp_path / "a", form=form)
    other = tmp_path / "other"
    program = (
        "import sys, time, pathlib; from hps.model.archive import *;"
        "write_archive(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), form=Form(sys.argv[3]))"
    )
    for path in sorted(MODEL, reverse=True):
        place = other / path
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        place.write_bytes(MODEL[path])
        place.chmod(0o606)
        os.utime(place, (5, 5))
    (other / "empty folder").mkdir()
    (other / "run.sh").write_bytes(b"#!/bin/sh\n")
    (other / "run.sh").chmod(0o4755)
    (tmp_path / "b").write_bytes(b"older")
    environment = os.environ | {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, "-c", program, other, tmp_path / "b", form],
        env=environment,
        umask=0o077,
        check=True,
    )
    assert Digest.of((tmp_path / "b").read_bytes()) == one.digest


def test_others_read_what_is_packed(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    for form in (Form.TAR, Form.TAR_GZ):
        write_archive(folder, tmp_path / form, form=form, top="m")
        with tarfile.open(tmp_path / form) as archive:
            files = {one.name: one for one in archive if one.isreg()}
            assert {name.removeprefix("m/") for name in files} == {*MODEL, "run.sh"}
            assert {(one.uid, one.gid, one.mtime) for one in files.values()} == {(0, 0, 315532800)}
    write_archive(folder, tmp_path / "zip", form=Form.ZIP)
    with zipfile.ZipFile(tmp_path / "zip") as packed:
        assert packed.testzip() is None
        assert {one for one in packed.namelist() if not one.endswith("/")} == {*MODEL, "run.sh"}
    for command in (["tar", "-tf", "tar"], ["tar", "-tzf", "tar.gz"], ["gzip", "-t", "tar.gz"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("link", Reason.LINK),
        ("dangling", Reason.LINK),
        ("folder-link", Reason.LINK),
        ("pipe", Reason.SPECIAL),
        ("newline", Reason.NAME_CONTROL),
        ("latin", Reason.NAME_ENCODING),
        ("case", Reason.COLLISION),
        ("backslash", Reason.NAME_BACKSLASH),
        ("empty", Reason.EMPTY),
    ],
)
def test_what_no_model_holds_is_not_packed(tmp_path: Path, harm: str, reason: Reason) -> None:
    folder = tmp_path / "m"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x").write_bytes(b"1")
    if harm == "link":
        (folder / "sub" / "l").symlink_to("x")
    elif harm == "dangling":
        (folder / "l").symlink_to("/nothing/there")
    elif harm == "folder-link":
        (folder / "l").symlink_to("/etc")
    elif harm == "pipe":
        os.mkfifo(folder / "p")
    elif harm == "empty":
        (folder / "sub" / "x").unlink()
    else:
        names = {"newline": b"a\nb", "latin": b"\xfc", "case": b"SUB", "backslash": b"a\\b"}
        (folder / os.fsdecode(names[harm])).write_bytes(b"2")
    out = tmp_path / "out.tar"
    out.write_bytes(b"before")
    for form in Form:
        with pytest.raises(ArchiveError) as raised:
            write_archive(folder, out, form=form)
        assert raised.value.reason is reason
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "out.tar"]


@pytest.mark.parametrize("harm", ["grow", "shrink", "touch", "replace", "add", "remove", "pipe"])
def test_a_folder_that_changes_is_not_packed(tmp_path: Path, harm: str) -> None:
    folder = model(tmp_path / "m")
    with PackFolder(folder) as source:
        listing = source.listing()
        source.check_unchanged(listing)
        place = folder / "empty"
        if harm == "grow":
            place.write_bytes(b"x")
        elif harm == "shrink":
            (place := folder / "inference.pdmodel").write_bytes(b"")
        elif harm == "touch":
            os.utime(place, ns=(1, 1))
        elif harm == "add":
            (folder / "new").touch()
        else:
            place.unlink()
            if harm == "replace":
                place.write_bytes(b"")
            elif harm == "pipe":
                os.mkfifo(place)
        with pytest.raises(ArchiveError) as raised:
            source.check_unchanged(listing)
        assert raised.value.reason in {Reason.CHANGED, Reason.SPECIAL}
        if harm not in {"add", "remove"}:
            (listed,) = [one for one in listing if one.path == place.name]
            with pytest.raises(ArchiveError, match="changed"):
                list(source.content(listed))


def test_places_that_cannot_be(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    for out in (folder / "out.tar", folder / "sub" / "out.tar", folder):
        with pytest.raises(UsageError, match="would lie in"):
            write_archive(folder, out, form=Form.TAR)
    with pytest.raises(UsageError, match="cannot be read"):
        write_archive(tmp_path / "nothing", tmp_path / "x", form=Form.TAR)
    with pytest.raises(PublishError, match="cannot be written"):
        write_archive(folder, tmp_path / "no" / "x", form=Form.TAR)
    with pytest.raises(ArchiveError, match="unsafe name"):
        write_archive(folder, tmp_path / "x", form=Form.TAR, top="../m")


def _is_path(text: str) -> bool:
    try:
        check_path(text)
    except ValueError:
        return False
    return True


PART = st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1, max_size=20)
PATHS = st.lists(PART, min_size=1, max_size=4).map("/".join).filter(_is_path)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(PATHS, st.binary(max_size=2000), min_size=1, max_size=6), st.data())
def test_whatever_is_packed_comes_out_again(files: dict[str, bytes], data: st.DataObject) -> None:
    """And what a list of files lets in, both let in; but for the devices of Windows."""
    try:
        check_paths(files)
    except ValueError:
        return
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        for path, content in files.items():
            (top / "m" / path).parent.mkdir(parents=True, exist_ok=True)
            (top / "m" / path).write_bytes(content)
        form = data.draw(st.sampled_from(Form))
        try:
            written = write_archive(top / "m", top / "out", form=form)
        except ArchiveError as error:
            if error.reason is not Reason.NAME_RESERVED:
                raise
            return
        (top / "s").mkdir(mode=0o700)
        assert unpack(top / "out", top / "s") == written.files
        assert on_disk(top / "s") == files


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300_000), max_size=8), st.data())
def test_encoders_do_not_see_where_pieces_end(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    for encoder, decode in ((plain, bytes), (gzip, _gunzip), (zstd, None)):
        one = _encoded(encoder(), parts)
        assert one == _encoded(encoder(), [whole])
        if decode is not None:
            assert decode(one) == whole


def _gunzip(data: bytes) -> bytes:
    return zlib.decompress(data, 31)


def _encoded(encoder: Encoder, parts: list[bytes]) -> bytes:
    next(encoder)
    return b"".join(encoder.send(part) for part in parts) + encoder.send(None)


def test_a_zip_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    """Zeros are left out of the disk; what is written around them is what counts."""
    path, zeros = tmp_path / "x.zip", bytes(1 << 20)
    with path.open("wb") as file:

        def write(data: bytes) -> None:
            if data is zeros:
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)

        made = ZipWriter(write)
        made.file("large", 0o644, 5 << 30, 0, itertools.repeat(zeros, 5 << 10))
        made.file("behind", 0o755, 1, zlib.crc32(b"x"), [b"x"])
        made.finish()
    limits = Limits(ratio=1 << 20)
    members = {one.name: one for one in ZipArchive(path, "x.zip", limits).members}
    assert (members["large"].size, members["behind"].size) == (5 << 30, 1)
    assert members["behind"].start > 5 << 30
    with zipfile.ZipFile(path) as packed:
        assert packed.read("behind") == b"x"
        assert packed.getinfo("large").file_size == 5 << 30


def test_a_zip_of_more_than_65535_files(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with path.open("wb") as file:

        def write(data: bytes) -> None:
            file.write(data)

        made = ZipWriter(write)
        for number in range(70_000):
            made.file(f"{number}", 0o644, 0, 0, [])
        made.finish()
    assert len(ZipArchive(path, "x.zip").members) == 70_000
    with zipfile.ZipFile(path) as packed:
        assert len(packed.infolist()) == 70_000


def test_what_is_written_says_what_it_is(tmp_path: Path) -> None:
    written = write_archive(model(tmp_path / "m"), tmp_path / "x", form=Form.TAR)
    assert isinstance(written, ArchiveWritten)
    (labels,) = [one for one in written.files if one.path == "sub/deeper/labels.txt"]
    assert labels.digest.hex == hashlib.sha256(MODEL["sub/deeper/labels.txt"]).hexdigest()
