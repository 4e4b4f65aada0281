"""Many packages as one layer: dpkg's rules, merged /usr, hard links, what is left out."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.errors import ConflictError, IntegrityError
from hps.layer.deb_layer import LocalDeb, deb_entries
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from tests.layer.packages import Part, by_path, content, folder, hardlink, make_deb, symlink


def layer(tmp_path: Path, *debs: LocalDeb, exclude: tuple[str, ...] = ()) -> dict[str, Entry]:
    spool = tmp_path / f"spool{len(list(tmp_path.iterdir()))}"
    spool.mkdir()
    return by_path(deb_entries(debs, spool=spool, exclude=exclude))


def listed(entries: dict[str, Entry], name: str) -> list[str]:
    return content(entries[f"var/lib/dpkg/info/{name}.list"]).decode().splitlines()


def test_modes_owners_and_contents(tmp_path: Path) -> None:
    deb = make_deb(
        tmp_path,
        "foo",
        [
            folder("./"), folder("./tmp/", 0o1777), folder("./var/tmp/", 0o1777),
            folder("./root/", 0o700), folder("./var/local/", 0o2775),
            Part("./usr/bin/su", b"su", 0o4755), Part("./usr/bin/x", b"x", 0o755),
            Part("./usr/share/x", b"", 0o600), symlink("./usr/share/ln", "/usr/bin/x"),
        ],
    )  # fmt: skip
    entries = layer(tmp_path, deb)
    modes = {path: oct(entry.permissions) for path, entry in entries.items()}
    assert modes["tmp"] == modes["var/tmp"] == "0o1777"
    assert modes["root"] == modes["var/local"] == modes["usr/bin/su"] == "0o755"
    assert modes["usr/share/x"] == "0o644"
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert entries["usr/share/ln"].link == "/usr/bin/x"
    assert entries["usr/bin/x"].owner == "foo"
    assert content(entries["usr/bin/su"]) == b"su"
    assert content(entries["usr/share/x"]) == b""


def test_merged_usr(tmp_path: Path) -> None:
    deb = make_deb(
        tmp_path,
        "foo",
        [
            folder("./bin/"), Part("./bin/x", b"x", 0o755), symlink("./usr/bin/x", "/bin/x"),
            symlink("./bin/y", "/usr/bin/y"), Part("./usr/bin/y", b"y", 0o755),
            folder("./var/lock/", 0o1777), Part("./lib64/ld.so", b"ld"), symlink("./sbin", "usr/sbin"),
            hardlink("./bin/z", "./bin/x"),
        ],
    )  # fmt: skip
    entries = layer(tmp_path, deb)
    assert content(entries["usr/bin/x"]) == b"x"
    assert content(entries["usr/bin/y"]) == b"y"
    assert content(entries["usr/lib64/ld.so"]) == b"ld"
    assert (entries["usr/bin/z"].kind, entries["usr/bin/z"].link) == ("hardlink", "usr/bin/x")
    assert entries["run/lock"].permissions == 0o1777
    links = {path: e.link for path, e in entries.items() if e.kind == "symlink"}
    assert links == {
        "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "var/lock": "/run/lock",
    }  # fmt: skip
    # dpkg's list keeps the names that the package uses.
    assert {"/bin/x", "/usr/bin/x", "/sbin", "/lib64/ld.so"} <= set(listed(entries, "foo"))


def test_hard_links_survive_in_any_order_of_names(tmp_path: Path) -> None:
    deb = make_deb(
        tmp_path,
        "perl",
        [
            Part("./usr/bin/perl5", b"perl", 0o755), hardlink("./usr/bin/perl", "./usr/bin/perl5"),
            Part("./usr/a", b""), Part("./usr/b", b""), symlink("./usr/ln", "a"),
            hardlink("./usr/ln2", "./usr/ln"),
        ],
    )  # fmt: skip
    entries = layer(tmp_path, deb)
    assert entries["usr/bin/perl"].kind == "file"
    assert entries["usr/bin/perl"].executable
    assert entries["usr/bin/perl5"].kind == "hardlink"
    assert entries["usr/bin/perl5"].link == "usr/bin/perl"
    assert [entries[path].kind for path in ("usr/a", "usr/b")] == ["file", "file"]
    assert (entries["usr/ln2"].kind, entries["usr/ln2"].link) == ("symlink", "a")


def test_left_out_folders_keep_copyright_files(tmp_path: Path) -> None:
    doc = "./usr/share/doc"
    deb = make_deb(
        tmp_path,
        "foo",
        [
            folder("./usr/share/"), folder(f"{doc}/"), folder(f"{doc}/foo/"), folder(f"{doc}/empty/"),
            Part(f"{doc}/foo/LICENSE", b"licence"),
            hardlink(f"{doc}/foo/copyright", f"{doc}/foo/LICENSE"),
            symlink(f"{doc}/foo-data", "foo"), Part(f"{doc}/foo/deep/copyright", b"dpkg keeps it too"),
            Part("./usr/share/docs/x", b"x"), Part("./usr/share/man/man1/x.1", b"x"),
        ],
        extra={"md5sums": b"00  usr/share/doc/foo/LICENSE\n11  usr/share/docs/x\n"},
    )  # fmt: skip
    entries = layer(tmp_path, deb, exclude=("/usr/share/doc", "/usr/share/man/"))
    shared = sorted(path for path in entries if path.startswith("usr/share/"))
    assert shared == [
        "usr/share/doc", "usr/share/doc/foo", "usr/share/doc/foo-data",
        "usr/share/doc/foo/copyright", "usr/share/doc/foo/deep/copyright", "usr/share/docs/x",
    ]  # fmt: skip
    assert content(entries["usr/share/doc/foo/copyright"]) == b"licence"
    assert listed(entries, "foo") == [
        "/.", "/usr/share", "/usr/share/doc", "/usr/share/doc/foo",
        "/usr/share/doc/foo/copyright", "/usr/share/doc/foo-data",
        "/usr/share/doc/foo/deep/copyright", "/usr/share/docs/x",
    ]  # fmt: skip
    assert content(entries["var/lib/dpkg/info/foo.md5sums"]) == b"11  usr/share/docs/x\n"
    config = content(entries["etc/dpkg/dpkg.cfg.d/hps"]).decode()
    assert "path-exclude=/usr/share/man/*\n" in config


def test_the_package_that_replaces_wins_and_the_other_loses_the_path(tmp_path: Path) -> None:
    old = make_deb(tmp_path, "aaa", [Part("./usr/x", b"old"), Part("./usr/y", b"y")])
    new = make_deb(tmp_path, "zzz", [Part("./usr/x", b"new")], Replaces="aaa (<< 2)")
    for order in ([old, new], [new, old]):
        entries = layer(tmp_path, *order)
        assert content(entries["usr/x"]) == b"new"
        assert entries["usr/x"].owner == "zzz"
        assert listed(entries, "aaa") == ["/.", "/usr/y"]
        assert "usr/x" not in content(entries["var/lib/dpkg/info/aaa.md5sums"]).decode()


@pytest.mark.parametrize(
    ("left", "right", "replaces"),
    [
        (Part("./usr/x", b"one"), Part("./usr/x", b"two"), "other"),
        (Part("./usr/x", b"same"), Part("./usr/x", b"same"), "other"),
        (Part("./usr/x", b"one"), Part("./usr/x", b"two"), "left (<< 1.0)"),
        (Part("./usr/bin/x", b"one"), Part("./bin/x", b"two"), "other"),
        (folder("./usr/x/"), symlink("./usr/x", "y"), "left"),
        (symlink("./usr/x", "/etc"), Part("./usr/x/passwd", b"evil"), "other"),
        (Part("./usr/x", b"one"), Part("./usr/x/y", b"two"), "other"),
    ],
)
def test_conflicts_name_both_packages(
    tmp_path: Path, left: Part, right: Part, replaces: str
) -> None:
    one = make_deb(tmp_path, "left", [left])
    two = make_deb(tmp_path, "right", [right], Replaces=replaces)
    with pytest.raises(ConflictError) as raised:
        layer(tmp_path, one, two)
    assert {"left", "right"} <= set(raised.value.message.replace(",", "").split())


def test_packages_that_replace_each_other_are_a_conflict(tmp_path: Path) -> None:
    one = make_deb(tmp_path, "one", [Part("./x")], Replaces="two")
    two = make_deb(tmp_path, "two", [Part("./x")], Replaces="one")
    with pytest.raises(ConflictError, match="both bring /x"):
        layer(tmp_path, one, two)


def test_a_package_twice_is_a_conflict(tmp_path: Path) -> None:
    one = make_deb(tmp_path, "one")
    (tmp_path / "two").mkdir()
    two = make_deb(tmp_path / "two", "one", Architecture="i386")
    with pytest.raises(ConflictError, match="there twice"):
        layer(tmp_path, one, two)


def test_another_package_than_the_lock_says(tmp_path: Path) -> None:
    deb = make_deb(tmp_path, "foo", version="1.1")
    with pytest.raises(IntegrityError) as raised:
        layer(tmp_path, LocalDeb("foo", "amd64", "1.0", deb.path))
    assert (raised.value.expected, raised.value.got) == ("foo 1.0 amd64", "foo 1.1 amd64")


def test_shared_folders_and_parents_are_no_conflict(tmp_path: Path) -> None:
    one = make_deb(tmp_path, "one", [folder("./usr/"), folder("./usr/share/"), Part("./usr/a")])
    two = make_deb(tmp_path, "two", [folder("./usr/share/"), Part("./usr/share/b")])
    entries = layer(tmp_path, one, two)
    assert listed(entries, "one") == ["/.", "/usr", "/usr/share", "/usr/a"]
    assert listed(entries, "two") == ["/.", "/usr/share", "/usr/share/b"]


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)))
def test_the_order_of_packages_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    tmp_path = tmp_path_factory.mktemp("order")
    debs = [
        make_deb(
            tmp_path, f"p{number}", [folder("./usr/"), Part(f"./usr/f{number}", b"x" * number)]
        )
        for number in range(5)
    ]

    def diff_id(debs: list[LocalDeb]) -> str:
        hasher = hashlib.sha256()
        write_layer(layer(tmp_path, *debs).values(), hasher.update, epoch=0)
        return hasher.hexdigest()

    assert diff_id(debs) == diff_id([debs[at] for at in order])


def test_folders_of_the_database_that_dpkg_ships_are_one_entry(tmp_path: Path) -> None:
    parts = [folder("./var/lib/dpkg/"), folder("./var/lib/dpkg/info/")]
    assert layer(tmp_path, make_deb(tmp_path, "dpkg", parts))["var/lib/dpkg/info"].owner == "dpkg"
    evil = make_deb(tmp_path, "evil", [Part("./var/lib/dpkg/status", b"nothing installed")])
    with pytest.raises(ConflictError, match="evil brings /var/lib/dpkg/status"):
        layer(tmp_path, evil)


def test_paths_come_out_sorted_by_bytes(tmp_path: Path) -> None:
    names = ["./a-b", "./a/x", "./a.b", "./ä", "./Z", "./z"]
    deb = make_deb(tmp_path, "foo", [Part(name) for name in names])
    paths = list(layer(tmp_path, deb))
    assert paths == sorted(paths, key=str.encode)
