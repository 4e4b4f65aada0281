"""Addresses: nothing secret is shown, nothing leads astray."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import FetchError
from hps.store import url


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://example.org/a", "https://example.org/a"),
        ("https://user:secret@example.org:8443/a", "https://***@example.org:8443/a"),
        ("https://token@example.org/a", "https://***@example.org/a"),
        ("https://a@b:secret@example.org/", "https://***@example.org/"),
        ("https://example.org/a?X-Signature=secret#secret", "https://example.org/a?***"),
        ("http://[bad", "an address that cannot be read"),
        ("file:///a/b", "file:///a/b"),
    ],
)
def test_credentials_are_never_shown(address: str, shown: str) -> None:
    assert url.redact(address) == shown


@given(st.text(max_size=60))
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(url.redact(text), str)


def test_a_redirect_keeps_credentials_within_its_origin_only() -> None:
    base = "https://user:secret@example.org/a/b"
    assert url.redirected(base, "c") == "https://user:secret@example.org/a/c"
    assert url.redirected(base, "//example.org/c") == "https://user:secret@example.org/c"
    assert url.redirected(base, "https://example.org:443/c") == (
        "https://user:secret@example.org:443/c"
    )
    assert url.redirected(base, "https://example.org:444/c") == "https://example.org:444/c"
    assert url.redirected(base, "https://x:y@other.example.org/") == "https://other.example.org/"


@pytest.mark.parametrize("location", ["http://example.org/a", "file:///etc/passwd", "ftp://x/"])
def test_a_redirect_never_gets_weaker(location: str) -> None:
    with pytest.raises(FetchError):
        url.redirected("https://example.org/a", location)


def test_http_may_become_https() -> None:
    assert url.redirected("http://example.org/", "https://example.org/") == "https://example.org/"


def test_paths_are_joined_and_encoded() -> None:
    assert url.join("https://example.org/debian/", "pool/main/g/g++_1~2%3a.deb") == (
        "https://example.org/debian/pool/main/g/g%2B%2B_1~2%253a.deb"
    )
    assert url.join("https://example.org", "a b") == "https://example.org/a%20b"


def test_a_path_becomes_an_address(tmp_path: Path) -> None:
    assert url.from_text("mirror", tmp_path) == (tmp_path / "mirror").as_uri()
    assert url.from_text(str(tmp_path)) == tmp_path.as_uri()
    assert url.from_text("https://example.org/simple") == "https://example.org/simple"
    with pytest.raises(FetchError):
        url.from_text("ftp://example.org/")
