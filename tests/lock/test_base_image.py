"""Base images in a lock: names, what is kept, what is provided, and the text."""

import tomllib

import pytest

from hps.digest import Digest
from hps.errors import LockError
from hps.lock import text
from hps.lock.base_image import BaseName, asked_for_in, check_facts, installed, kept_base, provided
from hps.lock.difference import difference
from hps.lock.records import BaseDeb, BaseLayer, BaseProject, BaseUser, Lock, LockedBase
from tests.lock.test_text import lock

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
LAYER = BaseLayer(
    file="os-1.tar.gz",
    sha256=ONE.hex,
    size=70,
    media_type="application/vnd.oci.image.layer.v1.tar+gzip",
    diff_id=TWO.hex,
)
BASE = LockedBase(
    registry="hub",
    repository="team/os",
    tag="1",
    index=ONE.hex,
    manifest=TWO.hex,
    manifest_size=5,
    config=ONE.hex,
    config_size=6,
    interpreter="/usr/bin/python3.11",
    glibc="2.36",
    user=BaseUser(name="app", uid=1, gid=2, home="/srv"),
    layers=(LAYER,),
    debs=(BaseDeb(name="libc6", version="2.36-9", architecture="amd64"),),
    python=(
        BaseProject(name="numpy", version="1.26", folder="usr/local/lib"),
        BaseProject(name="numpy", version="1.24", folder="usr/lib/python3"),
    ),
)


def with_base(base: LockedBase | None = BASE) -> Lock:
    plain = lock()
    targets = tuple(target.model_copy(update={"base": base}) for target in plain.targets)
    return plain.model_copy(update={"targets": targets})


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("hub/os:1", "1"),
        (f"hub/team/os@{ONE}", ONE),
        (f"hub/team/os:1@{ONE}", ONE),
    ],
)
def test_names(words: str, wanted: Digest | str) -> None:
    name = BaseName.parse(words)
    assert (name.registry, name.wanted, str(name)) == ("hub", wanted, words)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("hub/team/os:1", True),  # whatever the tag names by now
        ("hub/team/os:2", False),
        ("other/team/os:1", False),
        ("hub/team/other:1", False),
        (f"hub/team/os:1@{ONE}", True),
        (f"hub/team/os@{TWO}", True),  # the manifest
        (f"hub/team/os:1@{Digest.of(b'3')}", False),
    ],
)
def test_what_is_kept(words: str, kept: bool) -> None:
    assert (kept_base(BaseName.parse(words), BASE) is not None) == kept
    assert kept_base(BaseName.parse(words), None) is None


def test_what_is_written_is_read_back() -> None:
    data = text.write(with_base())
    assert text.read(data) == with_base()
    table = tomllib.loads(data.decode())["targets"][0]["base"]
    assert table["layers"][0]["media-type"] == LAYER.media_type
    assert table["user"] == {"name": "app", "uid": 1, "gid": 2, "home": "/srv"}
    lines = data.decode().splitlines()
    assert sum(line.startswith("    {name = ") for line in lines) == 4  # one a line


def test_a_lock_without_a_base_says_nothing_of_one() -> None:
    assert b"base" not in text.write(lock()).replace(b"base-files", b"")
    assert text.write(with_base(None)) == text.write(lock())


def test_of_one_package_in_two_folders_python_finds_the_first() -> None:
    assert {name: one.version for name, one in provided(BASE).items()} == {"numpy": "1.26"}
    assert provided(None) == {}
    used = asked_for_in(BASE, {"numpy": ("app.in",)})
    assert used is not None
    assert [one.via for one in used.python] == [("app.in",), ()]
    again = asked_for_in(used, {})
    assert again == BASE


def test_what_a_base_has_to_bring() -> None:
    check_facts(BASE, "cpu", debian=False)
    for missing in ({"interpreter": None}, {"glibc": None}):
        lacking = BASE.model_copy(update=missing)
        check_facts(lacking, "cpu", debian=True)
        with pytest.raises(LockError):
            check_facts(lacking, "cpu", debian=False)


def test_installed_packages_by_name() -> None:
    assert list(installed(BASE)) == ["libc6"]
    assert installed(None) == {}


def test_a_base_that_changed() -> None:
    newer = BASE.model_copy(
        update={
            "manifest": ONE.hex,
            "debs": (BaseDeb(name="libc6", version="2.37-1", architecture="amd64"),),
            "layers": (LAYER, LAYER.model_copy(update={"sha256": TWO.hex, "size": 30})),
        }
    )
    found = difference(with_base(), with_base(newer))
    assert [(one.kind, one.name, one.change, one.old, one.new) for one in found.packages] == [
        ("base", "hub/team/os", "changed", f"1@{TWO.hex[:12]}", f"1@{ONE.hex[:12]}"),
        ("base-deb", "libc6", "changed", "2.36-9", "2.37-1"),
    ]
    assert found.moved == 30
    kinds = {one.kind for one in difference(lock(), with_base()).packages}
    assert kinds == {"base", "base-deb", "base-python"}
