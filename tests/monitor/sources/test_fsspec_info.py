"""What file systems of fsspec say, in one form."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.look import is_settled
from hps.monitor.sources.fsspec_info import found, seconds

MOMENT = datetime(2026, 11, 22, 10, 0, 0, 250000, tzinfo=UTC)
STAMP = "1795341600.25"


@pytest.mark.parametrize(
    ("protocol", "info", "tokens", "settled"),
    [
        (
            "s3",
            {"ETag": '"abc"', "LastModified": MOMENT, "VersionId": "null", "type": "file"},
            {"etag": '"abc"', "modified": STAMP},
            True,
        ),
        (
            "gs",
            {"etag": "x", "updated": "2026-11-22T10:00:00.25Z", "generation": "7", "crc32c": "q"},
            {"etag": "x", "modified": STAMP, "id": "generation=7", "checksum": "crc32c=q"},
            True,
        ),
        ("file", {"mtime": 12.5, "ino": 9}, {"modified": "12.5", "id": "ino=9"}, True),
        ("hf", {"lfs": {"sha256": "a" * 64}}, {"digest": f"sha256:{'a' * 64}"}, True),
        ("sftp", {"mtime": MOMENT.replace(tzinfo=None)}, {"modified": STAMP}, False),
        ("https", {"ETag": 'W/"1"'}, {"weak-etag": 'W/"1"'}, False),
        ("x", {}, {}, False),
    ],
)
def test_each_tells_it_in_its_own_words(
    protocol: str, info: dict[str, Any], tokens: dict[str, str], settled: bool
) -> None:
    one = found("a", {"size": 3, **info}, protocol)
    assert (one.path, one.size, one.tokens) == ("a", 3, tokens)
    assert is_settled(one, MOMENT.timestamp() + 1) is settled


@pytest.mark.parametrize("size", [None, -1, "3", 1.5, True])
def test_a_size_that_is_none_is_not_told(size: object) -> None:
    assert found("", {"size": size}, "s3").size is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (MOMENT, STAMP),
        (1795341600250, STAMP),
        ("1795341600.25", STAMP),
        ("2026-11-22T10:00:00.250+00:00", STAMP),
        ("yesterday", None),
        (True, None),
        (-1, None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_times_are_seconds(value: object, told: str | None) -> None:
    assert seconds(value) == told


@given(
    st.dictionaries(
        st.sampled_from(["size", "ETag", "mtime", "LastModified", "lfs", "ino", "md5", "sha256"]),
        st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    )
)
def test_whatever_is_told_gives_texts(info: dict[str, Any]) -> None:
    one = found("a", info, "s3")
    assert all(type(value) is str and len(value) > 0 for value in one.tokens.values())
