"""What heads of answers tell, hostile ones too."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.sources import http_fields

NAMES = ("ETag", "Last-Modified", "Date", "Content-Range", "Content-Encoding", "Repr-Digest")
HEADS = st.dictionaries(st.sampled_from(NAMES), st.text())
DATE = "Sun, 22 Nov 2026 07:30:00 GMT"


@given(HEADS, st.integers(0))
def test_any_head_can_be_read(head: dict[str, str], offset: int) -> None:
    found = http_fields.found("a", head, 5)
    assert all(found.tokens.values())
    http_fields.rest_size(head, offset)
    http_fields.size_in_range(head)
    http_fields.is_as_stored(head, "model.tar.gz")
    fields = http_fields.resume(found, offset)
    assert fields is None or fields["Range"] == f"bytes={offset}-"


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ('"a-1"', {"etag": '"a-1"'}),
        ('""', {"etag": '""'}),
        ('W/"a"', {"weak-etag": 'W/"a"'}),
        ('w/"a"', {"weak-etag": 'w/"a"'}),
        ("abc", {"weak-etag": "abc"}),
        ('"a"b"', {"weak-etag": '"a"b"'}),
        ("", {}),
        ('"' + "a" * 2000 + '"', {}),
    ],
)
def test_only_a_strong_etag_is_one(value: str, token: dict[str, str]) -> None:
    assert http_fields.found("", {"ETag": value}, None).tokens == token


def test_the_age_is_by_the_clock_of_the_server() -> None:
    head = {"Last-Modified": "Sun, 22 Nov 2026 07:29:30 GMT", "Date": DATE}
    found = http_fields.found("", head, None)
    assert found.age == 30
    assert found.tokens == {"modified": "1795332570"}
    assert http_fields.found("", {"Last-Modified": DATE}, None).age is None


@pytest.mark.parametrize(
    "text", ["", "yesterday", "Sun, 99 Nov 2026 07:30:00 GMT", "0", "Sun, 22 Nov 99999 07:30:00"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_fields.seconds(text) is None


def test_a_date_comes_back_as_it_was_sent() -> None:
    found = http_fields.found("", {"Last-Modified": DATE}, 10)
    assert http_fields.resume(found, 4) == {"Range": "bytes=4-", "If-Range": DATE}
    strong = http_fields.found("", {"Last-Modified": DATE, "ETag": '"a"'}, 10)
    assert http_fields.resume(strong, 4) == {"Range": "bytes=4-", "If-Range": '"a"'}
    weak = http_fields.found("", {"ETag": 'W/"a"'}, 10)
    assert http_fields.resume(weak, 4) is None


@pytest.mark.parametrize(
    "form", ["sha-256=:{}:", "md5=:AAAA:, sha-256=:{}:", "SHA-256={}", "sha-256=:{}:, sha-512=:AA:"]
)
def test_a_digest_counts_in_both_forms(form: str) -> None:
    digest = hashlib.sha256(b"data")
    value = form.format(base64.b64encode(digest.digest()).decode())
    found = http_fields.found("", {"Repr-Digest": value}, 4)
    assert found.tokens == {"digest": f"sha256:{digest.hexdigest()}"}
    assert found.resolution == 0


@pytest.mark.parametrize(
    ("text", "offset", "size"),
    [
        ("bytes 5-9/10", 5, 10), ("bytes 5-8/10", 5, None), ("bytes 4-9/10", 5, None),
        ("bytes 5-9/*", 5, None), ("bytes */10", 5, None), ("", 5, None), ("bytes 0-0/0", 0, None),
        ("bytes 9-5/10", 9, None), (f"bytes 5-{'9' * 20}/{'9' * 20}", 5, None),
    ],
)  # fmt: skip
def test_only_the_whole_rest_is_a_rest(text: str, offset: int, size: int | None) -> None:
    assert http_fields.rest_size({"Content-Range": text}, offset) == size
