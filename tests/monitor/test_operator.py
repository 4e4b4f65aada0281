"""Requests of operators: whole files, of the right owner, answered once; hostile ones refused."""

import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps import canonical
from hps.errors import UsageError
from hps.monitor.events import Request, Wish
from hps.monitor.operator import Answer, Asked, Desk, refusal

NOW = 1_800_000_000.0
IDS = "20270115T080000.000Z-0000000{}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Desk(tmp_path / "ocr").open(NOW)
    return tmp_path / "ocr"


def ask(
    folder: Path, wish: Wish = Wish.HOLD, number: int | None = None, time: float = NOW
) -> Asked:
    return Desk(folder).ask(wish, number, by="ada", why="a bad feeling", now=time)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lay_down(folder: Path, content: bytes, *, mode: int = 0o600, number: int = 1) -> Path:
    path = folder / "requests" / f"{IDS.format(number)}.json"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def good(**changes: object) -> bytes:
    request = {"wish": "hold", "number": None, "by": "ada", "why": "", "time": "t", **changes}
    return canonical.dumps(request)


def test_a_request_is_taken_up_answered_and_gone(folder: Path) -> None:
    desk = Desk(folder)
    assert desk.is_empty()
    asked = ask(folder, Wish.ROLLBACK, 7)
    assert not desk.is_empty()
    assert desk.answer_to(asked) is None
    (found,) = desk.pending()
    assert found == asked
    assert found.request == Request(Wish.ROLLBACK, 7, "ada: a bad feeling")
    desk.answer(found, Answer(done=True, text="generation 7 comes back"))
    assert list(desk.pending()) == []
    assert Desk(folder).answer_to(asked) == Answer(done=True, text="generation 7 comes back")
    assert Desk(folder).answer_to(asked) is None
    assert names(folder / "requests") == names(folder / "answers") == []
    assert desk.is_empty()


def test_requests_come_in_the_order_in_which_they_were_asked(folder: Path) -> None:
    times = [NOW + 5, NOW, NOW + 3600, NOW - 1]
    for time in times:
        ask(folder, time=time)
    assert [one.time for one in Desk(folder).pending()] == [
        "2027-01-15T07:59:59.000Z",
        "2027-01-15T08:00:00.000Z",
        "2027-01-15T08:00:05.000Z",
        "2027-01-15T09:00:00.000Z",
    ]


def test_a_request_is_private_and_whole(folder: Path) -> None:
    old = os.umask(0)
    try:
        asked = ask(folder)
    finally:
        os.umask(old)
    (path,) = (folder / "requests").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert canonical.loads(path.read_bytes()) == asked.as_json()


def test_what_was_done_before_a_crash_is_answered_and_not_done_again(folder: Path) -> None:
    asked = ask(folder)
    desk = Desk(folder)
    assert list(desk.pending(done={asked.id})) == []
    answer = desk.answer_to(asked)
    assert answer is not None
    assert answer.done


def test_a_request_that_was_taken_back_is_not_there(folder: Path) -> None:
    asked = ask(folder)
    assert Desk(folder).withdraw(asked)
    assert not Desk(folder).withdraw(asked)
    assert list(Desk(folder).pending()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        good()[:-1],
        good(wish="reboot"),
        good(number=0),
        good(number=-1),
        good(number="7"),
        good(number=True),
        good(extra=1),
        good(why=7),
        good(why="x" * 10_000),
    ],
)
def test_what_is_no_request_is_refused_and_removed(folder: Path, content: bytes) -> None:
    path = lay_down(folder, content)
    desk = Desk(folder)
    assert list(desk.pending()) == []
    assert not path.exists()
    answer = desk.answer_to(Asked(path.stem, Wish.HOLD, None, "", "", ""))
    assert answer is not None
    assert not answer.done
    assert answer.text.startswith("it is no request")


def test_a_request_that_others_could_have_written_is_refused(folder: Path) -> None:
    for number, mode in enumerate((0o660, 0o606, 0o644, 0o620)):
        path = lay_down(folder, good(), mode=mode, number=number)
        assert list(Desk(folder).pending()) == []
        assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_request_of_another_user_is_refused(folder: Path) -> None:
    os.chown(lay_down(folder, good()), 12345, 12345)
    assert list(Desk(folder).pending()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root asks in the name of another user")
def test_root_asks_in_the_name_of_the_user_that_the_monitor_runs_as(folder: Path) -> None:
    os.chown(folder / "requests", 12345, 12346)
    ask(folder)
    (path,) = (folder / "requests").iterdir()
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_links_pipes_and_folders_are_no_requests(folder: Path, tmp_path: Path) -> None:
    requests = folder / "requests"
    secret = tmp_path / "secret"
    secret.write_bytes(good())
    secret.chmod(0o600)
    (requests / f"{IDS.format(1)}.json").symlink_to(secret)
    os.mkfifo(requests / f"{IDS.format(2)}.json", 0o600)
    (requests / "evil").mkdir()
    (requests / "other name.json").write_bytes(good())
    assert list(Desk(folder).pending()) == []
    assert secret.exists()
    assert names(requests) == ["evil"]


def test_a_file_that_is_being_written_is_left_alone(folder: Path) -> None:
    half = folder / "requests" / f".{IDS.format(1)}.json.new"
    half.write_bytes(b'{"wi')
    assert list(Desk(folder).pending()) == []
    assert half.exists()


def test_what_a_killed_process_left_is_removed_an_hour_later(folder: Path) -> None:
    half = folder / "requests" / f".{IDS.format(1)}.json.new"
    half.write_bytes(b'{"wi')
    written = half.stat().st_mtime
    Desk(folder).open(written + 3599)
    assert half.exists()
    Desk(folder).open(written + 3601)
    assert not half.exists()


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda one: good(why=one)))
def test_no_bytes_of_a_request_stop_the_monitor(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name))
        desk.open(NOW)
        lay_down(Path(name), content)
        for asked in desk.pending():
            desk.answer(asked, Answer(done=True, text=asked.why))
        assert names(Path(name) / "requests") == []


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o702])
def test_a_folder_that_others_reach_is_not_used(folder: Path, mode: int) -> None:
    (folder / "requests").chmod(mode)
    with pytest.raises(UsageError, match="mode"):
        ask(folder)
    with pytest.raises(UsageError):
        list(Desk(folder).pending())


def test_a_model_that_nobody_looked_after_has_no_desk(tmp_path: Path) -> None:
    assert list(Desk(tmp_path).pending()) == []
    assert Desk(tmp_path).is_empty()
    with pytest.raises(UsageError, match="no monitor has looked after"):
        ask(tmp_path)


def test_answers_that_nobody_fetches_do_not_pile_up(folder: Path) -> None:
    desk = Desk(folder)
    for number in range(150):
        asked = ask(folder, time=NOW + number)
        desk.answer(asked, Answer(done=True, text="held"))
    left = names(folder / "answers")
    assert len(left) == 100
    assert left[-1].startswith("20270115T080229")


def test_words_of_people_are_made_harmless_and_short(folder: Path) -> None:
    asked = Desk(folder).ask(
        Wish.HOLD, None, by="ada\x1b[2J\n", why="x\u202e" + "y" * 1000, now=NOW
    )
    assert asked.by == "ada[2J"
    assert len(asked.why) == 300
    assert next(iter(Desk(folder).pending())) == asked


def test_a_damaged_answer_is_a_refusal(folder: Path) -> None:
    asked = ask(folder)
    path = folder / "answers" / f"{asked.id}.json"
    path.write_bytes(b"{")
    path.chmod(0o600)
    answer = Desk(folder).answer_to(asked)
    assert answer is not None
    assert not answer.done


def test_an_error_is_an_answer_with_its_hint() -> None:
    answer = refusal(UsageError("there is nothing to approve", hint="look at `status`"))
    assert answer == Answer(done=False, text="there is nothing to approve", hint="look at `status`")
    assert Answer.from_json(answer.as_json()) == answer


def test_many_people_at_once_lose_no_request(folder: Path) -> None:
    threads = [threading.Thread(target=lambda: [ask(folder) for _ in range(10)]) for _ in range(4)]
    taken = []
    desk = Desk(folder)
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or names(folder / "requests"):
        for asked in desk.pending():
            desk.answer(asked, Answer(done=True, text="held"))
            taken.append(asked.id)
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40
