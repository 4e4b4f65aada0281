"""Names of things in registries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import UsageError
from hps.oci.reference import Reference, is_loopback, is_tag

HEX = "ab" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.example/app", ("registry.example", "app", None, None)),
        ("registry.example/ns/app:1.2", ("registry.example", "ns/app", "1.2", None)),
        ("registry.example:5000/a/b/c", ("registry.example:5000", "a/b/c", None, None)),
        ("localhost/app:v", ("localhost", "app", "v", None)),
        ("127.0.0.1:5000/a__b/c-d.e:V_1", ("127.0.0.1:5000", "a__b/c-d.e", "V_1", None)),
        ("[::1]:5000/a:1", ("[::1]:5000", "a", "1", None)),
        (f"r.example/a@sha256:{HEX}", ("r.example", "a", None, HEX)),
        (f"r.example/a:1@sha256:{HEX}", ("r.example", "a", "1", HEX)),
        ("r.example/a:" + "t" * 128, ("r.example", "a", "t" * 128, None)),
    ],
)
def test_a_reference_is_taken_apart_and_put_together(
    text: str, parts: tuple[str, str, str | None, str | None]
) -> None:
    found = Reference.parse(text)
    digest = None if parts[3] is None else Digest(parts[3])
    assert found == Reference(parts[0], parts[1], parts[2], digest)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "app", "app:1", "ns/app", "library/app:latest", "/app", "r.example", "r.example/",
        "r.example/App", "r.example/a//b", "r.example/a/", "r.example/-a", "r.example/a..b",
        "r.example/../a", "r.example/a:", "r.example/a:-1", "r.example/a:b:c", "r.example/a@",
        f"r.example/a@sha256:{HEX.upper()}", "r.example/a@sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "r.example/a@sha256:ab", "https://r.example/a", "docker://r.example/a", "r.example:0/a",
        "r.example:99999/a", "r.example:/a", "u:p@r.example/a", "r_x.example/a", "[::g]:1/a",
        "r.example/a:" + "t" * 129, "r.example/" + "a" * 256, "r.example/a b", "r.example/a\n",
        "r.example/a:1\n", "r.example/ä", "r.example/a?x", "r.example/a#x", "r.example/%61",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert caught.value.hint
    assert caught.value.expected == "HOST[:PORT]/NAME[:TAG][@sha256:…]"


def test_nothing_is_assumed() -> None:
    with pytest.raises(UsageError, match="names nothing") as caught:
        Reference.parse("team/app:1")
    assert "HOST/team/app:1" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="neither which tag nor which digest"):
        _ = Reference.parse("r.example/a").wanted


def test_the_digest_wins_over_the_tag() -> None:
    found = Reference.parse(f"r.example/a:1@sha256:{HEX}")
    assert found.wanted == Digest(HEX)
    assert str(found.at("2")) == "r.example/a:2"
    assert str(found.at(Digest(HEX))) == f"r.example/a@sha256:{HEX}"
    assert Reference.parse("r.example/a:1").wanted == "1"


def test_escape_sequences_are_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse("\x1b[2Jr.example/a\u202e")
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("LocalHost", True), ("127.0.0.1", True), ("127.9.9.9", True),
        ("[::1]", True), ("::1", True), ("localhost.example", False), ("10.0.0.1", False),
        ("127.0.0.1.example", False), ("0.0.0.0", False), ("[::]", False), ("", False),
    ],
)  # fmt: skip
def test_this_machine_is_known_by_its_name(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_loopback_reference_knows_it() -> None:
    assert Reference.parse("[::1]:5000/a").is_loopback
    assert Reference.parse("localhost:5000/a").is_loopback
    assert not Reference.parse("r.example:5000/a").is_loopback


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(found)) == found
    assert found.tag is None or is_tag(found.tag)
