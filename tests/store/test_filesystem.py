"""Effects on the disk: they work, and a refusal says what to do."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.errors import StoreError
from hps.store.filesystem import Filesystem, explain, free_space, may_only_read


def refuse(code: int, path: Path) -> None:
    try:
        raise OSError(code, "no")
    except OSError as error:
        raise explain(error, "write", path) from error


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "hps store collect"),
        (errno.EDQUOT, "hps store collect"),
        (errno.EROFS, "writable"),
        (errno.EACCES, "owner"),
        (errno.EPERM, "owner"),
        (errno.EIO, "look at the disk"),
    ],
)
def test_a_refusal_names_the_path_the_space_and_the_way_out(
    tmp_path: Path, code: int, hint: str
) -> None:
    with pytest.raises(StoreError) as caught:
        refuse(code, tmp_path / "a" / "b")
    error = caught.value
    assert str(tmp_path / "a" / "b") in error.message
    assert "bytes free of" in (error.got or "")
    assert hint in (error.hint or "")
    assert may_only_read(error) == (code in {errno.EROFS, errno.EACCES, errno.EPERM})


def test_free_space_of_a_path_that_is_not_made_yet(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not" / "yet").startswith(free_space(tmp_path).split()[0][:3])


def test_a_tree_goes_whatever_its_modes_and_links_out_of_it_are_not_followed(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tree := tmp_path / "tree").mkdir()
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "file").write_text("x")
    (tree / "link").symlink_to(outside)
    (tree / "deep" / "er").chmod(0o500)
    (tree / "deep").chmod(0)
    tree.chmod(0o500)
    Filesystem().remove_tree(tree)
    assert not tree.exists()
    assert outside.stat().st_mode & 0o777 == 0o500


def test_a_tree_goes_whatever_its_depth(tmp_path: Path) -> None:
    (tree := tmp_path / "t").mkdir()  # deeper than Python recurses
    deepest = tree.joinpath(*["d"] * 1100)
    folder = tree
    for _ in range(1100):
        folder = folder / "d"
        folder.mkdir()
    (deepest / "file").touch()
    Filesystem().remove_tree(tree)
    assert not tree.exists()


def test_a_link_in_place_of_a_tree_is_not_followed(tmp_path: Path) -> None:
    (outside := tmp_path / "outside").mkdir()
    (outside / "file").touch()
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(StoreError, match="Not a directory"):
        Filesystem().remove_tree(tmp_path / "link")
    assert (outside / "file").exists()


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    Filesystem().remove(tmp_path / "none")
    Filesystem().remove_tree(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_each_effect_turns_a_refusal_into_a_store_error(tmp_path: Path) -> None:
    filesystem = Filesystem()
    file = tmp_path / "file"
    file.write_text("x")
    (full := tmp_path / "full" / "sub").mkdir(parents=True)
    below = file / "below"
    refused: list[Callable[[], object]] = [
        lambda: filesystem.make_directory(below),
        lambda: filesystem.touch(below),
        lambda: filesystem.create(file),
        lambda: filesystem.rename(tmp_path / "none", file),
        lambda: filesystem.rename_tree(tmp_path / "none", tmp_path / "new"),
        lambda: filesystem.sync_directory(file),
        lambda: filesystem.sync_everything(tmp_path / "none"),
        lambda: filesystem.remove(full),
        lambda: filesystem.remove_tree(file),
    ]
    for effect in refused:
        with pytest.raises(StoreError):
            effect()


def test_renaming_a_tree_tells_that_another_was_first(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs" / "file").mkdir(parents=True)
    assert Filesystem().rename_tree(tmp_path / "mine", tmp_path / "theirs") is False
    assert Filesystem().rename_tree(tmp_path / "mine", tmp_path / "new") is True
