"""One Debian package, read as dpkg-deb reads it."""

import subprocess
from pathlib import Path

import pytest

from hps.archive.paths import Limits
from hps.errors import UnsafeArchiveError
from hps.layer.deb import control, control_archive, data_members
from tests.layer.packages import PACK, Part, ar_bytes, control_text, folder, make_deb, tar_bytes

POSTINST = b"#!/bin/sh\nset -e\nldconfig\n"


@pytest.mark.parametrize("suffix", PACK)
def test_every_compression(tmp_path: Path, suffix: str) -> None:
    parts = [folder("./"), folder("./etc/"), Part("./etc/x.conf", b"a=1\n")]
    extra = {
        "md5sums": b"aa0bb1  usr/bin/x\n",
        "conffiles": b"/etc/x.conf\nremove-on-upgrade /etc/old\n",
        "postinst": POSTINST,
    }
    deb = make_deb(tmp_path, "foo", parts, suffix=suffix, extra=extra, Depends="libc6")
    archive = control_archive(deb.path)
    assert archive.name == "foo"
    assert archive.fields["Depends"] == "libc6"
    assert archive.fields["Description"] == "made for a test\n more of it"
    assert archive.md5sums == {"usr/bin/x": "aa0bb1"}
    assert archive.conffiles == ("etc/x.conf",)
    assert archive.scripts == {"postinst": POSTINST.decode()}
    with data_members(deb.path, Limits()) as members:
        assert [(member.path, member.kind) for member in members] == [
            ("", "directory"), ("etc", "directory"), ("etc/x.conf", "file"),
        ]  # fmt: skip


def test_the_same_fields_as_dpkg_deb(tmp_path: Path) -> None:
    tree = tmp_path / "tree" / "DEBIAN"
    tree.mkdir(parents=True)
    (tree / "control").write_bytes(control_text("foo", "1:2.0-3", Replaces="bar (<< 2), baz"))
    subprocess.run(["dpkg-deb", "-b", str(tree.parent), "x.deb"], cwd=tmp_path, check=True)
    fields = control(tmp_path / "x.deb")
    for name in ("Package", "Version", "Replaces", "Description"):
        said = subprocess.check_output(["dpkg-deb", "-f", "x.deb", name], cwd=tmp_path, text=True)
        assert fields[name] == said.rstrip("\n")


def test_names_that_are_not_utf8_survive_in_fields(tmp_path: Path) -> None:
    deb = make_deb(tmp_path, "foo", extra={"control": control_text("foo") + b"X-Who: J\xf6rg\n"})
    assert control(deb.path)["X-Who"].encode("utf-8", "surrogateescape") == b"J\xf6rg"


CONTROL = ("control.tar", tar_bytes([Part("control", control_text("foo"))]))
DATA = ("data.tar", tar_bytes([]))
VERSION = ("debian-binary", b"2.0\n")


def odd_control(text: bytes) -> list[tuple[str, bytes]]:
    return [VERSION, ("control.tar", tar_bytes([Part("control", text)])), DATA]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "not a Debian package"),
        ([VERSION, CONTROL], "not a Debian package"),
        ([VERSION, DATA, CONTROL], "not a Debian package"),
        ([("debian-binary", b"3.0\n"), CONTROL, DATA], "format 2"),
        ([VERSION, ("control.tar.lz4", b""), DATA], "compressed in a way"),
        ([VERSION, ("control.tar.xz", CONTROL[1]), DATA], "damaged"),
        ([VERSION, ("control.tar", b""), DATA], "damaged"),
        ([VERSION, ("control.tar", CONTROL[1][:700]), DATA], "damaged"),
        ([VERSION, ("control.tar", tar_bytes([Part("md5sums")])), DATA], "no control file"),
        ([VERSION, ("control.tar", tar_bytes([Part("a/b")])), DATA], "odd control member"),
        ([VERSION, ("control.tar", tar_bytes([Part("x"), Part("./x")])), DATA], "odd control"),
        (odd_control(b"Package: foo\nnot a field\n"), "damaged control file"),
        (odd_control(b" starts: with a blank\n"), "damaged control file"),
        (odd_control(b"Package: foo\nPackage: bar\n"), "damaged control file"),
        (odd_control(b"Package: foo\nVersion: 1\n"), "without a valid Architecture"),
        (odd_control(control_text("../../etc/x")), "without a valid Package"),
        (odd_control(control_text("foo", "1 ../..")), "without a valid Version"),
        (odd_control(b""), "damaged control file"),
    ],
)
def test_what_is_no_package_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], words: str
) -> None:
    path = tmp_path / "foo.deb"
    path.write_bytes(ar_bytes(members))
    with pytest.raises(UnsafeArchiveError, match=words) as raised:
        control(path)
    assert "foo.deb" in raised.value.message


def test_members_with_an_underscore_are_skipped(tmp_path: Path) -> None:
    """deb(5): a program that finds unknown members named so must ignore them."""
    path = tmp_path / "foo.deb"
    path.write_bytes(ar_bytes([VERSION, ("_gpgorigin", b"x"), CONTROL, DATA, ("more", b"")]))
    assert control(path)["Package"] == "foo"


def test_every_cut_of_a_package_is_noticed(tmp_path: Path) -> None:
    whole = make_deb(tmp_path, "foo", [Part("./usr/bin/x", b"content" * 900)]).path.read_bytes()
    cut = tmp_path / "cut.deb"

    def read_all() -> None:
        control_archive(cut)
        with data_members(cut, Limits()) as members:
            for member in members:
                if member.reader is not None:
                    member.reader.read()

    for size in range(0, len(whole) - 1, 37):
        cut.write_bytes(whole[:size])
        with pytest.raises(UnsafeArchiveError):
            read_all()
