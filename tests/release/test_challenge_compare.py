"""Two layers side by side: the path, the byte, and what is there on each side."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.layer.entry import Entry
from hps.layer.tar import write_layer
from hps.release.challenge_compare import PATHS, LayerDifference, compare
from hps.release.challenge_run import Made

LINK = Entry("bin/link", "symlink", "x", link="tool")


def made(folder: Path, *layers: Mapping[str, bytes], extra: tuple[Entry, ...] = ()) -> Made:
    """A build that came out as these layers."""
    folder.mkdir()
    found = []
    for number, files in enumerate(layers):
        tar, index = io.BytesIO(), io.BytesIO()
        entries = [
            Entry(path, "file", "x", size=len(data), open=lambda data=data: io.BytesIO(data))  # type: ignore[misc]
            for path, data in files.items()
        ]
        write_layer([*entries, *extra], tar.write, epoch=0, index=index.write)
        digests = [Digest.of(one.getvalue()) for one in (tar, index)]
        for digest, one in zip(digests, (tar, index), strict=True):
            (folder / digest.hex).write_bytes(one.getvalue())
        found.append((f"layer-{number}", str(digests[0]), str(digests[1])))
    return Made("sha256:" + "0" * 64, found, lambda digest: folder / digest.hex)


@pytest.fixture(autouse=True)
def without_diffoscope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It takes seconds; one test looks at it."""
    monkeypatch.setenv("PATH", str(tmp_path))


def one(tmp_path: Path, left: Mapping[str, bytes], right: Mapping[str, bytes]) -> LayerDifference:
    (found,) = compare(made(tmp_path / "1", left), made(tmp_path / "2", right))
    return found


def test_the_same_is_the_same(tmp_path: Path) -> None:
    files = {"a": b"1", "b/c": b"2"}
    assert compare(made(tmp_path / "1", files), made(tmp_path / "2", files)) == ()


def test_the_first_byte_is_named_in_the_file_and_in_the_tar(tmp_path: Path) -> None:
    text = b"x" * 100
    found = one(tmp_path, {"a": b"", "b": text + b"2026" + text}, {"a": b"", "b": text + b"2044"})
    (path,) = found.paths
    assert (found.count, path.path, path.offset) == (1, "b", 102)
    assert set(path.what) == {"content", "size"}
    assert path.sides is not None
    left, right = path.sides
    assert left.start == right.start == 102 - 16
    assert left.data == (text + b"2026" + text)[86:150]
    assert right.data.endswith(b"2044")
    tar = tmp_path / "1" / Digest.parse(found.expected or "").hex
    assert tar.read_bytes()[left.tar_offset :].startswith(b"26xxx")
    assert found.tar_offset is not None
    assert found.tar_offset < left.tar_offset  # the header holds the size
    told = left.as_json()
    assert str(told["text"]).endswith("x" * 10)
    assert bytes.fromhex(str(told["hex"])) == left.data


def test_a_byte_behind_the_first_piece(tmp_path: Path) -> None:
    data = bytes((3 << 20) + 17)
    (path,) = one(tmp_path, {"a": data}, {"a": data[:-1] + b"!"}).paths
    assert path.offset == len(data) - 1
    assert path.sides is not None
    assert path.sides[1].data == bytes(16) + b"!"


def test_one_side_is_the_beginning_of_the_other(tmp_path: Path) -> None:
    (path,) = one(tmp_path, {"a": b"same"}, {"a": b"same and more"}).paths
    assert path.offset == 4
    assert path.sides is not None
    assert path.sides[0].data == b"same"


def test_paths_that_one_side_lacks_and_links_that_lead_elsewhere(tmp_path: Path) -> None:
    left = made(tmp_path / "1", {"a": b"1", "bin/tool": b""}, extra=(LINK,))
    other = Entry("bin/link", "symlink", "x", link="../a")
    right = made(tmp_path / "2", {"bin/tool": b"", "new": b"1"}, extra=(other,))
    (found,) = compare(left, right)
    assert [(path.path, path.what) for path in found.paths] == [
        ("a", ("missing",)),
        ("bin/link", ("content",)),
        ("new", ("additional",)),
    ]
    link = found.paths[1].as_json()
    assert link["expected"] == {
        "kind": "symlink",
        "mode": "0777",
        "size": 0,
        "content": "tool",
        "owner": [0, 0],
    }
    assert link["sides"] == []


def test_what_is_made_from_other_files_comes_last(tmp_path: Path) -> None:
    names = ["a-1.dist-info/RECORD", "a.py", "__pycache__/a.cpython-311.pyc"]
    found = one(tmp_path, dict.fromkeys(names, b"1"), dict.fromkeys(names, b"2"))
    assert found.paths[0].path == "a.py"
    assert found.count == 3


def test_all_paths_are_counted_and_some_shown(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(PATHS + 30)]
    found = one(tmp_path, dict.fromkeys(names, b"1"), dict.fromkeys(names, b"2"))
    assert found.count == PATHS + 30
    assert [path.path for path in found.paths] == names[:PATHS]


def test_a_build_that_made_fewer_layers(tmp_path: Path) -> None:
    left, right = made(tmp_path / "1", {"a": b""}, {"b": b""}), made(tmp_path / "2", {"a": b""})
    (found,) = compare(left, right)
    assert (found.layer, found.got, found.count) == ("layer-1", None, 0)


def test_diffoscope_says_what_it_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if shutil.which("diffoscope") is None:
        pytest.skip("needs diffoscope")
    found = one(tmp_path, {"a.txt": b"one\n"}, {"a.txt": b"two\n"})
    assert found.diffoscope is not None
    assert "-one" in found.diffoscope
    assert "+two" in found.diffoscope
