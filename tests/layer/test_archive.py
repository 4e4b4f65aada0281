"""Parts of archives at places of the image."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from hps.config.target import CopyRule
from hps.errors import BuildError, UnsafeArchiveError
from hps.layer.archive import archive_entries
from hps.layer.entry import Entry
from tests.layer.packages import PACK, Part, by_path, content, folder, hardlink, symlink, tar_bytes

PARTS = [
    folder("./top/"),
    folder("./top/bin/"),
    Part("./top/bin/server", b"server", 0o755),
    Part("./top/bin/readme", b"read me"),
    hardlink("./top/bin/alias", "./top/bin/server"),
    symlink("./top/lib/libx.so", "libx.so.1"),
    symlink("./top/lib/libx.so.1", "deep/../libx.so.1.2"),
    Part("./top/lib/libx.so.1.2", b"x", 0o644),
    folder("./top/lib/empty/"),
    Part("./top/lib/__pycache__/x.pyc", b"pyc"),
    Part("./top/lib/deep/y.pyc", b"pyc"),
]


def rule(from_: str, to: str, **fields: object) -> CopyRule:
    return CopyRule.model_validate({"from": from_, "to": to, **fields})


def take(
    tmp_path: Path, data: bytes, *rules: CopyRule, strip: int = 0, name: str = "x.tar"
) -> dict[str, Entry]:
    path = tmp_path / f"in{len(list(tmp_path.iterdir()))}"
    path.write_bytes(data)
    spool = tmp_path / f"spool{len(list(tmp_path.iterdir()))}"
    spool.mkdir()
    return by_path(archive_entries(path, name, "server", rules, strip, spool))


def zip_bytes(parts: list[Part], *, links: bool = True) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            if part.kind == tarfile.LNKTYPE or (part.kind == tarfile.SYMTYPE and not links):
                continue
            info = zipfile.ZipInfo(part.name.removeprefix("./"))
            info.create_system = 3
            kind = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK}
            info.external_attr = (kind.get(part.kind, stat.S_IFREG) | part.mode) << 16
            archive.writestr(info, part.link or part.data)
    return out.getvalue()


@pytest.mark.parametrize("suffix", [*PACK, "zip"])
def test_every_format_by_content_whatever_its_name(tmp_path: Path, suffix: str) -> None:
    data = zip_bytes(PARTS) if suffix == "zip" else PACK[suffix](tar_bytes(PARTS))
    entries = take(
        tmp_path, data, rule("bin", "/opt/s/bin"), rule("lib", "/opt/s/lib"),
        strip=1, name="misleading.txt",
    )  # fmt: skip
    assert content(entries["opt/s/bin/server"]) == b"server"
    assert entries["opt/s/bin/server"].executable
    assert not entries["opt/s/bin/readme"].executable
    assert entries["opt/s/lib/libx.so"].link == "libx.so.1"
    assert entries["opt/s/lib/empty"].kind == "directory"
    assert list(entries) == sorted(entries, key=str.encode)
    assert {entry.owner for entry in entries.values()} == {"server"}
    if suffix != "zip":
        assert content(entries["opt/s/bin/alias"]) == b"server"
        assert entries["opt/s/bin/alias"].executable


def test_files_folders_everything_and_excludes(tmp_path: Path) -> None:
    data = tar_bytes(PARTS)
    assert list(take(tmp_path, data, rule("top/bin/server", "/usr/bin/triton"))) == [
        "usr/bin/triton"
    ]
    assert list(take(tmp_path, data, rule("top/bin/server", "/srv/"))) == ["srv/server"]
    everything = take(
        tmp_path, data, rule(".", "/opt", exclude=["__pycache__", "*.pyc", "top/bin"])
    )
    assert [path for path, entry in everything.items() if entry.kind != "directory"] == [
        "opt/top/lib/libx.so", "opt/top/lib/libx.so.1", "opt/top/lib/libx.so.1.2",
    ]  # fmt: skip
    root = take(tmp_path, data, rule("bin", "/"), strip=1)
    assert list(root) == ["alias", "readme", "server"]


def test_places_follow_merged_usr(tmp_path: Path) -> None:
    entries = take(tmp_path, tar_bytes(PARTS), rule("top/bin", "/bin"), rule("top/lib", "/lib/x"))
    assert "usr/bin/server" in entries
    assert "usr/lib/x/libx.so.1.2" in entries
    assert not any(path.startswith(("bin", "lib")) for path in entries)


@pytest.mark.parametrize(
    ("executable", "expected"), [(None, {"server"}), (True, {"server", "readme"}), (False, set())]
)
def test_run_bits_kept_forced_cleared(
    tmp_path: Path, executable: bool | None, expected: set[str]
) -> None:
    one = rule("top/bin", "/b", executable=executable, exclude=["alias"])
    entries = take(tmp_path, tar_bytes(PARTS), one)
    assert {
        path[2:] for path, e in entries.items() if e.kind == "file" and e.executable
    } == expected


def test_one_file_in_two_places_and_a_hard_link_without_its_target(tmp_path: Path) -> None:
    data = tar_bytes(PARTS)
    entries = take(tmp_path, data, rule("top/bin/server", "/a"), rule("top/bin/server", "/b"))
    assert content(entries["a"]) == content(entries["b"]) == b"server"
    entries = take(tmp_path, gzip.compress(data), rule("top/bin/alias", "/a"))
    assert list(entries) == ["a"]
    assert content(entries["a"]) == b"server"


def test_a_rule_that_matches_nothing_names_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="matches the copy rule from 'top/bin/sever'") as raised:
        take(tmp_path, tar_bytes(PARTS), rule("top/bin/sever", "/x"))
    assert "it holds top/bin/server" in raised.value.details
    with pytest.raises(BuildError) as raised:
        take(tmp_path, tar_bytes(PARTS), rule("server", "/x"))
    assert raised.value.details[0] == "it holds top/bin/server"
    with pytest.raises(BuildError, match="nothing in it matches"):
        take(tmp_path, tar_bytes([]), rule("a", "/x"))


def test_rules_that_meet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="two copy rules give /x/readme"):
        take(
            tmp_path, tar_bytes(PARTS), rule("top/bin", "/x"),
            rule("top/lib/libx.so.1.2", "/x/readme"),
        )  # fmt: skip
    with pytest.raises(BuildError, match="strip_components"):
        take(tmp_path, tar_bytes([Part("a/x"), Part("b/x")]), rule("x", "/x"), strip=1)


@pytest.mark.parametrize(
    ("link", "rules"),
    [
        ("/etc/passwd", [rule("d", "/d")]),
        ("../outside", [rule("d", "/d")]),
        ("../d/x", [rule("d", "/d")]),
        ("../../../outside", [rule(".", "/d")]),
        ("..", [rule("d", "/d")]),
        ("ln", [rule("d", "/d")]),
        ("s/../../outside", [rule("d", "/d")]),
        ("up/up/up/x", [rule("d", "/d")]),
        ("x", [rule("d/ln", "/d")]),
    ],
)
def test_links_that_lead_out_are_refused(tmp_path: Path, link: str, rules: list[CopyRule]) -> None:
    parts = [Part("outside"), Part("d/x"), folder("d/s/"), symlink("d/ln", link)]
    if link.startswith("up"):
        parts.append(symlink("d/up", ".."))
    for data in (tar_bytes(parts), zip_bytes(parts)):
        with pytest.raises(UnsafeArchiveError, match="leads out"):
            take(tmp_path, data, *rules)


@pytest.mark.parametrize("link", ["x", "./x", "s/../x", "s/deeper", "s//y", "missing", "."])
def test_links_that_stay_inside_stay(tmp_path: Path, link: str) -> None:
    parts = [Part("d/x"), Part("d/s/y"), symlink("d/s/deeper", "../x"), symlink("d/ln", link)]
    assert take(tmp_path, tar_bytes(parts), rule("d", "/d"))["d/ln"].link == link
