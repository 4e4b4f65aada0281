"""When two looks at a source show the same, and which models are not begun."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.look import Look, agree, check_model, is_settled
from hps.monitor.source import Caps, Donefile, Found, SourceError, Trouble

NOW = 1_800_000_000.0
TOKENS = st.dictionaries(
    st.sampled_from(("etag", "modified", "digest", "checksum", "id", "weak-etag")), st.text()
)
FOUND = st.builds(
    Found, st.sampled_from(("", "a", "b/c")), st.none() | st.integers(0), TOKENS,
    resolution=st.sampled_from((0.0, 0.001, 1.0, 60.0)),
    age=st.none() | st.floats(-1e6, 1e9),
)  # fmt: skip


def dated(ago: float, *, resolution: float = 1.0, age: float | None = None) -> Found:
    return Found("", 1, {"modified": f"{NOW - ago:.3f}"}, resolution=resolution, age=age)


@given(FOUND, FOUND)
def test_to_agree_is_mutual_and_everything_agrees_with_itself(one: Found, other: Found) -> None:
    assert agree(one, one)
    assert agree(one, other) == agree(other, one)


@given(FOUND, st.floats(-1e12, 1e12))
def test_any_tokens_can_be_asked_whether_they_are_settled(found: Found, now: float) -> None:
    if is_settled(found, now):
        assert found.tokens


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Found("", 1), Found("", 2), False),
        (Found("", None), Found("", 2), True),
        (Found("a", 1), Found("b", 1), False),
        (Found("", 1, {"etag": '"1"'}), Found("", 1, {"etag": '"2"'}), False),
        (Found("", 1, {"etag": '"1"'}), Found("", 1, {"modified": "2"}), True),
        (Found("", 1, {"modified": "1"}, age=5.0), Found("", 1, {"modified": "1"}, age=9.0), True),
    ],
)
def test_what_only_one_tells_decides_nothing(one: Found, other: Found, same: bool) -> None:
    assert agree(one, other) is same


@pytest.mark.parametrize(
    ("found", "settled"),
    [
        (dated(0, age=0.0), False),
        (dated(0, age=1.0), False),
        (dated(0, age=2.0), True),
        (dated(0, age=-50.0), False),
        (dated(59, resolution=60.0, age=59.0), False),
        (dated(61, resolution=60.0, age=61.0), True),
        (dated(10), False),  # clocks may differ by more
        (dated(3600), True),
        (dated(-3600), False),
        (dated(0, resolution=0.0), True),
        (Found("", 1), False),
        (Found("", 1, {"weak-etag": 'W/"1"'}), False),
        (Found("", 1, {"etag": '"1"'}), True),
        (Found("", 1, {"etag": '"1"', "modified": f"{NOW}"}, age=0.0), False),
        (Found("", 1, {"digest": "sha256:00", "modified": f"{NOW}"}, age=0.0), True),
        (Found("", 1, {"modified": "yesterday"}), False),
        (Found("", 1, {"modified": "nan"}), False),
    ],
)
def test_tokens_count_when_their_second_is_over(found: Found, settled: bool) -> None:
    assert is_settled(found, NOW) is settled


def test_a_donefile_that_comes_or_goes_is_another_look() -> None:
    donefile = Donefile(Found("", 3), b"now")
    looks = [
        Look(None, ()),
        Look(donefile, ()),
        Look(Donefile(Found("", 3), b"not"), ()),
        Look(donefile, (Found("a", 1),)),
        Look(donefile, (Found("a", 1), Found("b", 1))),
    ]
    for number, one in enumerate(looks):
        assert [one.is_like(other) for other in looks] == [
            number == place for place in range(len(looks))
        ]


@pytest.mark.parametrize(
    "paths",
    [
        ("../a",), ("/a",), ("a/../b",), ("a//b",), ("a/",), (".",), ("a\x00",), ("a\nb",),
        ("a\\b",), ("a\u202eb",), ("a", "A"), ("a", "a"), ("a", "a/b"), ("é", "e\u0301"),
        ("A/x", "a/y"), ("\ud800",), ("x" * 256,), ("", "a"), ("c:/a",),
    ],
)  # fmt: skip
def test_names_that_lead_out_or_could_be_one_file_are_malformed(paths: tuple[str, ...]) -> None:
    with pytest.raises(SourceError) as caught:
        check_model([Found(path, 1) for path in paths], Caps())
    assert caught.value.trouble is Trouble.MALFORMED


@pytest.mark.parametrize(
    ("found", "caps"),
    [
        ([Found("a", 1), Found("b", 1)], Caps(files=1)),
        ([Found("a", 6), Found("b", 5)], Caps(bytes=10)),
        ([Found("", 11)], Caps(bytes=10)),
        ([Found("a/b/c/d", 1)], Caps(depth=2)),
    ],
)
def test_what_is_beyond_a_cap_is_too_large(found: list[Found], caps: Caps) -> None:
    with pytest.raises(SourceError) as caught:
        check_model(found, caps)
    assert caught.value.trouble is Trouble.TOO_LARGE


def test_a_packed_model_and_a_plain_folder_pass() -> None:
    check_model([Found("", 10)], Caps())
    check_model([Found("a b", 1), Found("c/ü#?%;", None)], Caps())
