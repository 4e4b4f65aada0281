"""Addresses: what is understood and what is refused."""

import pytest
from hps_client import InvalidInput
from hps_client.address import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", "http://localhost:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("localhost:8001", "grpc://localhost:8001"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("http://a", "http://a:80"),
        ("http://a:8001", "http://a:8001"),
        ("https://a/ocr/", "https://a:443/ocr"),
        ("grpc://a", "grpc://a:8001"),
        ("grpcs://a:443", "grpcs://a:443"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert str(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", ":8000", "ftp://a", "http://", "a:x", "a:99999", "http://u:p@a", "http://a?b", "a b",
     "grpc://a/b", "http://[::1", "a\n", "http://a#b"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="no address of a server"):
        parse(text)
