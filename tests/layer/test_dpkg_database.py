"""dpkg's database: dpkg itself must find nothing to complain about."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from hps.errors import UnsafeArchiveError
from hps.layer.deb_layer import deb_entries
from tests.layer.packages import Part, by_path, content, downloaded, folder, make_deb, write_out

EXCLUDE = ("/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/lintian")


def dpkg(root: Path, *arguments: str) -> str:
    # dpkg looks for ldconfig, which is in no user's PATH, and logs to the machine's /var/log.
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(
        ["dpkg", f"--root={root}", "--log=/dev/null", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two packages made by hand, one of them Multi-Arch: same and without md5sums."""
    one = make_deb(
        tmp_path,
        "libfoo1",
        [
            folder("./"), folder("./etc/"), Part("./etc/foo.conf", b"a=1\n"),
            folder("./lib/"), Part("./lib/libfoo.so.1", b"elf", 0o644),
        ],
        extra={
            "conffiles": b"/etc/foo.conf\n", "triggers": b"# by hand\nactivate-noawait ldconfig\n",
        },
        Multi_Arch="same",
        Source="foo (1.0)",
    )  # fmt: skip
    two = make_deb(
        tmp_path,
        "libc-bin",
        [folder("./"), folder("./usr/"), folder("./usr/share/"), Part("./usr/share/x", b"x")],
        extra={
            "md5sums": b"9dd4e461268c8034f5c8564e155c67a6  usr/share/x\n",
            "postinst": b"#!/bin/sh\nexit 1\n",
            "triggers": b"interest-noawait /usr/lib\ninterest   ldconfig\n",
        },
    )  # fmt: skip
    (tmp_path / "spool").mkdir()
    root = tmp_path / "root"
    write_out(deb_entries([one, two], spool=tmp_path / "spool"), root)
    return root


def test_dpkg_lists_finds_and_verifies(root: Path) -> None:
    rows = [line.split() for line in dpkg(root, "-l").splitlines() if line.startswith("ii")]
    assert [row[1:4] for row in rows] == [
        ["libc-bin", "1.0", "amd64"], ["libfoo1:amd64", "1.0", "amd64"],
    ]  # fmt: skip
    assert dpkg(root, "-L", "libfoo1").split() == [
        "/.", "/etc", "/etc/foo.conf", "/lib", "/lib/libfoo.so.1",
    ]  # fmt: skip
    assert dpkg(root, "-S", "/lib/libfoo.so.1") == "libfoo1:amd64: /lib/libfoo.so.1\n"
    assert dpkg(root, "--verify") == ""
    assert dpkg(root, "--audit") == ""


def test_dpkg_sees_a_changed_file_and_a_changed_conffile(root: Path) -> None:
    (root / "usr/lib/libfoo.so.1").write_bytes(b"evil")
    (root / "etc/foo.conf").write_bytes(b"a=2\n")
    (root / "usr/share/x").unlink()
    done = subprocess.run(
        ["dpkg", f"--root={root}", "--verify"], capture_output=True, text=True, check=False
    )
    assert {line.split()[-1] for line in done.stdout.splitlines()} == {
        "/usr/share/x",
        "/etc/foo.conf",
        "/lib/libfoo.so.1",
    }


def test_status_and_triggers_are_as_dpkg_writes_them(root: Path) -> None:
    admin = root / "var/lib/dpkg"
    status = (admin / "status").read_text()
    assert status.count("\nStatus: install ok installed\n") == 2
    md5 = hashlib.md5(b"a=1\n").hexdigest()
    assert f"\nConffiles:\n /etc/foo.conf {md5}\n" in status
    assert (admin / "triggers/File").read_text() == "/usr/lib libc-bin/noawait\n"
    assert (admin / "triggers/ldconfig").read_text() == "libc-bin\n"
    assert (admin / "info/libc-bin.postinst").stat().st_mode & 0o111
    assert not (admin / "info/libfoo1:amd64.control").exists()
    assert (admin / "info/format").read_text() == "1\n"


def test_dpkg_can_go_on_from_here(root: Path, tmp_path: Path) -> None:
    """A derived image installs further packages with dpkg."""
    more = make_deb(tmp_path, "more", [folder("./"), folder("./usr/"), Part("./usr/m", b"m")])
    alone = ("--force-script-chrootless", "--force-not-root")  # these tests need no root
    assert "Setting up more" in dpkg(root, *alone, "-i", str(more.path))
    assert (root / "usr/m").read_bytes() == b"m"
    assert "/usr/m\n" in dpkg(root, "-L", "more")


@pytest.mark.parametrize("name", ["../../../etc/cron.d/x", "a/b", "..", "", "a b"])
def test_a_trigger_name_that_would_leave_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    deb = make_deb(tmp_path, "foo", extra={"triggers": f"interest {name}\n".encode()})
    with pytest.raises(UnsafeArchiveError, match="unsafe trigger"):
        deb_entries([deb], spool=tmp_path)


@pytest.mark.network
def test_real_packages_against_dpkg_deb_and_dpkg(tmp_path: Path) -> None:
    debs = downloaded(
        tmp_path / "debs",
        "base-files",
        "libc-bin",
        "libc6",
        "mawk",
        "gzip",
        "zlib1g",
        "sed",
        "bash",
    )
    (tmp_path / "spool").mkdir()
    entries = by_path(deb_entries(debs, spool=tmp_path / "spool"))
    expected = tmp_path / "expected"
    # base-files alone ships folders that are links here, so the links are made first.
    for path, entry in entries.items():
        if entry.owner == "base-files" and path in {"bin", "sbin", "lib", "lib64"}:
            (expected / entry.link).mkdir(parents=True)
            (expected / path).symlink_to(entry.link)
    for deb in debs:
        out = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb.path], stdout=subprocess.PIPE)
        with out:
            subprocess.run(
                ["tar", "-x", "--keep-directory-symlink", "-C", expected],
                stdin=out.stdout,
                check=True,
            )
    seen = 0
    for path, entry in entries.items():
        place = expected / path
        if path.startswith(("var/lib/dpkg/", "run", "var/run", "var/lock")):
            continue
        seen += 1
        if entry.kind == "symlink":
            assert str(place.readlink()) == entry.link
        elif entry.kind == "directory":
            assert place.is_dir()
            assert not place.is_symlink()
        else:
            assert content(entry) == place.read_bytes(), path
            assert entry.executable == bool(place.stat().st_mode & 0o100)
    assert seen > 600
    missing = [
        path
        for place in expected.rglob("*")
        if (path := str(place.relative_to(expected))) not in entries
    ]
    assert set(missing) <= {"run", "var/run", "var/lock", "var/lib/dpkg"}


@pytest.mark.network
def test_dpkg_is_content_with_real_packages_and_things_left_out(tmp_path: Path) -> None:
    debs = downloaded(tmp_path / "debs", "base-files", "libc-bin", "mawk", "zlib1g", "gzip")
    (tmp_path / "spool").mkdir()
    root = tmp_path / "root"
    write_out(deb_entries(debs, spool=tmp_path / "spool", exclude=EXCLUDE), root)
    assert dpkg(root, "--verify") == ""
    assert dpkg(root, "--audit") == ""
    names = [line.split()[1] for line in dpkg(root, "-l").splitlines() if line.startswith("ii")]
    assert names == ["base-files", "gzip", "libc-bin", "mawk", "zlib1g:amd64"]
    assert "usr/share/doc/mawk/copyright" in dpkg(root, "-L", "mawk")
    assert "/usr/share/man" not in dpkg(root, "-L", "mawk")
    assert (root / "usr/share/doc/mawk/copyright").is_file()
