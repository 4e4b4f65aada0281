"""Package URLs: what packageurl-python, an implementation of the specification, reads and writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from hps.lock.purl import distribution, name, purl, version
from hps.lock.records import Artifact, Deb, LockedArchive, LockedFile, Sdist, Wheel
from tests.lock.test_text import HEX, lock

TARGET = lock().targets[0]
DEB, WHEEL, SDIST = TARGET.debs[0], TARGET.wheels[0], TARGET.sdists[0]
# Without what the other implementation strips from both ends: spaces and slashes.
PRINTED = st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="/")
WORDS = st.text(PRINTED, min_size=1, max_size=30)


def deb(**fields: str) -> Deb:
    return DEB.model_copy(update=fields)


def archive(**fields: str) -> LockedArchive:
    return LockedArchive.model_validate(
        {"name": "tool", "file": "t.tgz", "sha256": HEX, "size": 1} | fields
    )


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (WHEEL, "pkg:pypi/numpy@1.0"),
        (SDIST, "pkg:pypi/jieba@0.42.1"),
        (WHEEL.model_copy(update={"name": "Ruamel.Yaml_Clib"}), "pkg:pypi/ruamel-yaml-clib@1.0"),
        (WHEEL.model_copy(update={"version": "1!2.0+cpu"}), "pkg:pypi/numpy@1%212.0%2Bcpu"),
        (DEB, "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=bookworm"),
        (
            deb(name="libstdc++6", version="1:12.2.0-14~deb12u1", suite="bookworm-security"),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14~deb12u1?arch=amd64&distro=bookworm",
        ),
        (archive(project="a_b", version="2.0", index="default"), "pkg:pypi/a-b@2.0"),
        (archive(name="a b/c"), f"pkg:generic/a%20b%2Fc?checksum=sha256:{HEX}"),
        (
            LockedFile(file="weights é.bin", sha256=HEX, size=1, to="/w"),
            f"pkg:generic/weights%20%C3%A9.bin?checksum=sha256:{HEX}",
        ),
    ],
)  # fmt: skip
def test_purls_of_locked_artifacts(artifact: Artifact, expected: str) -> None:
    assert purl(artifact) == expected
    assert PackageURL.from_string(expected).name in {
        name(artifact),
        canonicalize_name(name(artifact)),
    }


@pytest.mark.parametrize(
    ("suite", "release"),
    [
        ("bookworm", "bookworm"),
        ("bookworm-security", "bookworm"),
        ("bookworm-proposed-updates", "bookworm"),
        ("trixie-backports", "trixie"),
        ("my-suite", "my-suite"),
    ],
)
def test_the_release_of_a_suite(suite: str, release: str) -> None:
    assert distribution(suite) == release


@given(WORDS, WORDS)
def test_any_text_is_read_back(words: str, more: str) -> None:
    parts = {"arch": "amd64", "distro": "bookworm"}
    expected = PackageURL("deb", "debian", words, more, parts)
    assert PackageURL.from_string(purl(deb(name=words, version=more))) == expected


@given(WORDS)
def test_a_purl_is_ascii_without_space_whatever_the_name(words: str) -> None:
    for one in (purl(archive(name=words)), purl(WHEEL.model_copy(update={"version": words}))):
        assert one.isascii()
        assert one.isprintable()
        assert " " not in one
        assert one.count("?") <= 1
        assert "#" not in one


def test_what_artifacts_are_called() -> None:
    artifacts: list[Artifact] = [WHEEL, SDIST, DEB, archive(), archive(project="p", version="3")]
    assert [name(one) for one in artifacts] == ["numpy", "jieba", "libc6", "tool", "p"]
    assert [version(one) for one in artifacts] == ["1.0", "0.42.1", "2.36-9", None, "3"]
    file = LockedFile(file="w", sha256=HEX, size=1, to="/w")
    assert (name(file), version(file)) == ("w", None)
    assert {type(one) for one in artifacts} == {Wheel, Sdist, Deb, LockedArchive}
