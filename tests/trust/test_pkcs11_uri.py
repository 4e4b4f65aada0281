"""PKCS#11 URIs (RFC 7512)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import KeyUnusableError
from hps.trust.pkcs11_uri import KeyUri

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def test_what_tools_print_is_read() -> None:
    uri = KeyUri.parse(
        "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=0a1b;token=my%20token;"
        "id=%01%ff;object=key;type=private?module-path=/usr/lib/x.so&pin-source=file:///run/pin"
    )
    assert uri == KeyUri(
        "/usr/lib/x.so",
        (
            ("token", "my token"),
            ("serial", "0a1b"),
            ("manufacturer", "SoftHSM project"),
            ("model", "SoftHSM v2"),
        ),
        "key",
        b"\x01\xff",
        "/run/pin",
    )
    assert uri.label == "my token"


@given(WORDS, WORDS, st.binary(max_size=40), WORDS, st.booleans())
def test_what_is_written_is_read(
    token: str, name: str, identity: bytes, file: str, secret: bool
) -> None:
    uri = KeyUri(f"/{file}", (("token", token),), name, identity, "/run/pin" if secret else "")
    if len(str(uri)) <= 4096:
        assert KeyUri.parse(str(uri)) == uri
        assert str(uri).isascii()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "begin"),
        ("PKCS11:token=a?module-path=/x", "begin"),
        ("pkcs11:" + "a" * 4096, "begin"),
        ("pkcs11:?module-path=/x", "which token"),
        ("pkcs11:object=a?module-path=/x", "which token"),
        ("pkcs11:token=a", "module-path"),
        ("pkcs11:token=a?module-path=x.so", "module-path"),
        ("pkcs11:token=a?module-name=softhsm", "does not support"),
        ("pkcs11:token=a;slot-id=1?module-path=/x", "does not support"),
        ("pkcs11:token=a;token=b?module-path=/x", "twice"),
        ("pkcs11:token=a;?module-path=/x", "does not support"),
        ("pkcs11:token?module-path=/x", "does not support"),
        ("pkcs11:token=a;type=public?module-path=/x", "not a private key"),
        ("pkcs11:token=a;type=cert?module-path=/x", "not a private key"),
        ("pkcs11:token=a b?module-path=/x", "percent-encoded"),
        ("pkcs11:token=%zz?module-path=/x", "percent-encoded"),
        ("pkcs11:token=%ff?module-path=/x", "not UTF-8"),
        ("pkcs11:token=?module-path=/x", "empty"),
        ("pkcs11:token=%00?module-path=/x", "NUL"),
        ("pkcs11:token=a?module-path=/x&pin-source=|cat", "percent-encoded"),
        ("pkcs11:token=a?module-path=/x&pin-source=pin", "absolute path"),
        ("pkcs11:token=a?module-path=/x&pin-source=https:/example.org", "absolute path"),
    ],
)
def test_what_is_not_read(text: str, fault: str) -> None:
    with pytest.raises(KeyUnusableError, match=fault):
        KeyUri.parse(text)


def test_a_pin_in_it_is_refused_and_not_repeated() -> None:
    with pytest.raises(KeyUnusableError, match="PIN does not belong") as caught:
        KeyUri.parse("pkcs11:token=a?module-path=/x&pin-value=4711")
    assert "4711" not in str(caught.value)
