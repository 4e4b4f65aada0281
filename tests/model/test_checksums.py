"""Files as sha256sum writes them; the oracle is sha256sum itself."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Digest
from hps.model import checksums
from hps.model.release import ReleaseFile
from tests.model.releases import CONTENT, files, write

ONE = Digest.of(b"one").hex
LINE = f"{ONE}  weights/a\n".encode()


@pytest.mark.parametrize("option", [[], ["--binary"], ["--text"], ["--tag"]])
@pytest.mark.parametrize("start", ["", "./"])
def test_what_sha256sum_writes_is_read(tmp_path: Path, option: list[str], start: str) -> None:
    write(tmp_path)
    names = [start + path for path in reversed(CONTENT)]
    said = subprocess.run(
        ["sha256sum", *option, "--", *names], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert [(one.path, one.digest) for one in checksums.parse(said)] == [
        (one.path, one.digest) for one in files()
    ]


def test_what_hps_writes_sha256sum_checks(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "SHA256SUMS").write_text(checksums.text(files()), encoding="utf-8")
    run = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    assert checksums.parse(checksums.text(files()).encode()) == tuple(
        ReleaseFile(one.path, one.digest) for one in files()
    )


def test_comments_capitals_and_itself_are_passed_over() -> None:
    data = f"# model 7\n{ONE.upper()} *a\n{ONE}  SHA256SUMS\n{ONE}  model.sig\n".encode()
    assert [one.path for one in checksums.parse(data)] == ["a"]


def test_the_last_line_may_lack_its_end() -> None:
    assert checksums.parse(LINE.rstrip()) == checksums.parse(LINE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"# nothing\n",
        LINE + b"\n",
        LINE.replace(b"\n", b"\r\n"),
        LINE.replace(b"  ", b" "),
        LINE.replace(b"  ", b"\t"),
        LINE[2:],
        b"x" + LINE[1:],
        LINE + LINE,
        LINE + LINE.replace(b"weights/a", b"weights/A"),
        LINE + LINE.replace(b"weights/a", b"weights"),
        LINE + LINE.replace(b"weights/a", b"./weights/a"),
        LINE.replace(b"weights/a", b"../a"),
        LINE.replace(b"weights/a", b"/etc/passwd"),
        LINE.replace(b"weights/a", b"././a"),
        LINE.replace(b"weights/a", b"a\\b"),
        LINE.replace(b"weights/a", b"a\x1b[2J"),
        b"\\" + LINE.replace(b"weights/a", b"a\\nb"),
        b"\xef\xbb\xbf" + LINE,
        LINE.decode().encode("utf-16"),
        LINE.replace(b"weights/a", b"\xff"),
        f"MD5 (a) = {ONE}\n".encode(),
        f"SHA256 (a) = {ONE}x\n".encode(),
        f"SHA256 () = {ONE}\n".encode(),
        LINE + b"<html>",
        b" " * (checksums.LARGEST + 1),
        b"\n" * 30_000,
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        checksums.parse(data)


@given(st.binary(max_size=100) | st.binary(max_size=40).map(lambda more: LINE + more))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = checksums.parse(data)
    except ValueError:
        return
    assert len(found) <= data.count(b"\n") + 1
