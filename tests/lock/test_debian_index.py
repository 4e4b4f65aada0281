"""Packages indexes: read in any pieces, damaged in any way."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import IntegrityError, LockError
from hps.lock.debian_index import (
    fields,
    read_package,
    relation_groups,
    release_digests,
    requesters,
    stanza_name,
    stanzas,
)
from tests.lock.indexes import stanza

INDEX = "\n".join([stanza("a"), stanza("b", Depends="a (>= 1) | c"), stanza("c")]).encode()


@given(st.lists(st.integers(0, len(INDEX)), max_size=6))
def test_stanzas_do_not_depend_on_the_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(INDEX)]
    pieces = [INDEX[start:end] for start, end in itertools.pairwise(edges)]
    assert [stanza_name(each) for each in stanzas(pieces)] == ["a", "b", "c"]


def test_folded_fields_are_joined() -> None:
    found = fields(b"Package: a\nDepends: b,\n c (>= 1),\n\td\nSize: 3")
    assert found == {"Package": "a", "Depends": "b, c (>= 1), d", "Size": "3"}


def test_relations_keep_names_only() -> None:
    text = "libc6 (>= 2.36), python3:any | python3.11 [amd64], , g++, default-mta | mail"
    expected = [("libc6",), ("python3", "python3.11"), ("g++",), ("default-mta", "mail")]
    assert relation_groups(text) == expected
    assert relation_groups("") == []


def test_a_stanza_becomes_a_record() -> None:
    text = stanza("b", "1:2-3", Pre_Depends="x", Depends="a | c, d", Provides="virtual (= 1), w")
    package = read_package(text.encode(), "bookworm")
    assert package.pool == "pool/main/b/b/b_1:2-3_amd64.deb"
    assert (package.version, package.size, package.suite) == ("1:2-3", 1234, "bookworm")
    assert package.depends == (("x",), ("a", "c"), ("d",))
    assert package.provides == ("virtual", "w")


@pytest.mark.parametrize("field", ["Version", "Architecture", "Filename", "Size", "SHA256"])
def test_a_stanza_that_says_too_little_is_refused(field: str) -> None:
    text = "".join(line for line in stanza("a").splitlines(True) if not line.startswith(field))
    with pytest.raises(LockError, match="too little about a"):
        read_package(text.encode(), "bookworm")


def test_a_size_that_is_no_number_is_refused() -> None:
    with pytest.raises(LockError):
        read_package(stanza("a", Size="-1").encode(), "bookworm")


def test_release_digests_end_with_their_section() -> None:
    digest = "0" * 64
    text = f"Suite: x\nSHA256:\n {digest} 12 main/Packages\n {digest}  3 main/x.xz\nOther: y\n z\n"
    assert release_digests(text) == {"main/Packages": digest, "main/x.xz": digest}


@pytest.mark.parametrize("text", ["", "SHA256:\n", "\nSHA256:\n nonsense\n", "MD5Sum:\n 0 0 a\n"])
def test_a_release_without_digests_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        release_digests(text)


def test_who_asked_follows_alternatives_and_providers() -> None:
    texts = [
        stanza("app", Depends="mta | sendmail, libx, app-data"),
        stanza("postfix", Provides="mta", Depends="libx"),
        stanza("sendmail"),
        stanza("libx", Depends="absent | app-data"),
        stanza("app-data", Depends="app"),
    ]
    packages = [read_package(text.encode(), "s") for text in texts]
    assert requesters(packages, ["app", "sendmail"], "hps.toml") == {
        "app": ("app-data", "hps.toml"),
        "postfix": ("app",),
        "sendmail": ("hps.toml",),
        "libx": ("app", "postfix"),
        "app-data": ("app", "libx"),
    }
