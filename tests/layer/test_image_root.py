"""Reading an image without leaving it."""

from pathlib import Path

import pytest

from hps.errors import UnsafeArchiveError
from hps.layer.image_root import ImageRoot


@pytest.fixture
def image(tmp_path: Path) -> ImageRoot:
    (tmp_path / "secret").write_text("of the host")
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "usr/bin/x").write_text("x")
    (root / "bin").symlink_to("usr/bin")
    (root / "abs").symlink_to("/usr/bin/x")
    (root / "out").symlink_to("../secret")
    (root / "host").symlink_to("/etc/hostname")
    (root / "far").symlink_to("../../../../../../etc")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    return ImageRoot(root)


def test_links_are_followed_inside(image: ImageRoot) -> None:
    assert image.resolve("bin/x") == image.resolve("/abs") == "usr/bin/x"
    assert image.read("bin/x") == b"x"
    assert image.resolve("far") == "etc"
    assert image.files("bin") == ["bin/x"]


@pytest.mark.parametrize("path", ["out", "host", "dangling", "usr/bin/x/y", "nothing", "bin"])
def test_nothing_outside_is_read(image: ImageRoot, path: str) -> None:
    assert image.read(path) is None


def test_a_name_can_be_held_by_a_link_to_nothing(image: ImageRoot) -> None:
    assert image.holds("dangling")
    assert image.holds("bin/x")
    assert not image.exists("dangling")
    assert not image.holds("bin/y")
    assert not image.holds("nothing/y")
    assert image.files("nothing") == []


def test_circles_end(image: ImageRoot) -> None:
    with pytest.raises(UnsafeArchiveError, match="in circles"):
        image.exists("loop/x")
