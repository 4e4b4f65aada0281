"""Challenges and tokens, as data."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.oci.registry_auth import (
    Challenge,
    Credentials,
    parse_challenges,
    parse_token,
    token_request,
)

REALM = "https://auth.example/token"


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ("Basic", (Challenge("basic"),)),
        ('Basic realm="a, b"', (Challenge("basic", {"realm": "a, b"}),)),
        (
            'Bearer realm="https://a.example/t",service="r",scope="repository:a/b:pull,push"',
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a.example/t",
                        "service": "r",
                        "scope": "repository:a/b:pull,push",
                    },
                ),
            ),
        ),
        (
            'BEARER Realm = "x\\"y\\\\" , error=insufficient , basic realm=z',
            (
                Challenge("bearer", {"realm": 'x"y\\', "error": "insufficient"}),
                Challenge("basic", {"realm": "z"}),
            ),
        ),
        ("Negotiate abcd==, Basic realm=x", (Challenge("negotiate"), Challenge("basic", {"realm": "x"}))),
        (" , ,Basic realm=x,", (Challenge("basic", {"realm": "x"}),)),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, challenges: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == challenges


@pytest.mark.parametrize(
    "header",
    [
        'Bearer realm="open', 'Bearer realm="a"service="b"', 'Bearer realm="a",realm="b"', "=x",
        '"quoted"', 'Bearer realm="a" junk="', "Bearer " + 'a="b",' * 5000,
    ],
)  # fmt: skip
def test_what_does_not_follow_the_grammar_is_refused(header: str) -> None:
    with pytest.raises(ValueError):
        parse_challenges(header)


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_header_is_read_or_refused(header: str) -> None:
    try:
        found = parse_challenges(header)
    except ValueError:
        return
    assert all(each.scheme == each.scheme.lower() for each in found)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def test_a_token_is_asked_for_what_hps_wants() -> None:
    """Not for what the challenge says: the registry must not choose what credentials are for."""
    parameters = {"realm": REALM + "?x=1", "service": "r", "scope": "repository:secret/x:pull,push"}
    asked = token_request(
        parameters, "repository:a/b:pull", Credentials("u", "p:ü"), from_loopback=False
    )
    assert query_of(asked.url) == {"x": ["1"], "service": ["r"], "scope": ["repository:a/b:pull"]}
    assert asked.method == "GET"
    assert base64.b64decode((asked.authorization or "").split()[1]).decode() == "u:p:ü"


def test_nobody_asks_anonymously_and_an_identity_token_in_a_form() -> None:
    parameters = {"realm": REALM}
    asked = token_request(parameters, "repository:a:pull", None, from_loopback=False)
    assert (asked.authorization, asked.body) == (None, None)
    credentials = Credentials("u", "p", identity_token="i&d")
    asked = token_request(parameters, "repository:a:pull", credentials, from_loopback=False)
    assert (asked.method, asked.url, asked.authorization) == ("POST", REALM, None)
    form = parse_qs((asked.body or b"").decode())
    assert form["refresh_token"] == ["i&d"]
    assert form["grant_type"] == ["refresh_token"]


@pytest.mark.parametrize(
    "realm",
    [
        "", "token", "file:///etc/passwd", "ftp://a.example/", "http://a.example/", "https://",
        "https://u:p@a.example/", "http://127.0.0.1/", "https://localhost/", "https://[::1]/",
        "https://a.example/\r\nX: y", "https://[/", "https://a.example/ x",
    ],
)  # fmt: skip
def test_a_realm_that_may_not_be_asked_is_refused(realm: str) -> None:
    with pytest.raises(ValueError):
        token_request({"realm": realm}, "s", None, from_loopback=False)


def test_a_registry_on_this_machine_may_have_its_token_server_there() -> None:
    asked = token_request({"realm": "http://127.0.0.1:1/t"}, "s", None, from_loopback=True)
    assert asked.url == "http://127.0.0.1:1/t?scope=s"
    with pytest.raises(ValueError):
        token_request({"realm": "http://a.example/"}, "s", None, from_loopback=True)


def test_a_token_is_read() -> None:
    assert parse_token(b'{"token":"abc","expires_in":60}') == "abc"
    assert parse_token(b'{"access_token":"abc"}') == "abc"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>Log in</html>", b"[]", b"{}", b'{"token":""}', b'{"token":1}', b"\xff",
        b'{"token":"a\\r\\nX-Evil: 1"}', b'{"token":"a b"}', b'{"token":"a","token":"b"}',
        b'{"token":"\xc3\xa4"}', b"[" * 100_000, b'{"token":"' + b"a" * 70_000 + b'"}',
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse_token(body)


def test_secrets_are_not_in_the_text_of_an_object() -> None:
    credentials = Credentials("u", "hidden1", "hidden2", "hidden3")
    asked = token_request({"realm": REALM}, "s", Credentials("u", "hidden4"), from_loopback=False)
    assert "hidden" not in repr(credentials)
    assert base64.b64encode(b"u:hidden4").decode() not in repr(asked)
