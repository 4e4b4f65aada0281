"""`hps monitor`: settings, flags, what the files say, and requests of operators."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from hps.monitor.events import Wish
from hps.monitor.journal import RECORDS, Journal
from hps.monitor.operator import Answer, Desk
from hps.monitor.ownership import owned
from hps.monitor.transitions import Outcome, Step
from tests.monitor.snapshots import HOSTILE
from tests.monitor.telling import Telling

SETTINGS = """\
[monitor]
state = "state"

[monitor.models.ocr]
verify = "none"
approve = true
source = { type = "general", host = "file:///srv", path = "/m", model = "ocr" }
server = { type = "paddle-serving", folder = "/srv/serving" }
"""
DROP_IN = (
    "--type general --general_host http://127.0.0.1:1 --remote_path /m --remote_model_name ocr "
    "--remote_donefile_name donefile --local_path served --local_model_name ocr"
).split()


@dataclass(frozen=True)
class Ended:
    """What a command has said."""

    stdout: str
    stderr: str


class Host:
    """A host with the settings and the files of a monitor."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.model = folder / "state" / "ocr"
        self._capsys = capsys
        (folder / "monitor.toml").write_text(SETTINGS)

    def run(self, *words: str, code: int = 0) -> Ended:
        self._capsys.readouterr()
        found = run(["-C", str(self.folder), "monitor", *words])
        ended = Ended(*self._capsys.readouterr())
        assert found == code, ended
        return ended

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def write(self, telling: Telling) -> "Host":
        """What a monitor would have written by now."""
        Desk(self.model).open(time.time())
        with Journal(self.model / "journal") as journal:
            for one in telling.records:
                journal.append(
                    one.entry, one.state or {}, update=one.update, time=telling.now, fence=1
                )
        return self


@pytest.fixture
def host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Host:
    monkeypatch.setenv("HPS_MONITOR_CONFIG", "monitor.toml")
    return Host(tmp_path, capsys)


def refused() -> Telling:
    telling = Telling().live(1).live(2, sequence=12, version="2026.11").offer(3).do(Step.PULL)
    return telling.fail(Outcome.CONTENT, "rollback", "release 3 is older than release 12")


def test_status_says_what_is_live_and_what_was_refused_and_why(host: Host) -> None:
    host.write(refused())
    text = host.run("status").stdout
    for words in (
        "ocr: refused",
        ": release 12 (2026.11) of ocr, channel stable",
        "signed, and verified",
        "rollback: it is older than what was live already",
        "release 3 is older than release 12",
        "to do   publish it with the next number",
        "kept      1",
        "monitor   none runs",
    ):
        assert words in text, text
    (model,) = host.json("status", "ocr")["models"]
    assert (model["live"]["number"], model["kept"], model["monitor"]) == (2, [1], None)
    assert "serving" not in model


def test_history_lists_the_updates_newest_first(host: Host) -> None:
    host.write(refused())
    rows = host.json("history", "ocr")["updates"]
    assert [(row["number"], row["phase"]) for row in rows] == [
        (3, "refused"),
        (2, "live"),
        (1, "live"),
    ]
    lines = host.run("history", "ocr", "-n", "2").stdout.splitlines()
    assert len([line for line in lines if not line.startswith(" ")]) == 2


def test_the_state_folder_is_enough_to_look(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.write(refused())
    monkeypatch.delenv("HPS_MONITOR_CONFIG")
    assert host.run("status", "--state", "state").stdout.startswith("ocr: refused\n")


def test_a_process_ends_with_the_code_of_its_cause(host: Host) -> None:
    words = [sys.executable, "-m", "hps", "monitor", "status"]
    done = subprocess.run(words, cwd=host.folder, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error[usage]: no monitor has looked after ocr")


def test_the_old_way_to_start_it_is_one_too(host: Host) -> None:
    words = [sys.executable, "-m", "hps.monitor", "--type", "gopher"]
    done = subprocess.run(words, cwd=host.folder, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--remote_path" in done.stderr


def test_what_comes_from_outside_cannot_write_to_the_terminal(host: Host) -> None:
    telling = Telling().live(1, version=HOSTILE).offer(2).do(Step.PULL)
    host.write(telling.fail(Outcome.CONTENT, "rollback", HOSTILE))
    for words in (["status"], ["history", "ocr"]):
        text = host.run(*words).stdout
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert "<script>" in text


def test_a_request_without_a_monitor_waits_for_one(host: Host) -> None:
    host.write(Telling().live(1))
    assert "no monitor runs" in host.run("hold", "ocr", "--reason", "a bad feeling").stdout
    (asked,) = Desk(host.model).pending()
    assert (asked.wish, asked.number, asked.why) == (Wish.HOLD, None, "a bad feeling")
    assert asked.by


def serve(host: Host, answer: Answer, taken: list[tuple[Wish, int | None]]) -> threading.Thread:
    """What a monitor does with the next request, while it owns the model."""
    ready = threading.Event()

    def answered() -> None:
        with owned(host.model / "lock", now=time.time()):
            ready.set()
            desk = Desk(host.model)
            while not taken:
                for asked in desk.pending():
                    taken.append((asked.wish, asked.number))
                    desk.answer(asked, answer)
                time.sleep(0.02)

    thread = threading.Thread(target=answered)
    thread.start()
    ready.wait(30)
    return thread


def ask(
    host: Host, answer: Answer, *words: str, code: int = 0
) -> tuple[Ended, Sequence[tuple[Wish, int | None]]]:
    taken: list[tuple[Wish, int | None]] = []
    thread = serve(host, answer, taken)
    try:
        return host.run(*words, "--wait", "60", code=code), taken
    finally:
        taken.append((Wish.HOLD, None))
        thread.join()


def test_a_rollback_names_the_generation_that_the_person_saw(host: Host) -> None:
    host.write(Telling().live(1).live(2).live(3))
    answer = Answer(done=True, text="generation 2 comes back")
    done, taken = ask(host, answer, "rollback", "ocr")
    assert taken[0] == (Wish.ROLLBACK, 2)
    assert done.stdout == "rollback ocr, generation 2: generation 2 comes back\n"
    _, taken = ask(host, answer, "rollback", "ocr", "--to", "1")
    assert taken[0] == (Wish.ROLLBACK, 1)


def test_an_approval_names_the_generation_that_waits(host: Host) -> None:
    host.write(Telling().live(1).offer(2).do(Step.PULL, Step.VERIFY, Step.STAGE, Step.INSPECT))
    assert "to let it go live: hps monitor approve ocr --number 2" in host.run("status").stdout
    for verb, wish in (("approve", Wish.APPROVE), ("refuse", Wish.REFUSE)):
        _, taken = ask(host, Answer(done=True, text="done"), verb, "ocr")
        assert taken[0] == (wish, 2)


def test_what_was_refused_can_be_approved(host: Host) -> None:
    host.write(refused())
    _, taken = ask(host, Answer(done=True, text="done"), "approve", "ocr")
    assert taken[0] == (Wish.APPROVE, 3)


def test_a_monitor_that_refuses_says_why_with_an_exit_code(host: Host) -> None:
    host.write(Telling().live(1))
    refusal = Answer(done=False, text="it is being undone", hint="wait for it")
    done, _ = ask(host, refusal, "release", "ocr", code=2)
    assert "the monitor refused to release ocr: it is being undone" in done.stderr
    assert "hint: wait for it" in done.stderr


def test_what_cannot_be_is_refused_before_it_is_asked(host: Host) -> None:
    host.write(Telling().live(1))
    assert "no earlier generation" in host.run("rollback", "ocr", code=2).stderr
    assert "no such generation" in host.run("rollback", "ocr", "--to", "9", code=2).stderr
    assert "nothing to approve" in host.run("approve", "ocr", code=2).stderr
    assert "nothing to refuse" in host.run("refuse", "ocr", code=2).stderr
    assert "there is no model layout" in host.run("hold", "layout", code=2).stderr
    assert list(Desk(host.model).pending()) == []


def test_a_model_that_nobody_looked_after_is_told(host: Host) -> None:
    assert "no monitor has looked after ocr" in host.run("status", code=2).stderr


def test_a_damaged_journal_is_told_and_repaired(host: Host) -> None:
    host.write(refused())
    path = host.model / "journal" / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b"phase", b"phasE")
    path.write_bytes(b"".join(lines))
    done = host.run("status", code=8)
    assert "journal-damaged" in done.stderr
    assert "hps monitor repair" in done.stderr
    assert "1 lines are lost" in host.run("repair", "ocr").stdout
    assert host.run("status").stdout.startswith("ocr: refused")
    assert "nothing was changed" in host.run("repair", "ocr").stdout


def test_a_journal_that_is_in_use_is_not_repaired(host: Host) -> None:
    host.write(refused())
    with owned(host.model / "lock", now=time.time()):
        assert "belongs to another monitor" in host.run("repair", "ocr", code=8).stderr
        assert f"process {os.getpid()}" in host.run("status").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--remote_path", "/m"], "--remote_model_name"),
        ([*DROP_IN, "--config", "monitor.toml"], "--config stands alone"),
        ([*DROP_IN, "--interval", "0"], "--interval must be more than 0"),
        ([*DROP_IN, "--type", "gopher"], "--type is general, ftp, hdfs or afs"),
        (["--config", "nothing.toml"], "there is no"),
        (["--once", "status"], "--once is for"),
        (["--interval", "soon"], "Invalid value for '--interval'"),
    ],
)
def test_words_that_cannot_be_are_refused(host: Host, words: list[str], expected: str) -> None:
    assert expected in host.run(*words, code=2).stderr


def test_the_flags_of_paddle_serving_are_all_there(host: Host) -> None:
    text = host.run("--help").stdout
    flags = (
        "type remote_path remote_model_name remote_donefile_name local_path local_model_name "
        "local_timestamp_file local_tmp_path unpacked_filename interval debug general_host ftp_host "
        "ftp_port ftp_username ftp_password hadoop_bin fs_name fs_ugi"
    ).split()
    assert len(flags) == 19
    for flag in flags:
        assert f"  --{flag} " in text, flag


def test_faults_of_the_settings_are_told_with_their_lines(host: Host) -> None:
    (host.folder / "monitor.toml").write_text(SETTINGS.replace("approve", "aprove"))
    assert "monitor.toml:6: monitor.models.ocr.aprove: unknown key" in host.run(code=2).stderr
