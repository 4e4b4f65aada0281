"""The journal: what was appended is there, what is torn is cut, what is damaged is told."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.monitor.disk import DiskError
from hps.monitor.journal import RECORDS, Journal, JournalError, highest_fence, read, repair
from hps.monitor.journal_record import Record, timestamp
from hps.monitor.ownership import OwnershipLostError
from tests.faults.disks import mounted


def append(
    journal: Journal, number: int, *, update: int | None = None, fence: int = 1, **state: Any
) -> Record:
    return journal.append(
        {"what": f"event {number}"},
        {"number": number, **state},
        update=number if update is None else update,
        time=1000.0 + number,
        fence=fence,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def fill(folder: Path, count: int, **options: Any) -> bytes:
    with Journal(folder, **options) as journal:
        for number in range(1, count + 1):
            append(journal, number)
    return (folder / RECORDS).read_bytes()


def test_a_new_journal_is_empty(folder: Path) -> None:
    with Journal(folder) as journal:
        assert journal.last is None
        assert (journal.fence, journal.cut, journal.history()) == (0, 0, ())
    assert read(folder) == ()
    assert highest_fence(folder / "not there") == 0


def test_the_last_record_is_there_after_a_new_start(folder: Path) -> None:
    fill(folder, 3)
    with Journal(folder) as journal:
        assert journal.last is not None
        assert journal.last.state == {"number": 3}
        assert journal.last.time == "1970-01-01T00:16:43.000Z"
        assert journal.fence == 1
        append(journal, 4, fence=2)
        assert [one.number for one in journal.history()] == [1, 2, 3, 4]
    assert [one.entry["what"] for one in read(folder)] == [f"event {n}" for n in (1, 2, 3, 4)]


def test_each_line_is_json_for_other_programs(folder: Path) -> None:
    lines = fill(folder, 2).splitlines()
    assert [json.loads(line)["record"]["entry"]["what"] for line in lines] == ["event 1", "event 2"]


@pytest.mark.parametrize("kept", [0, 1, 50])
def test_a_torn_last_line_is_cut_off_at_every_length(folder: Path, kept: int) -> None:
    data = fill(folder, 3)
    start = data[:-1].rindex(b"\n") + 1
    path = folder / RECORDS
    path.write_bytes(data[: start + kept])
    assert len(read(folder)) == 2
    with Journal(folder) as journal:
        assert journal.cut == kept
        assert journal.last is not None
        assert journal.last.number == 2
        append(journal, 3)
    assert path.read_bytes() == data


LINES = [Record(n, "then", 1, n, {"what": f"event {n}"}, {"number": n}) for n in range(1, 5)]


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, sum(len(one.as_line()) for one in LINES)),
    tail=st.sampled_from([b"", b"\0" * 100, b"\0" * 40 + b"\n"]),
)
def test_no_tear_of_any_length_costs_more_than_the_last_line(length: int, tail: bytes) -> None:
    whole = b"".join(one.as_line() for one in LINES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / RECORDS).write_bytes(whole[:length] + tail)
        with Journal(folder) as journal:
            assert len(journal.history()) == whole[:length].count(b"\n")
            append(journal, 9)
            assert journal.history()[-1].state == {"number": 9}


def damage(folder: Path, line: int, how: str) -> None:
    path = folder / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "changed":
        lines[line] = lines[line].replace(b"event", b"evenT")
    elif how == "removed":
        del lines[line]
    elif how == "twice":
        lines.insert(line, lines[line])
    elif how == "garbage":
        lines[line] = b"\xff\0" * 30 + b"\n"
    elif how == "other":
        lines[line] = b'{"check":1,"record":{}}\n'
    elif how == "cut":
        lines[line] = lines[line][:20]
    path.write_bytes(b"".join(lines))


HOW = ["changed", "removed", "twice", "garbage", "other", "cut"]


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_middle_is_an_error_with_a_way_out(folder: Path, how: str) -> None:
    fill(folder, 5)
    damage(folder, 2, how)
    damaged = (folder / RECORDS).read_bytes()
    with pytest.raises(JournalError) as raised:
        Journal(folder)
    assert "hps monitor repair" in (raised.value.hint or "")
    assert raised.value.details
    with pytest.raises(JournalError):
        read(folder)
    assert (folder / RECORDS).read_bytes() == damaged
    aside, lost = repair(folder)
    assert aside is not None
    assert aside.read_bytes() == damaged
    assert lost == {"removed": 0, "cut": 1}.get(how, 1)
    with Journal(folder) as journal:
        assert journal.last is not None
        assert (journal.last.number, journal.last.state) == (5, {"number": 5})
        append(journal, 6)
    assert repair(folder) == (None, 0)


def test_a_second_repair_keeps_the_file_of_the_first(folder: Path) -> None:
    fill(folder, 5)
    damage(folder, 1, "changed")
    first, _ = repair(folder)
    damage(folder, 1, "changed")
    second, _ = repair(folder)
    assert first != second
    assert first is not None
    assert first.exists()


def test_nothing_whole_is_left_an_empty_journal(folder: Path) -> None:
    folder.mkdir()
    (folder / RECORDS).write_bytes(b"x\ny\n")
    with pytest.raises(JournalError):
        Journal(folder)
    assert repair(folder)[1] == 2
    assert read(folder) == ()


def test_compaction_keeps_the_last_updates_and_the_last_state(folder: Path) -> None:
    with Journal(folder, keep=3) as journal:
        for number in range(1, 80):
            append(journal, number, update=number // 4)
        journal.compact()
        history = journal.history()
        assert {one.update for one in history} == {17, 18, 19}
        assert [one.number for one in history] == list(range(68, 80))
        assert [one.state for one in history] == [None] * 11 + [{"number": 79}]
        append(journal, 80)
    with Journal(folder) as journal:
        assert journal.last is not None
        assert journal.last.number == 80


def test_the_file_stays_small_by_itself(folder: Path) -> None:
    with Journal(folder, keep=1) as journal:
        for number in range(1, 140):
            append(journal, number, update=number // 3)
        assert len(journal.history()) <= 64
        assert not (folder / "records.compact").exists()


def test_large_states_are_dropped_by_size(folder: Path) -> None:
    with Journal(folder, keep=1000) as journal:
        for number in range(1, 20):
            append(journal, number, text="x" * 500_000)
        assert (folder / RECORDS).stat().st_size < 6 << 20


def test_what_a_killed_compaction_left_is_removed(folder: Path) -> None:
    fill(folder, 2)
    (folder / "records.compact").write_bytes(b"half")
    with Journal(folder) as journal:
        assert journal.last is not None
    assert [path.name for path in folder.iterdir()] == [RECORDS]


def test_another_monitor_is_noticed_before_anything_is_written(folder: Path) -> None:
    with Journal(folder) as first, Journal(folder) as second:
        append(first, 1)
        with pytest.raises(OwnershipLostError, match="written by somebody else"):
            append(second, 1, fence=2)
        append(first, 2)
    with Journal(folder) as late:
        assert late.last is not None
        assert late.last.number == 2


def test_an_overtaken_monitor_stops(folder: Path) -> None:
    with Journal(folder) as journal:
        append(journal, 1, fence=5)
        assert highest_fence(folder) == 5
        with pytest.raises(OwnershipLostError, match="not this monitor's any more"):
            append(journal, 2, fence=4)


@pytest.mark.parametrize("how", ["removed", "replaced", "shortened"])
def test_a_file_that_was_taken_away_is_noticed(folder: Path, how: str) -> None:
    with Journal(folder) as journal:
        append(journal, 1)
        path = folder / RECORDS
        if how == "shortened":
            os.truncate(path, 0)
        else:
            path.unlink()
        if how == "replaced":
            path.write_bytes(b"")
        with pytest.raises(OwnershipLostError, match="not this monitor's any more"):
            append(journal, 2)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / RECORDS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError):
        Journal(folder)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_loses_no_record_and_ends(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "256k") as disk:
        journal = Journal(disk / "journal")
        filler = (disk / "filler").open("wb", buffering=0)
        with filler:
            append(journal, 1)
            with contextlib.suppress(OSError):
                while filler.write(b"f" * 4096):
                    pass
            for _ in range(3):
                with pytest.raises(DiskError, match="No space left") as raised:
                    append(journal, 2, text="x" * 100_000)
                assert "bytes free of" in (raised.value.got or "")
            assert len(read(disk / "journal")) == 1
        (disk / "filler").unlink()
        append(journal, 2, text="x" * 100_000)
        journal.close()
        with Journal(disk / "journal") as again:
            assert again.cut == 0
            assert [one.number for one in again.history()] == [1, 2]


def test_a_clock_that_is_set_back_is_shown_and_changes_nothing(folder: Path) -> None:
    with Journal(folder) as journal:
        for time in (2e9, 0.0, 1e9):
            journal.append({}, {}, update=0, time=time, fence=1)
    with Journal(folder) as journal:
        assert [one.number for one in journal.history()] == [1, 2, 3]
        assert journal.last is not None
        assert journal.last.time.startswith("2001-")


def test_a_missing_record_at_the_end_is_not_taken_for_a_crash(folder: Path) -> None:
    fill(folder, 4)
    damage(folder, 2, "removed")
    with pytest.raises(JournalError) as raised:
        Journal(folder)
    assert raised.value.details == ("line 3: record 4 follows 2",)


def test_a_record_that_is_none_is_a_fault_in_the_caller(folder: Path) -> None:
    with Journal(folder) as journal, pytest.raises(ValueError, match="bytes is none"):
        append(journal, 1, text="x" * (2 << 20))


def test_times_are_told_to_the_millisecond() -> None:
    assert timestamp(0.25) == "1970-01-01T00:00:00.250Z"
    assert timestamp(1_800_000_000) == "2027-01-15T08:00:00.000Z"


def test_the_highest_fence_is_told_by_the_end_of_a_long_journal(folder: Path) -> None:
    with Journal(folder) as journal:
        for number in range(1, 40):
            filling = {"number": number, "text": "x" * 3000}
            journal.append({"event": "step"}, filling, update=1, time=0.0, fence=number)
    assert (folder / RECORDS).stat().st_size > 100_000
    assert highest_fence(folder) == 39
    with (folder / RECORDS).open("ab") as file:
        file.write(b'{"check":"sha256:')  # torn by a crash
    assert highest_fence(folder) == 39


def test_a_journal_whose_end_is_no_journal_is_damaged(folder: Path) -> None:
    fill(folder, 3)
    with (folder / RECORDS).open("ab") as file:
        file.write((b"\0" * 40_000 + b"\n") * 2)
    assert highest_fence(folder) == 1
    with pytest.raises(JournalError):
        Journal(folder)
    (folder / RECORDS).write_bytes(b"\0\n" * 3)
    with pytest.raises(JournalError):
        highest_fence(folder)


def test_history_is_that_of_now_also_when_it_was_asked_before(folder: Path) -> None:
    fill(folder, 2)
    with Journal(folder) as journal:
        assert len(journal.history()) == 2
        append(journal, 3)
        assert [one.number for one in journal.history()] == [1, 2, 3]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"number":1', b'"number": 1'),
        lambda line: b" " + line,
        lambda line: line.replace(b',"record":', b',"more":0,"record":'),
        lambda line: line.replace(b"sha256:", b"SHA256:"),
    ],
)
def test_a_line_is_written_in_one_way_only(folder: Path, change: Callable[[bytes], bytes]) -> None:
    line = fill(folder, 1)
    (folder / RECORDS).write_bytes(change(line) * 2)
    with pytest.raises(JournalError):
        read(folder)
