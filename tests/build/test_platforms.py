"""Several platforms of one target: what they keep from each other, and where they differ."""

import pytest

from hps.build.platforms import differing, earlier, groups
from hps.lock.records import (
    BaseProject,
    Deb,
    Lock,
    LockedArchive,
    LockedTarget,
    Resolver,
    Wheel,
)
from tests.lock.test_base_image import BASE

RESOLVER = Resolver(name="uv", version="1", flags=())


def target(name: str, platform: str = "linux/amd64", **fields: object) -> LockedTarget:
    return LockedTarget(
        name=name,
        platform=platform,
        python_version="3.11",
        glibc="2.36",
        **fields,  # type: ignore[arg-type]
    )


def lock(*targets: LockedTarget) -> Lock:
    return Lock(resolver=RESOLVER, functions={}, targets=targets)


def deb(name: str, version: str) -> Deb:
    return Deb(
        file=f"{name}.deb",
        sha256="0" * 64,
        size=1,
        name=name,
        version=version,
        architecture="all",
        source="os",
        suite="bookworm",
        archive="debian",
        pool=f"pool/{name}.deb",
    )


def wheel(name: str, version: str) -> Wheel:
    return Wheel(
        file=f"{name}.whl", sha256="0" * 64, size=1, name=name, version=version, index="default"
    )


CPU = target("cpu")
AMD, ARM = target("cpu@amd64"), target("cpu@arm64", "linux/arm64")
OTHER = target("gpu")


@pytest.mark.parametrize(
    ("old", "made", "expected"),
    [
        (lock(AMD, ARM), {}, ARM),  # its own
        (lock(CPU), {}, CPU),  # the target before it had this platform
        (lock(CPU), {"cpu@amd64": AMD}, CPU),
        (lock(OTHER), {"cpu@amd64": AMD}, AMD),  # what was locked a moment ago
        (None, {"cpu@amd64": AMD}, AMD),
        (lock(target("cpu", "linux/arm64")), {"cpu@amd64": AMD}, target("cpu", "linux/arm64")),
        (lock(OTHER), {}, None),
        (None, {}, None),
    ],
)
def test_whose_versions_a_new_platform_keeps(
    old: Lock | None, made: dict[str, LockedTarget], expected: LockedTarget | None
) -> None:
    found = earlier(old, made, "cpu@arm64", "linux/arm64")
    named = expected and expected.model_copy(update={"name": "cpu@arm64"})
    assert found == named


def test_a_target_that_has_one_platform_again_keeps_the_record_of_it() -> None:
    assert earlier(lock(ARM, AMD), {}, "cpu", "linux/amd64") == target("cpu")


def test_names_are_joined_in_their_order() -> None:
    assert groups(["b@arm64", "a", "b@amd64"]) == {"b": ("b@arm64", "b@amd64"), "a": ("a",)}


def test_other_versions_on_another_platform_are_told() -> None:
    amd = target(
        "cpu@amd64",
        debs=(deb("dash", "1.0-1+b2"), deb("tar", "2")),
        wheels=(wheel("numpy", "2.0"), wheel("only-here", "1")),
        archives=(LockedArchive(name="tool", file="tool-a.tar", sha256="0" * 64, size=1),),
    )
    arm = target(
        "cpu@arm64",
        "linux/arm64",
        debs=(deb("dash", "1.0-1"), deb("tar", "3")),
        wheels=(wheel("numpy", "1.9"),),
        archives=(LockedArchive(name="tool", file="tool-b.tar", sha256="1" * 64, size=1),),
    )
    assert differing([amd, target("gpu", wheels=(wheel("numpy", "1"),)), arm]) == (
        "cpu: Debian package tar is 2 on linux/amd64, 3 on linux/arm64",
        "cpu: Python numpy is 2.0 on linux/amd64, 1.9 on linux/arm64",
        "cpu: archive tool is tool-a.tar on linux/amd64, tool-b.tar on linux/arm64",
    )
    assert differing([amd]) == differing([]) == ()


def test_a_package_of_a_base_image_counts_where_it_is_used() -> None:
    folder = "usr/lib/python3/dist-packages"
    has = [
        BaseProject(name="numpy", version="1.24", folder=folder, via=("app.in",)),
        BaseProject(name="scipy", version="1.0", folder=folder),
    ]
    base = BASE.model_copy(update={"python": tuple(has)})
    amd = target("cpu@amd64", base=base)
    wheels = (wheel("numpy", "2.0"), wheel("scipy", "2.0"))
    assert differing([amd, target("cpu@arm64", "linux/arm64", wheels=wheels)]) == (
        "cpu: Python numpy is 1.24 on linux/amd64, 2.0 on linux/arm64",
    )
