"""Trees of the project, and their identity."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.errors import BuildError, HpsError, IntegrityError, UnsafeArchiveError
from hps.layer.tar import write_layer
from hps.layer.tree import tree_digest, tree_entries
from tests.layer.packages import by_path, content


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "pkg/__pycache__").mkdir(parents=True)
    (root / "pkg/a.py").write_text("a = 1\n")
    (root / "pkg/__pycache__/a.pyc").write_bytes(b"pyc")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o700)
    (root / "empty").mkdir()
    (root / "ln").symlink_to("pkg/a.py")
    return root


def test_a_folder(tree: Path) -> None:
    entries = by_path(tree_entries(tree, "/opt/app", ["__pycache__"]))
    assert {path: (e.kind, oct(e.permissions)) for path, e in entries.items()} == {
        "opt/app": ("directory", "0o755"),
        "opt/app/empty": ("directory", "0o755"),
        "opt/app/ln": ("symlink", "0o777"),
        "opt/app/pkg": ("directory", "0o755"),
        "opt/app/pkg/a.py": ("file", "0o644"),
        "opt/app/run.sh": ("file", "0o755"),
    }
    assert content(entries["opt/app/pkg/a.py"]) == b"a = 1\n"
    assert entries["opt/app/ln"].link == "pkg/a.py"


def test_a_file_the_root_and_merged_usr(tree: Path) -> None:
    assert [entry.path for entry in tree_entries(tree / "run.sh", "/bin/run", [])] == [
        "usr/bin/run"
    ]
    paths = [entry.path for entry in tree_entries(tree / "pkg", "/", ["*.pyc"])]
    assert paths == ["__pycache__", "a.py"]
    (tree / "lib").mkdir()
    (tree / "lib/x").write_text("x")
    assert "usr/lib/x" in by_path(tree_entries(tree, "/", []))
    with pytest.raises(BuildError, match="cannot be the root"):
        tree_entries(tree / "run.sh", "/", [])


@pytest.mark.parametrize(
    ("link", "words"),
    [("/etc/passwd", "leads out"), ("../outside", "leads out"), ("bad", "leads out"),
     ("pkg/../../outside", "leads out"), ("../tree/run.sh", None), ("missing", None)],
)  # fmt: skip
def test_links(tree: Path, link: str, words: str | None) -> None:
    (tree.parent / "outside").write_text("of somebody else")
    (tree / "bad").symlink_to(link)
    if words is None:
        assert by_path(tree_entries(tree, "/opt", []))["opt/bad"].link == link
        return
    with pytest.raises(BuildError, match=words):
        tree_entries(tree, "/opt", [])


def test_the_tree_itself_is_no_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tree)
    with pytest.raises(BuildError, match="no file, folder or link"):
        tree_entries(tmp_path / "alias", "/opt", [])


def test_what_is_no_file(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(BuildError, match="pipe is no file"):
        tree_entries(tree, "/opt", [])
    tree_entries(tree, "/opt", ["pipe"])
    (tree / "pipe").unlink()
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(tree / "s"))
        with pytest.raises(BuildError, match="s is no file"):
            tree_entries(tree, "/opt", [])
    with pytest.raises(BuildError, match="cannot be read"):
        tree_entries(tree / "nothing", "/opt", [])


def test_names_that_no_image_may_hold(tree: Path) -> None:
    (tree / "new\nline").write_text("x")
    with pytest.raises(UnsafeArchiveError):
        tree_entries(tree, "/opt", [])
    (tree / "new\nline").unlink()
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).write_text("x")
    with pytest.raises(UnsafeArchiveError, match="unsafe name"):
        tree_entries(tree, "/opt", [])


def test_an_edit_gives_another_identity_and_a_touch_does_not(tree: Path) -> None:
    def identity() -> str:
        return str(tree_digest(tree_entries(tree, "/opt", [])))

    seen = {identity()}
    os.utime(tree / "run.sh", (1, 1))
    (tree / "pkg/a.py").chmod(0o600)
    assert seen == {identity()}
    (tree / "pkg/a.py").write_text("a = 2\n")
    seen.add(identity())
    (tree / "run.sh").chmod(0o644)
    seen.add(identity())
    (tree / "ln").unlink()
    seen.add(identity())
    (tree / "ln").symlink_to("run.sh")
    seen.add(identity())
    (tree / "empty").rmdir()
    seen.add(identity())
    (tree / "empty").write_bytes(b"")
    seen.add(identity())
    assert len(seen) == 7
    entries = tree_entries(tree, "/opt", [])
    assert tree_digest(entries) == tree_digest(entries[::-1])
    assert tree_digest(entries) != tree_digest(tree_entries(tree, "/opt2", []))


def test_a_file_that_changes_before_it_is_written_is_noticed(tree: Path) -> None:
    entries = tree_entries(tree, "/opt", [])
    (tree / "pkg/a.py").write_text("a = 2\n")
    with pytest.raises(IntegrityError, match=r"opt/pkg/a\.py"):
        write_layer(entries, lambda _: None, epoch=0)


@settings(max_examples=40, deadline=None)
@given(
    names=st.sets(
        st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
    )
)
def test_any_names_the_file_system_takes(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for name in names - {".", ".."}:
        (root / name).write_bytes(name.encode())
    try:
        entries = tree_entries(root, "/opt", [])
    except HpsError:
        return
    assert {content(entry).decode() for entry in entries[1:]} == names - {".", ".."}
