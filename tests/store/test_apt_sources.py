"""Mirrors from many shapes of apt configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.store.apt_sources import AptEntry, choose_mirrors, parse_deb822, parse_list

DEBIAN = "http://deb.example.org/debian"
SECURITY = "http://security.example.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_the_one_line_format() -> None:
    text = f"""
# deb http://old.example.org/debian buster main
deb {DEBIAN} bookworm main contrib  # trailing
deb-src {DEBIAN} bookworm main
deb [arch=amd64,arm64 signed-by={KEYRING}] {DEBIAN}/ bookworm-updates main
deb [ signed-by="{KEYRING}" trusted=yes ] {SECURITY} bookworm-security main
deb http://flat.example.org ./
deb
nonsense here
    """
    assert parse_list(text) == [
        AptEntry(DEBIAN, "bookworm", ("main", "contrib")),
        AptEntry(DEBIAN + "/", "bookworm-updates", ("main",), KEYRING),
        AptEntry(SECURITY, "bookworm-security", ("main",), KEYRING),
        AptEntry("http://flat.example.org", "./", ()),
    ]


def test_the_deb822_format() -> None:
    text = f"""# a comment
Types: deb deb-src
# another, inside
URIs: {DEBIAN} https://two.example.org/debian
suites: bookworm
  bookworm-updates
Components: main contrib
Signed-By: {KEYRING}

Types: deb
Enabled: no
URIs: http://off.example.org/debian
Suites: bookworm
Components: main


Types: deb-src
URIs: http://source.example.org/debian
Suites: bookworm
Components: main

 a continuation of nothing
"""
    assert parse_deb822(text) == [
        AptEntry(uri, suite, ("main", "contrib"), KEYRING)
        for uri in (DEBIAN, "https://two.example.org/debian")
        for suite in ("bookworm", "bookworm-updates")
    ]


def test_an_embedded_key_is_somebody_elses() -> None:
    text = f"""Types: deb
URIs: {DEBIAN}
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 xsFNBF
 -----END PGP PUBLIC KEY BLOCK-----
"""
    (entry,) = parse_deb822(text)
    assert entry.signed_by.startswith("-----BEGIN")
    assert choose_mirrors([entry], "debian", "bookworm") == ()


VENDORS = parse_list(
    """
deb https://node.example.org/node_20.x nodistro main
deb https://cloud.example.org/apt cloud-sdk-bookworm main
deb [signed-by=/etc/apt/keyrings/docker.asc] https://docker.example.org/linux/debian bookworm stable
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example.org bookworm main
deb https://nginx.example.org/packages/debian bookworm nginx
deb https://pg.example.org/pub/repos/apt bookworm-pgdg main
deb http://archive.example.org/ubuntu noble main universe
deb http://security.example.org/ubuntu noble-security main
deb cdrom:[Debian]/ bookworm main
deb mirror+file:/etc/apt/mirrors.txt bookworm main
deb http://arch.example.org/$(ARCH)/ bookworm main
"""
)


@pytest.mark.parametrize("suite", ["bookworm", "bookworm-security"])
def test_third_parties_never_serve_as_debian(suite: str) -> None:
    assert len(VENDORS) == 11
    assert choose_mirrors(VENDORS, "debian", suite) == ()
    assert choose_mirrors(VENDORS, "debian-security", suite) == ()


def test_the_archive_decides_and_the_same_suite_comes_first() -> None:
    entries = [
        *VENDORS,
        AptEntry("http://a.example.org/debian/", "trixie", ("main",)),
        AptEntry("http://b.example.org/debian", "bookworm", ("main",)),
        AptEntry("http://c.example.org/debian", "bookworm", ("main",), KEYRING),
        AptEntry("http://c.example.org/debian", "bookworm-updates", ("main",), KEYRING),
        AptEntry(SECURITY, "trixie-security", ("main",)),
        AptEntry("file:/srv/security", "bookworm-security", ("main",)),
    ]
    assert choose_mirrors(entries, "debian", "bookworm") == (
        "http://c.example.org/debian",
        "http://b.example.org/debian",
        "http://a.example.org/debian",
    )
    assert choose_mirrors(entries, "debian-security", "bookworm-security") == (
        "file:/srv/security",
        SECURITY,
    )
    assert choose_mirrors(entries, "debian", "forky")[0] == "http://c.example.org/debian"


@pytest.mark.parametrize("suite", ["buster/updates", "stable-security", "bookworm-security"])
def test_every_spelling_of_security(suite: str) -> None:
    entry = AptEntry(SECURITY, suite, ("main",))
    assert choose_mirrors([entry], "debian-security", "bookworm-security") == (SECURITY,)
    assert choose_mirrors([entry], "debian", "bookworm") == ()


@given(st.text(max_size=200))
def test_any_text_is_survived(text: str) -> None:
    found = choose_mirrors(parse_list(text) + parse_deb822(text), "debian", "bookworm")
    assert isinstance(found, tuple)
    for entry in parse_list(f"deb [{text}] {DEBIAN} bookworm main"):
        assert entry.suite
