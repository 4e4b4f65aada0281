"""The chain from an artifact to who asked for it."""

import pytest

from hps.build.reasons import reasons
from hps.config.target import Target
from hps.lock.records import Deb, LockedArchive, LockedFile, LockedTarget, Wheel
from tests.lock.test_text import HEX, lock

CONFIG = Target.model_validate(
    {"debian": {"source": "os", "packages": []}, "trees": [{"from": "server", "to": "/srv"}]}
)
(LOCKED,) = lock().targets
DEB = LOCKED.debs[0]


def deb(name: str, *via: str) -> Deb:
    return DEB.model_copy(update={"name": name, "via": via})


def wheel(name: str, *via: str) -> Wheel:
    return LOCKED.wheels[0].model_copy(update={"name": name, "via": via})


def target(**groups: object) -> LockedTarget:
    return LOCKED.model_copy(update={"debs": (), "wheels": (), "sdists": (), **groups})


def asked(locked: LockedTarget, owner: str, layer: str = "") -> tuple[str, ...]:
    return reasons(locked, CONFIG, owner, layer)[1:]


def test_the_shortest_way_is_told() -> None:
    wheels = (
        wheel("deep", "middle", "long"),
        wheel("long", "longer"),
        wheel("longer", "app.in"),
        wheel("middle", "app.in"),
    )
    assert asked(target(wheels=wheels), "deep") == ("asked for by middle", "asked for by app.in")


def test_a_circle_ends() -> None:
    wheels = (wheel("a", "b"), wheel("b", "a"), wheel("c", "b", "app.in"))
    assert asked(target(wheels=wheels), "a") == ()
    assert asked(target(wheels=wheels), "c") == ("asked for by app.in",)


def test_the_entry_says_what_is_locked() -> None:
    line = reasons(target(debs=(deb("libc6", "hps.toml"),)), CONFIG, "libc6")[0]
    assert line == f"Debian package libc6 2.36-9: {DEB.file}, sha256:{HEX}"
    assert reasons(LOCKED, CONFIG, "jieba")[0].startswith("Python package jieba 0.42.1: jieba-")


def test_a_tree_with_the_name_of_a_package_is_told_apart_by_the_layer() -> None:
    locked = target(wheels=(wheel("server", "app.in"),))
    assert reasons(locked, CONFIG, "server", "trees") == (
        "tree server of this project",
        "asked for by hps.toml",
    )
    assert asked(locked, "server") == ("asked for by app.in",)


def test_a_name_that_debian_and_python_share_is_told_apart_by_the_layer() -> None:
    layers = tuple(
        LOCKED.layers[0].model_copy(update={"name": kind, "kind": kind})
        for kind in ("debian", "wheels")
    )
    locked = target(debs=(deb("zstd", "os"),), wheels=(wheel("zstd", "app.in"),), layers=layers)
    assert asked(locked, "zstd", "debian") == ("asked for by os",)
    assert asked(locked, "zstd", "wheels") == ("asked for by app.in",)
    assert asked(locked, "zstd", "elsewhere") == ("asked for by os",)


@pytest.mark.parametrize(
    ("owner", "first"),
    [
        ("triton", f"archive triton.zip, sha256:{HEX}"),
        ("model.bin", f"file model.bin, sha256:{HEX}"),
        ("server", "tree server of this project"),
    ],
)
def test_what_hps_toml_names_itself(owner: str, first: str) -> None:
    archive = LockedArchive(name="triton", file="triton.zip", sha256=HEX, size=1)
    file = LockedFile(file="model.bin", sha256=HEX, size=1, to="/models/m")
    locked = target(archives=(archive,), files=(file,))
    assert reasons(locked, CONFIG, owner) == (first, "asked for by hps.toml")


def test_what_hps_makes_itself() -> None:
    assert reasons(LOCKED, CONFIG, "hps") == ("made by hps",)
    assert reasons(LOCKED, CONFIG, "nobody-knows") == ("made by hps for nobody-knows",)
    assert reasons(None, CONFIG, "hps") == ()
