"""Debian packages over a base image, decided as dpkg decides."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hps.errors import ConflictError, UnsafeArchiveError
from hps.layer.base_debs import deb_entries_over
from hps.layer.base_dpkg import BaseDpkg, paragraphs
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.entry import Entry
from tests.layer.packages import (
    Part,
    by_path,
    content,
    folder,
    hardlink,
    make_deb,
    symlink,
    write_out,
)

STATUS = "var/lib/dpkg/status"


def base_of(tmp_path: Path, *debs: LocalDeb) -> Path:
    """The unpacked base that holds these packages, with dpkg's database."""
    spool = tmp_path / "spool-base"
    spool.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    write_out(deb_entries(list(debs), spool=spool), root)
    return root


def over(
    tmp_path: Path, root: Path, *debs: LocalDeb, exclude: Sequence[str] = ()
) -> Mapping[str, Entry]:
    spool = tmp_path / f"spool-{len(list(tmp_path.iterdir()))}"
    spool.mkdir()
    return by_path(deb_entries_over(list(debs), root, spool=spool, exclude=exclude))


def deb(tmp_path: Path, name: str, *parts: Part, version: str = "1.0", **fields: str) -> LocalDeb:
    place = tmp_path / f"{name}-{version}-{fields.get('Architecture', '')}"
    place.mkdir()
    extra = fields.pop("conffiles", None)
    files = {"conffiles": extra.encode()} if extra else {}
    return make_deb(place, name, list(parts), version=version, extra=files, **fields)


def status(entries: Mapping[str, Entry]) -> dict[str, str]:
    text = content(entries[STATUS]).decode()
    return {one.name: one.text for one in paragraphs(text, STATUS)}


def test_a_new_package_comes_with_its_records(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "old", folder("usr/"), Part("usr/old", b"1")))
    found = over(tmp_path, root, deb(tmp_path, "new", folder("usr/"), Part("usr/new", b"2")))
    assert content(found["usr/new"]) == b"2"
    assert "usr" not in found  # a folder that is there keeps its mode and owner
    assert content(found["var/lib/dpkg/info/new.list"]) == b"/.\n/usr\n/usr/new\n"
    assert list(status(found)) == ["old", "new"]
    before = (root / STATUS).read_text()
    assert content(found[STATUS]).decode().startswith(before)
    assert "var/lib/dpkg/info/format" not in found


def test_a_newer_version_takes_the_place_of_the_older(tmp_path: Path) -> None:
    old = [folder("usr/"), folder("usr/lib/"), folder("usr/lib/a/"), folder("usr/lib/a/deep/")]
    root = base_of(
        tmp_path,
        deb(tmp_path, "aa", *old, Part("usr/lib/a/kept", b"1"), Part("usr/lib/a/deep/gone", b"1")),
        deb(tmp_path, "bb", *old[:3], Part("usr/lib/a/shared", b"b")),
    )
    new = deb(tmp_path, "aa", *old[:3], Part("usr/lib/a/kept", b"2"), version="2.0")
    found = over(tmp_path, root, new)
    assert content(found["usr/lib/a/kept"]) == b"2"
    assert "usr/lib/a/.wh.deep" in found  # the topmost of what is gone
    assert not [path for path in found if path.startswith("usr/lib/a/deep/")]
    assert "Version: 2.0" in status(found)["aa"]
    assert list(status(found)) == ["aa", "bb"]  # where the older one stood


def test_a_folder_that_others_use_stays(tmp_path: Path) -> None:
    shared = [folder("srv/"), folder("srv/x/")]
    root = base_of(
        tmp_path,
        deb(tmp_path, "aa", *shared, Part("srv/x/a")),
        deb(tmp_path, "bb", *shared, Part("srv/x/b")),
    )
    (root / "srv/x/unowned").touch()
    found = over(tmp_path, root, deb(tmp_path, "aa", version="2.0"))
    assert "srv/x/.wh.a" in found
    assert "srv/.wh.x" not in found


def test_a_folder_with_what_nobody_owns_stays(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", folder("srv/"), folder("srv/x/"), Part("srv/x/a")))
    (root / "srv/x/unowned").touch()
    found = over(tmp_path, root, deb(tmp_path, "aa", version="2.0"))
    assert "srv/x/.wh.a" in found
    assert ".wh.srv" not in found
    assert "srv/.wh.x" not in found


def test_what_moves_to_another_package_does_not_go(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1"), Part("y", b"1")))
    found = over(
        tmp_path,
        root,
        deb(tmp_path, "aa", Part("y", b"2"), version="2.0"),
        deb(tmp_path, "aa-data", Part("x", b"2"), Replaces="aa (<< 2)"),
    )
    assert content(found["x"]) == b"2"
    assert ".wh.x" not in found


def test_a_package_that_replaces_wins_the_path_of_one_of_the_base(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1"), Part("y", b"1")))
    found = over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2"), Replaces="aa"))
    assert content(found["x"]) == b"2"
    assert content(found["var/lib/dpkg/info/aa.list"]) == b"/.\n/y\n"
    assert b" x\n" not in content(found["var/lib/dpkg/info/aa.md5sums"])


def test_a_package_of_the_base_that_replaces_keeps_its_path(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1"), Replaces="bb"))
    found = over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2"), Part("z")))
    assert "x" not in found
    assert content(found["var/lib/dpkg/info/bb.list"]) == b"/.\n/z\n"


def test_two_packages_and_one_path(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1")))
    with pytest.raises(ConflictError, match=r"aa .of the base image. and bb both bring /x"):
        over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2")))


def test_what_nobody_owns_gives_way(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa"))
    (root / "x").write_text("somebody's")
    assert content(over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2")))["x"]) == b"2"


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", folder("x/")))
    with pytest.raises(ConflictError, match="a folder in the base"):
        over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2")))
    found = over(tmp_path, root, deb(tmp_path, "cc", symlink("x", "y")))
    assert "x" not in found  # dpkg keeps the folder too


def test_folders_that_are_links_lead_on(tmp_path: Path) -> None:
    """A merged /usr, and a link of the image's own making."""
    root = base_of(tmp_path, deb(tmp_path, "aa", folder("bin/"), Part("bin/a", mode=0o755)))
    (root / "opt").mkdir()
    (root / "var/opt").symlink_to("/opt")
    new = deb(
        tmp_path,
        "bb",
        *(folder("bin/"), Part("bin/b", mode=0o755)),
        *(folder("var/"), folder("var/opt/"), folder("var/opt/b/"), Part("var/opt/b/file")),
        hardlink("var/opt/b/same", "var/opt/b/file"),
    )
    found = over(tmp_path, root, new)
    assert {"usr/bin/b", "opt/b", "opt/b/file", "opt/b/same"} <= found.keys()
    assert not {"bin", "bin/b", "var/opt", "var/opt/b"} & found.keys()
    listed = content(found["var/lib/dpkg/info/bb.list"]).decode().splitlines()
    assert "/bin/b" in listed  # as the package names it
    assert "/var/opt/b/file" in listed


def test_an_image_without_a_merged_usr_stays_so(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / STATUS).write_text("")
    found = over(tmp_path, root, deb(tmp_path, "aa", folder("bin/"), Part("bin/a", mode=0o755)))
    assert "bin/a" in found
    assert not {"bin", "usr/bin/a"} & found.keys()


CONFFILES = "/etc/a\n/etc/b\n/etc/c\n"


def test_configuration_files(tmp_path: Path) -> None:
    """Unchanged ones are renewed, changed and removed ones stay as they are (policy 10.7.3)."""
    parts = [folder("etc/"), *(Part(f"etc/{name}", b"1") for name in "abc")]
    root = base_of(tmp_path, deb(tmp_path, "pp", *parts, conffiles=CONFFILES))
    (root / "etc/b").write_text("edited")
    (root / "etc/c").unlink()
    new = [folder("etc/"), *(Part(f"etc/{name}", b"2") for name in "abcd")]
    later = deb(tmp_path, "pp", *new, version="2.0", conffiles=CONFFILES + "/etc/d\n")
    (root / "etc/d").write_text("somebody's")
    found = over(tmp_path, root, later)
    assert content(found["etc/a"]) == b"2"
    assert not {"etc/b", "etc/c", "etc/d"} & found.keys()
    assert status(found)["pp"].count("c81e728d9d4c2f636f067f89cc14862c") == 4  # of the new ones


def test_configuration_files_of_an_older_version_stay_as_obsolete(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "pp", Part("etc/a", b"1"), conffiles="/etc/a\n"))
    found = over(tmp_path, root, deb(tmp_path, "pp", version="2.0"))
    assert "etc/.wh.a" not in found
    assert " /etc/a c4ca4238a0b923820dcc509a6f75849b obsolete" in status(found)["pp"]


def test_records_of_the_older_version_go(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "pp", Part("x"), Multi_Arch="same"))
    info = root / "var/lib/dpkg/info"
    (info / "pp:amd64.prerm").write_text("#!/bin/sh\n")
    (info / "pp-other.prerm").write_text("#!/bin/sh\n")
    found = over(tmp_path, root, deb(tmp_path, "pp", Part("x"), version="2.0"))
    gone = {path for path in found if "/info/.wh." in path}
    assert gone == {
        f"var/lib/dpkg/info/.wh.pp:amd64.{kind}" for kind in ("list", "md5sums", "prerm")
    }
    assert "var/lib/dpkg/info/pp.list" in found


def test_triggers_of_both_are_there(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa"), deb(tmp_path, "bb"))
    triggers = root / "var/lib/dpkg/triggers"
    (triggers / "File").write_text("/usr/lib aa/noawait\n/usr/share bb\n")
    (triggers / "ldconfig").write_text("aa/noawait\nbb\n")
    found = over(tmp_path, root, deb(tmp_path, "bb", version="2.0"))
    assert content(found["var/lib/dpkg/triggers/File"]) == b"/usr/lib aa/noawait\n"
    assert content(found["var/lib/dpkg/triggers/ldconfig"]) == b"aa/noawait\n"


def test_a_diversion_leads_elsewhere(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "dash"))
    (root / "var/lib/dpkg/diversions").write_text("/sh\n/sh.distrib\ndash\n")
    (root / "sh").write_text("of dash")
    found = over(tmp_path, root, deb(tmp_path, "other", Part("sh", b"of other")))
    assert content(found["sh.distrib"]) == b"of other"
    assert "sh" not in found


def test_a_base_without_dpkg_gets_a_database(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    found = over(tmp_path, root, deb(tmp_path, "aa", folder("usr/"), Part("usr/a")))
    assert list(status(found)) == ["aa"]
    assert "var/lib/dpkg/info/format" in found
    assert "var/lib/dpkg/triggers" in found


def test_packages_of_images_without_a_package_manager(tmp_path: Path) -> None:
    """Their paragraphs lie one by one in status.d."""
    root = tmp_path / "root"
    place = root / "var/lib/dpkg/status.d"
    place.mkdir(parents=True)
    (place / "aa").write_text("Package: aa\nVersion: 1.0\nArchitecture: amd64\n")
    (place / "aa.md5sums").write_text("x")
    base = BaseDpkg(root)
    assert list(base.installed) == ["aa"]
    assert not base.has_status
    found = over(tmp_path, root, deb(tmp_path, "aa", version="2.0"))
    gone = {path for path in found if "/.wh." in path}
    assert gone == {f"var/lib/dpkg/status.d/.wh.{name}" for name in ("aa", "aa.md5sums")}
    assert list(status(found)) == ["aa"]


def test_other_architectures_are_other_packages(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x"), Architecture="i386"))
    found = over(tmp_path, root, deb(tmp_path, "aa", Part("y")))
    assert ".wh.x" not in found
    texts = content(found[STATUS]).decode()
    assert texts.count("Package: aa\n") == 2


def test_packages_that_are_not_installed_own_nothing(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1")))
    path = root / STATUS
    path.write_text(path.read_text().replace("ok installed", "ok config-files"))
    found = over(tmp_path, root, deb(tmp_path, "bb", Part("x", b"2")))
    assert content(found["x"]) == b"2"


def test_left_out_folders_are_written_down(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa"))
    new = deb(tmp_path, "bb", folder("usr/"), folder("usr/share/"), Part("usr/share/x"))
    found = over(tmp_path, root, new, exclude=("/usr/share",))
    assert "usr/share/x" not in found
    assert b"path-exclude=/usr/share/*" in content(found["etc/dpkg/dpkg.cfg.d/hps"])


@pytest.mark.parametrize(
    "text",
    [
        "Package: aa\nStatus: install ok installed\nVersion: 1\n",  # no architecture
        "Package: ../../etc\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
        "no field\n",
        "Package: aa\nPackage: bb\n",
        " folded\n",
    ],
)
def test_a_damaged_database_is_told(tmp_path: Path, text: str) -> None:
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / STATUS).write_text(text)
    with pytest.raises(UnsafeArchiveError, match="the base image's var/lib/dpkg/status"):
        over(tmp_path, root, deb(tmp_path, "aa"))


def test_the_order_of_packages_does_not_matter(tmp_path: Path) -> None:
    root = base_of(tmp_path, deb(tmp_path, "aa", Part("x", b"1"), Part("gone")))
    debs = [
        deb(tmp_path, "aa", Part("x", b"2"), version="2.0"),
        deb(tmp_path, "bb", Part("y", b"2")),
        deb(tmp_path, "cc", Part("z", b"2")),
    ]

    def told(ordered: Sequence[LocalDeb]) -> list[tuple[str, str, bytes]]:
        entries = over(tmp_path, root, *ordered).values()
        return [(one.path, one.kind, content(one) if one.open else b"") for one in entries]

    assert told(debs) == told(debs[::-1])
