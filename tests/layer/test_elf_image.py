"""Layers over each other: whiteouts, links, folders, and paths that lead nowhere."""

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from hps.layer.elf_image import ElfImage
from hps.layer.elf_layer import Thing


def file(path: str, size: int = 1) -> Thing:
    return Thing(path, "file", size=size)


def folder(path: str) -> Thing:
    return Thing(path, "directory")


def link(path: str, target: str) -> Thing:
    return Thing(path, "symlink", target)


def paths(image: ElfImage) -> list[str]:
    return [path for path, thing in image if thing.kind != "directory"]


def test_the_upper_layer_wins() -> None:
    image = ElfImage([[file("a", 1), file("b", 2)], [file("a", 3)]])
    assert [(path, thing.size) for path, thing in image] == [("a", 3), ("b", 2)]


def test_whiteouts_take_away_what_lies_below_them_and_nothing_of_their_own_layer() -> None:
    below = [folder("d"), file("d/x"), file("d/e/y"), file("z")]
    assert paths(ElfImage([below, [file("d/.wh.x")]])) == ["d/e/y", "z"]
    assert paths(ElfImage([below, [file(".wh.d"), file("d/new")]])) == ["d/new", "z"]
    assert paths(ElfImage([below, [file("d/new"), file("d/.wh..wh..opq")]])) == ["d/new", "z"]
    assert paths(ElfImage([below, [file(".wh.nothing")]])) == ["d/e/y", "d/x", "z"]


def test_a_file_takes_a_folder_away_and_a_folder_a_link() -> None:
    assert paths(ElfImage([[file("d/x"), file("d/y/z")], [file("d")]])) == ["d"]
    image = ElfImage([[folder("real"), link("d", "real")], [folder("d"), file("d/x")]])
    assert paths(image) == ["d/x"]


def test_what_lies_below_a_link_lies_in_its_target() -> None:
    image = ElfImage([[folder("usr/lib"), link("lib", "usr/lib")], [file("lib/liba.so")]])
    assert paths(image) == ["lib", "usr/lib/liba.so"]


def test_hard_links_are_what_they_link_to() -> None:
    image = ElfImage([[file("a", 7), Thing("b", "hardlink", "a"), Thing("c", "hardlink", "no")]])
    assert [(path, thing.path, thing.size) for path, thing in image] == [
        ("a", "a", 7),
        ("b", "a", 7),
        ("c", "c", 0),
    ]


def test_links_are_followed_inside_the_image() -> None:
    image = ElfImage(
        [
            [
                file("usr/lib/x.so.1.2"),
                link("usr/lib/x.so.1", "x.so.1.2"),
                link("usr/lib/x.so", "/usr/lib/x.so.1"),
                link("lib", "usr/lib"),
                link("up", "../../../lib/./x.so"),
                link("dangling", "nowhere"),
                link("circle", "circle2"),
                link("circle2", "circle"),
            ]
        ]
    )
    for path in ("/usr/lib/x.so", "lib/x.so.1", "/lib//x.so", "up", "/usr/../lib/x.so.1.2"):
        assert image.resolve(path) == "usr/lib/x.so.1.2", path
    for path in ("dangling", "circle", "/nothing", "lib/none", "up/below"):
        assert image.at(image.resolve(path) or "none") is None, path
    assert image.resolve("/") == ""


NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "a/b/c", ".wh.a", "a/.wh.b", "a/.wh..wh..opq"])
THINGS = st.one_of(
    st.builds(file, NAMES),
    st.builds(folder, st.sampled_from(["a", "b", "a/b"])),
    st.builds(link, NAMES, st.sampled_from(["a", "/a/b", "../b", "..", "/"])),
    st.builds(lambda path, to: Thing(path, "hardlink", to), NAMES, NAMES),
)


@given(st.lists(st.lists(THINGS, max_size=6), max_size=4))
def test_any_layers_give_an_image_whose_paths_hold_together(layers: list[list[Thing]]) -> None:
    image = ElfImage(layers)
    for path, thing in image:
        assert image.at(path) == thing
        for parent in PurePosixPath(path).parents:
            above = image.at(str(parent))
            assert above is None or above.kind == "directory", f"{path} below {above}"
        if thing.kind != "symlink":
            assert image.resolve(path) == path
        assert "/.wh." not in f"/{path}"
    assert image.resolve("a/b/c/d/e") is None or image.resolve("a/b/c/d/e")
