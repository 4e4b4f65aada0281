"""Exports as text: valid, deterministic, and without hosts where none is allowed."""

import tomllib

import pytest
from packaging.pylock import Pylock

from hps.lock.export import pylock, python_packages, requirements
from hps.lock.records import LockedTarget, Sdist, Wheel
from tests.lock.test_base_image import BASE

HEX = "0123456789abcdef" * 4


def wheel(name: str, version: str, *via: str) -> Wheel:
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Wheel(
        file=file, sha256=HEX, size=12, name=name, version=version, index="default", via=via
    )


SDIST = Sdist(
    file="jieba-0.42.1.tar.gz",
    sha256=HEX[::-1],
    size=5,
    name="jieba",
    version="0.42.1",
    index="default",
    via=("app.in",),
    build=(wheel("setuptools", "84.0"),),
    wheel="jieba-0.42.1-py3-none-any.whl",
    wheel_sha256="f" * 64,
    wheel_size=9,
)


def target(*packages: Wheel, sdists: tuple[Sdist, ...] = (SDIST,)) -> LockedTarget:
    return LockedTarget(
        name="cpu",
        platform="linux/amd64",
        python_version="3.11",
        glibc="2.36",
        debs=(),
        wheels=packages or (wheel("zlib-ng", "1.0"), wheel("attrs", "23.1", "app.in", "zlib-ng")),
        sdists=sdists,
    )


def locate(package: Wheel | Sdist) -> str:
    return f'https://example.org/files/{package.file}?q="é\\'


def test_requirements_as_text() -> None:
    assert requirements(target()) == (
        "# Made by `hps export requirements cpu` from hps.lock.\n"
        "# For CPython 3.11 on linux/amd64 with glibc 2.36.\n"
        "# Built by the installer from an sdist, with its own tools: jieba.\n"
        f"attrs==23.1 \\\n    --hash=sha256:{HEX}\n    # via app.in, zlib-ng\n"
        f"jieba==0.42.1 \\\n    --hash=sha256:{HEX[::-1]}\n    # via app.in\n"
        f"zlib-ng==1.0 \\\n    --hash=sha256:{HEX}\n"
    )


def test_what_a_base_image_has_is_told_and_not_listed() -> None:
    app, unused = (
        project.model_copy(update={"via": via})
        for project, via in zip(BASE.python, (("app.in",), ()), strict=True)
    )
    base = BASE.model_copy(update={"python": (app, unused)})
    over = target().model_copy(update={"base": base})
    told = f"# For the base image {base.reference}, which has: numpy==1.26.\n"
    assert told in requirements(over)
    assert "numpy" not in requirements(over).replace(told, "")
    assert told in pylock(over, locate)
    assert len(Pylock.from_dict(tomllib.loads(pylock(over, locate))).packages) == 3
    nothing = target().model_copy(update={"base": BASE})
    assert requirements(nothing) == requirements(target())


def test_a_pylock_is_valid_and_says_what_the_lock_says() -> None:
    document = tomllib.loads(pylock(target(), locate))
    parsed = Pylock.from_dict(document)
    assert [package.name for package in parsed.packages] == ["attrs", "jieba", "zlib-ng"]
    assert str(parsed.requires_python) == "==3.11.*"
    environments = parsed.environments or []
    assert environments[0].evaluate(
        {
            "implementation_name": "cpython",
            "python_version": "3.11",
            "sys_platform": "linux",
            "platform_machine": "x86_64",
        }
    )
    attrs, jieba, _ = parsed.packages
    assert attrs.wheels is not None
    assert jieba.sdist is not None
    (file,) = attrs.wheels
    assert (file.name, file.size, file.hashes) == (
        "attrs-23.1-py3-none-any.whl",
        12,
        {"sha256": HEX},
    )
    assert file.url == 'https://example.org/files/attrs-23.1-py3-none-any.whl?q="é\\'
    assert (jieba.sdist.name, jieba.sdist.hashes) == (SDIST.file, {"sha256": HEX[::-1]})


def test_the_order_of_the_lock_does_not_matter() -> None:
    ordered = python_packages(target())
    again = target(*reversed(target().wheels))
    assert python_packages(again) == ordered
    assert requirements(again) == requirements(target())
    assert pylock(again, locate) == pylock(target(), locate)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_no_packages_are_valid_too(platform: str) -> None:
    empty = LockedTarget(name="x", platform=platform, python_version="3.12", glibc="2.41", debs=())
    assert Pylock.from_dict(tomllib.loads(pylock(empty, locate))).packages == []
    assert all(line.startswith("#") for line in requirements(empty).splitlines())
