"""The record of a release: written and read, and what is refused."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.digest import Digest
from hps.model.probe import Probe
from hps.model.release import (
    LAST_SEQUENCE,
    Group,
    Member,
    ModelRelease,
    ReleaseFile,
    check_channel,
    check_name,
    fits,
    ordered,
    read_time,
    time_text,
    together,
)
from tests.model.releases import EXPIRES, ISSUED, release

PROBE = Probe({"x": {"datatype": "FP32", "shape": [1], "data": [0.5]}}, {})
FULL = release(
    version="2026.11", runtime={"paddlex": ">=3.7,<4", "triton-backend": "python"}, probe=PROBE
)


def read(record: Any, of: ModelRelease = FULL) -> ModelRelease:
    return ModelRelease.from_record(
        canonical.loads(canonical.dumps(record)), {one.path: one.digest for one in of.files}
    )


@pytest.mark.parametrize("one", [release(), FULL, together("all", [FULL])[0]])
def test_a_record_gives_its_release_back(one: ModelRelease) -> None:
    assert read(one.as_record(), one) == one


def test_a_record_does_not_repeat_digests() -> None:
    text = canonical.dumps(FULL.as_record()).decode()
    assert not any(one.digest.hex in text for one in FULL.files)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("format", True),
        ("name", "../a"),
        ("name", ""),
        ("name", "a..b"),
        ("name", 1),
        ("channel", "a/b"),
        ("channel", ""),
        ("sequence", 0),
        ("sequence", -1),
        ("sequence", True),
        ("sequence", "7"),
        ("sequence", None),
        ("issued", "2026-11-01"),
        ("issued", "2026-11-01T12:00:00+00:00"),
        ("issued", "2026-02-30T12:00:00Z"),
        ("issued", "٢٠٢٦-11-01T12:00:00Z"),
        ("expires", time_text(ISSUED)),
        ("expires", time_text(ISSUED - timedelta(days=1))),
        ("files", []),
        ("files", {}),
        ("version", "a\nb"),
        ("version", "x" * 201),
        ("runtime", []),
        ("runtime", {"Paddle": "3"}),
        ("runtime", {"paddle": ""}),
        ("runtime", {"paddle": ">="}),
        ("runtime", {"paddle": ">>3"}),
        ("runtime", {f"k{n}": "1" for n in range(33)}),
        ("probe", {}),
        ("group", {"name": "g", "members": []}),
        ("group", {"name": "g", "members": [{"name": "other", "digest": "sha256:" + "0" * 64}]}),
        ("more", 1),
    ],
)
def test_a_changed_record_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError):
        read({**FULL.as_record(), key: value})


@pytest.mark.parametrize(
    "key", ["format", "name", "channel", "sequence", "issued", "expires", "files"]
)
def test_a_record_that_lacks_something_is_refused(key: str) -> None:
    record = FULL.as_record()
    del record[key]
    with pytest.raises(ValueError, match=key):
        read(record)


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.pop(),
        lambda files: files.append({"path": "more", "mode": "0644", "size": 1}),
        lambda files: files.reverse(),
        lambda files: files.append(files[0]),
        lambda files: files[0].update(mode="0777"),
        lambda files: files[0].update(mode=0o644),
        lambda files: files[0].update(size=-1),
        lambda files: files[0].update(size=2**50 + 1),
        lambda files: files[0].update(size=True),
        lambda files: files[0].update(path="../a"),
        lambda files: files[0].update(sha256="0" * 64),
    ],
)
def test_files_that_are_not_those_of_the_digests_are_refused(change: Any) -> None:
    record = copy.deepcopy(FULL.as_record())
    change(record["files"])
    with pytest.raises(ValueError):
        read(record)


def test_an_unsequenced_release_is_not_written() -> None:
    with pytest.raises(TypeError):
        release(sequence=None).as_record()
    with pytest.raises(TypeError):
        release(files=(ReleaseFile("a", Digest.of(b"")),)).as_record()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"channel": "canary"},
        {"sequence": 8},
        {"expires": EXPIRES + timedelta(seconds=1)},
        {"version": "2"},
        {"probe": None},
        {"runtime": {}},
        {"files": FULL.files[:-1]},
        {"files": (*FULL.files[:-1], replace(FULL.files[-1], mode=0o755))},
        {"files": (*FULL.files[:-1], replace(FULL.files[-1], size=99))},
        {"files": (*FULL.files[:-1], replace(FULL.files[-1], digest=Digest.of(b"else")))},
    ],
)
def test_any_change_gives_another_identity(changes: dict[str, Any]) -> None:
    other = replace(FULL, **changes)
    assert other.identity != FULL.identity
    assert other.member_digest != FULL.member_digest


def test_a_group_changes_the_identity_and_not_what_the_group_names() -> None:
    (bound,) = together("all", [FULL])
    assert bound.member_digest == FULL.member_digest
    assert bound.identity != FULL.identity


def test_a_group_names_every_member_by_content() -> None:
    members = [release(name=name) for name in ("b", "a", "c")]
    bound = together("pipeline", members)
    assert {one.group for one in bound} == {bound[0].group}
    group = bound[0].group
    assert group is not None
    assert [one.name for one in group.members] == ["a", "b", "c"]
    for one in bound:
        assert read(one.as_record(), one) == one
    assert not replace(bound[0], sequence=8).is_member(group)


def test_two_members_of_one_name_are_no_group() -> None:
    with pytest.raises(ValueError, match="twice"):
        together("g", [release(), release(sequence=8)])
    with pytest.raises(ValueError):
        together("g", [])


def test_members_out_of_order_are_refused() -> None:
    (bound,) = together("g", [FULL])
    assert bound.group is not None
    more = Group("g", (*bound.group.members, Member("a", Digest.of(b""))))
    with pytest.raises(ValueError, match="order"):
        read(replace(FULL, group=more).as_record())


def test_files_are_ordered_part_by_part() -> None:
    files = ordered([ReleaseFile(path, Digest.of(b"")) for path in ("a-b", "a/b", "a.b", "a")[:3]])
    assert [one.path for one in files] == ["a/b", "a-b", "a.b"]


@pytest.mark.parametrize("paths", [["a", "A"], ["model.sig"], ["../a"], ["a", "a/b"]])
def test_files_that_cannot_be_in_a_model_are_refused(paths: list[str]) -> None:
    with pytest.raises(ValueError):
        ordered([ReleaseFile(path, Digest.of(b"")) for path in paths])


@pytest.mark.parametrize(
    ("needed", "here", "answer"),
    [
        ("python", "python", True),
        ("python", "onnx", False),
        ("3.7", "3.7.0", False),
        (">=3.7,<4", "3.7.2", True),
        (">=3.7,<4", "4.0", False),
        (">=3.7", "3.8rc1", True),
        ("~=3.7", "3.9", True),
        ("!=3.7", "3.7", False),
        (">=3.7", "python", False),
    ],
)
def test_what_fits(needed: str, here: str, answer: bool) -> None:
    assert fits(needed, here) is answer


@pytest.mark.parametrize("name", ["a", "A1", "ocr-v4_det.server", "a" * 64])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["a" * 65, ".a", "a.", "-a", "a b", "ä", "a/b", "a..b", None, "a\n"]
)
def test_names_that_are_none(name: Any) -> None:
    with pytest.raises(ValueError):
        check_name(name)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a\n", "a/b", "x" * 65])
def test_channels_that_are_none(name: str) -> None:
    with pytest.raises(ValueError):
        check_channel(name)


@given(st.datetimes(timezones=st.just(UTC)).map(lambda when: when.replace(microsecond=0)))
def test_every_time_comes_back(when: datetime) -> None:
    assert read_time(time_text(when), "it") == when


json = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(FULL.as_record())), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(FULL.as_record())), json)
def test_any_value_is_read_or_refused(key: str, value: Any) -> None:
    try:
        found = ModelRelease.from_record(
            {**FULL.as_record(), key: value}, {one.path: one.digest for one in FULL.files}
        )
    except ValueError:
        return
    assert found.as_record() is not None
    assert found.sequence is not None
    assert 1 <= found.sequence <= LAST_SEQUENCE
