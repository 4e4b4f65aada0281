"""Modes in archives that give rights away: set-user-ID, set-group-ID, sticky, write for all.

The numbers are those of docs/explanation/attacks.md.
"""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from hps.config.target import CopyRule
from hps.layer.archive import archive_entries
from hps.layer.deb_layer import deb_entries
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.layer.tree import tree_entries
from hps.layer.wheel import wheel_entries
from tests.layer.packages import Part, folder, make_deb, tar_bytes
from tests.layer.wheels import SCHEME, contents

ALL = CopyRule.model_validate({"from": ".", "to": "/opt"})
FILES = (0o4755, 0o2755, 0o1755, 0o6711, 0o7777, 0o4644, 0o666, 0o777, 0o002, 0)
FOLDERS = (0o1777, 0o2775, 0o777, 0o7777, 0)


def parts() -> list[Part]:
    files = [Part(f"d/f{mode:o}", b"x", mode) for mode in FILES]
    return [*(folder(f"d{mode:o}/", mode) for mode in FOLDERS), *files]


def tar(place: Path) -> Iterable[Entry]:
    (place / "x.tar").write_bytes(tar_bytes(parts()))
    return archive_entries(place / "x.tar", "x.tar", "x", [ALL], 0, place)


def zipped(modes: Iterable[tuple[str, int, bytes]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, mode, data in modes:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (0o100000 | mode) << 16  # 3: Unix
            archive.writestr(info, data)
    return out.getvalue()


def zip_(place: Path) -> Iterable[Entry]:
    (place / "x.zip").write_bytes(zipped((f"f{mode:o}", mode, b"x") for mode in FILES))
    return archive_entries(place / "x.zip", "x.zip", "x", [ALL], 0, place)


def wheel(place: Path) -> Iterable[Entry]:
    name = "demo-1.0-py3-none-any.whl"
    scripts = {f"demo-1.0.data/scripts/s{mode:o}": b"#!python\n" for mode in FILES}
    members = contents({**{f"f{mode:o}.py": b"x" for mode in FILES}, **scripts})
    modes = {path: mode for mode in FILES for path in (f"f{mode:o}.py", *scripts)}
    (place / name).write_bytes(
        zipped((path, modes.get(path, 0o644), data) for path, data in members.items())
    )
    return wheel_entries(place / name, name, SCHEME, bytecode=None)


def deb(place: Path) -> Iterable[Entry]:
    shipped = [Part(f"./{one.name}", one.data, one.mode, kind=one.kind) for one in parts()]
    made = make_deb(place, "evil", [folder("./d/", 0o7777), *shipped])
    (place / "spool").mkdir()
    return deb_entries([made], spool=place / "spool")


def tree(place: Path) -> Iterable[Entry]:
    (place / "tree").mkdir()
    for mode in (one for one in FILES if one & 0o400):
        path = place / "tree" / f"f{mode:o}"
        path.touch()
        path.chmod(mode)
    return tree_entries(place / "tree", "/opt", [])


@pytest.mark.parametrize("made", [tar, zip_, wheel, deb, tree])
def test_20_rights_that_an_archive_gives_away(
    tmp_path: Path, made: Callable[[Path], Iterable[Entry]]
) -> None:
    """Whatever is packed: 0755 or 0644 of root in the layer, so that the bytes do not differ."""
    layer = io.BytesIO()
    write_layer(made(tmp_path), layer.write, epoch=0)
    layer.seek(0)
    with tarfile.open(fileobj=layer) as archive:
        members = archive.getmembers()
    files = [one for one in members if one.isreg()]
    assert len(files) >= len([mode for mode in FILES if mode & 0o400])
    assert {one.mode for one in files} == {0o644, 0o755}
    assert {one.mode for one in members if one.isdir()} <= {0o755}
    assert {(one.uid, one.gid) for one in members} == {(0, 0)}


def test_20_only_the_folders_that_must_be_are_for_all(tmp_path: Path) -> None:
    """/tmp, /var/tmp and /run/lock of a package, with the sticky bit and no other."""
    names = ("./", "./tmp/", "./var/", "./var/tmp/", "./srv/", "./srv/tmp/")
    made = make_deb(tmp_path, "evil", [folder(name, 0o7777) for name in names])
    (tmp_path / "spool").mkdir()
    found = {one.path: one.permissions for one in deb_entries([made], spool=tmp_path / "spool")}
    assert (found["tmp"], found["var/tmp"]) == (0o1777, 0o1777)
    assert found["var"] == found["srv"] == found["srv/tmp"] == 0o755
