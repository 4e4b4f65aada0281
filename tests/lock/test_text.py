"""hps.lock as text: canonical, sealed, and every field checked."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import LockError
from hps.lock import text
from hps.lock.records import Deb, Layer, Lock, LockedTarget, Resolver, Sdist, Wheel

HEX = "0123456789abcdef" * 4


def wheel(name: str = "numpy", via: tuple[str, ...] = ("app.in",)) -> Wheel:
    file = f"{name}-1.0-py3-none-any.whl"
    return Wheel(file=file, sha256=HEX, size=12, name=name, version="1.0", index="default", via=via)


def lock(*wheels: Wheel) -> Lock:
    sdist = Sdist(
        file="jieba-0.42.1.tar.gz",
        sha256=HEX,
        size=5,
        name="jieba",
        version="0.42.1",
        index="default",
        build=(wheel("setuptools", ()),),
        wheel="jieba-0.42.1-py3-none-any.whl",
        wheel_sha256=HEX,
        wheel_size=9,
    )
    deb = Deb(
        file="libc6_2.36-9_amd64.deb",
        sha256=HEX,
        size=7,
        name="libc6",
        version="2.36-9",
        architecture="amd64",
        source="bookworm",
        suite="bookworm",
        archive="debian",
        pool="pool/main/g/glibc/libc6_2.36-9_amd64.deb",
    )
    layer = Layer(
        name="debian",
        kind="debian",
        members=("libc6",),
        diff_id=HEX,
        size=10240,
        entries=3,
        paths="AAAAAAAA",
    )
    target = LockedTarget(
        name="cpu",
        platform="linux/amd64",
        python_version="3.11",
        glibc="2.36",
        debs=(deb,),
        wheels=wheels or (wheel(),),
        sdists=(sdist,),
        layers=(layer,),
        inputs=(("targets.cpu.debian.packages", "00112233aabbccdd"),),
    )
    resolver = Resolver(name="uv", version="0.13.9", flags=("--no-build",))
    return Lock(resolver=resolver, functions={"wheels": 1}, targets=(target,))


def reseal(data: bytes) -> bytes:
    body = data.decode().rpartition("\n[check]\n")[0]
    return (body + f'\n[check]\nseal = "{Digest.of(body.encode())}"\n').encode()


def test_what_is_written_is_read_back() -> None:
    assert text.read(text.write(lock())) == lock()


def test_one_artifact_a_line_and_valid_toml() -> None:
    data = text.write(lock(wheel("a"), wheel("b"))).decode()
    assert sum(line.startswith('    {file = "') for line in data.splitlines()) == 4
    assert tomllib.loads(data)["targets"][0]["wheels"][1]["name"] == "b"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_text_survives(words: str) -> None:
    made = lock(wheel("numpy", (words,)))
    assert text.read(text.write(made)) == made


def test_line_ends_of_a_checkout_do_not_matter() -> None:
    assert text.read(text.write(lock()).replace(b"\n", b"\r\n")) == lock()


def test_an_edited_lock_is_refused_whatever_was_edited() -> None:
    data = text.write(lock())
    lines = data.decode().splitlines(keepends=True)
    refused = 0
    for number, line in enumerate(lines):
        for old, new in (("0", "1"), ("a", "b"), ('"', '"x')):
            if old not in line:
                continue
            edited = "".join([*lines[:number], line.replace(old, new, 1), *lines[number + 1 :]])
            with pytest.raises(LockError) as caught:
                text.read(edited.encode())
            assert caught.value.exit_code == 3
            assert caught.value.hint
            refused += 1
    assert refused > 30


FAULTS: list[tuple[str, str, str]] = [
    ('file = "libc6', 'flie = "libc6', "targets.0].debs[0]"),
    ("size = 7", "size = -7", "debs[0].size"),
    (f'sha256 = "{HEX}"', 'sha256 = "abc"', "sha256"),
    ('archive = "debian"', 'archive = "elsewhere"', "archive"),
    ("pool/main", "../main", "pool"),
    ('codec = "none"', 'codec = "zstd"', "codec"),
    ("entries = 3", 'entries = "3"', "layers[0].entries"),
]


@pytest.mark.parametrize(("old", "new", "where"), FAULTS)
def test_a_wrong_field_is_named_even_when_resealed(old: str, new: str, where: str) -> None:
    data = text.write(lock()).decode()
    assert old in data
    with pytest.raises(LockError) as caught:
        text.read(reseal(data.replace(old, new, 1).encode()))
    assert where.replace("targets.0]", "targets[0]") in " ".join(caught.value.details)


def test_a_newer_version_says_upgrade() -> None:
    data = text.write(lock()).replace(b"version = 1\n", b"version = 2\n", 1)
    with pytest.raises(LockError, match="version") as caught:
        text.read(data)
    assert "upgrade hps" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "not valid TOML"),
        (b"", "version"),
        (b"version = 1\n<<<<<<< ours\n", "merge conflict"),
        (b"version = 1\n[resolver", "not valid TOML"),
    ],
)
def test_broken_files_are_explained(data: bytes, said: str) -> None:
    with pytest.raises(LockError) as caught:
        text.read(data)
    assert said in str(caught.value)


def test_no_lock_names_a_host() -> None:
    data: Any = text.write(lock())
    assert b"://" not in data
