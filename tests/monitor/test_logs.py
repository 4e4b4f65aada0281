"""The log: one line for each event, whole times, nothing forged, no secret."""

import base64
import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.monitor.logs import NAME, Log, Secrets, escaped, set_up
from hps.monitor.sources.credentials import Basic, Bearer, Secret
from tests.monitor.telling import is_rfc3339

HOSTILE = "a\nb\r\x1b[31m\x00\u202e\u2028%s %(model)s \ud800 \\n"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(NAME)
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers[:], root.level, ours.level = before
    logging.getLogger("urllib3").handlers.clear()


def text(talk: Callable[[], None], **options: Any) -> str:
    stream = io.StringIO()
    set_up(stream, **options)
    talk()
    return stream.getvalue()


def objects(talk: Callable[[], None], **options: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text(talk, form="json", **options).splitlines()]


def test_a_plain_line_has_time_level_event_model_and_facts() -> None:
    line = text(
        lambda: Log("ocr").info(
            "swap.live", "generation 7 is live", generation=7, release="12 (2026.11)", why=None
        )
    )
    time, rest = line.split(" ", 1)
    assert is_rfc3339(time)
    assert rest == (
        'info    swap.live ocr: generation 7 is live generation=7 release="12 (2026.11)"\n'
    )


def test_a_json_line_has_the_same_as_members() -> None:
    (line,) = objects(
        lambda: Log("ocr").warning("refused", "not let in", reason="rollback", sequence=3)
    )
    assert is_rfc3339(line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "refused",
        "model": "ocr",
        "message": "not let in",
        "reason": "rollback",
        "sequence": 3,
    }


def test_debug_is_written_only_when_it_is_asked_for() -> None:
    def talk() -> None:
        Log().debug("look", "nothing new")
        Log().error("stopped", "the lock was lost")

    assert [line["event"] for line in objects(talk)] == ["stopped"]
    assert [line["event"] for line in objects(talk, debug=True)] == ["look", "stopped"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_comes_from_outside_forges_no_line(form: str) -> None:
    written = text(
        lambda: Log(HOSTILE).error("refused", HOSTILE, detail=HOSTILE, reason=HOSTILE), form=form
    )
    assert written.count("\n") == 1
    assert written.endswith("\n")
    assert all(sign.isprintable() for sign in written[:-1])
    assert "\\x1b" in written or "\\u001b" in written
    assert "%s %(model)s" in written


@given(st.text())
def test_escaped_text_is_printable_and_tells_two_texts_apart(value: str) -> None:
    shown = escaped(value)
    assert shown.isprintable()
    assert (shown == value) == (value.isprintable() and "\\" not in value)


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_hidden_wherever_they_appear(form: str) -> None:
    secret = "hunter2/&+ %"
    secrets = Secrets([secret])
    secrets.add("token-from-a-file")

    def talk() -> None:
        Log("ocr").error("look", f"ftp://user:{quote(secret, safe='')}@host", cause=secret)
        logging.getLogger("urllib3").warning("Bearer %s", "token-from-a-file")
        try:
            raise ValueError(secret)
        except ValueError:
            logging.getLogger("urllib3").exception("failed")

    written = text(talk, form=form, secrets=secrets)
    assert "hunter2" not in written
    assert "token-from-a-file" not in written
    assert written.count("[secret]") == 4


def test_a_secret_within_another_does_not_lay_it_bare() -> None:
    assert Secrets(["hunter2", "hunter2-and-more"]).hidden("x hunter2-and-more") == "x [secret]"
    assert Secrets(["a", ""]).hidden("a bare word") == "a bare word"


def test_libraries_are_heard_from_warnings_on_and_tracebacks_stay_on_one_line() -> None:
    def talk() -> None:
        logging.getLogger("urllib3").info("Starting new connection")
        logging.getLogger("urllib3").warning("retrying")
        try:
            raise OSError("no\nroute")
        except OSError:
            logging.getLogger("urllib3").exception("failed")

    quiet, failed = objects(talk, debug=True)
    assert (quiet["event"], quiet["message"], "model" in quiet) == ("urllib3", "retrying", False)
    assert "OSError: no\nroute" in failed["traceback"]
    assert text(talk).count("\n") == 2


def test_numbers_that_json_does_not_have_are_text() -> None:
    (line,) = objects(lambda: Log().info("look", "took long", taken=float("inf"), whole=1.5))
    assert (line["taken"], line["whole"]) == ("inf", 1.5)


def test_facts_cannot_replace_what_every_line_has() -> None:
    (line,) = objects(lambda: Log("ocr").info("live", "is live", time="never", level="none"))
    assert is_rfc3339(line["time"])
    assert line["level"] == "info"


def test_a_huge_value_is_cut() -> None:
    assert len(text(lambda: Log().info("x", "y" * 1_000_000))) < 10_000


def test_a_log_that_nobody_reads_stops_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        set_up(stream)
        Log().info("live", "is live")
        Log().info("live", "is live")
        with pytest.raises(BrokenPipeError):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    assert capfd.readouterr() == ("", "")


def test_setting_up_again_does_not_write_twice() -> None:
    stream = io.StringIO()
    set_up(stream)
    assert text(lambda: Log().info("live", "is live")).count("\n") == 1
    assert stream.getvalue() == ""


def test_what_a_process_reads_as_a_credential_is_hidden_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cr3t-of-a-file\n")
    file.chmod(0o640)  # as services and pods are given it
    token = Secret(file=file)
    basic = Basic("ada", Secret(variable="PASSWORD", environment={"PASSWORD": "p4ss/word"}))

    def talk() -> None:
        told = [Bearer(token).value(), basic.value(), "p4ss%2Fword", token.read()]
        Log("ocr").error("look-failed", f"it said {told}", header=told[1])

    written = text(talk)
    for secret in ("s3cr3t", "p4ss", base64.b64encode(b"ada:p4ss/word").decode()):
        assert secret not in written
    assert written.count("[secret]") == 5


def test_tokens_that_are_replaced_for_years_are_forgotten_the_oldest_first() -> None:
    secrets = Secrets()
    for number in range(5000):
        secrets.add(f"token-{number:05}")
    assert secrets.hidden("token-04999 token-00001") == "[secret] token-00001"
    secrets.add("token-04999")
    assert secrets.hidden("token-04999") == "[secret]"


def test_a_fault_of_the_program_is_told_with_where_it_happened() -> None:
    def talk() -> None:
        try:
            raise ZeroDivisionError("s3cr3t")
        except ZeroDivisionError as error:
            Log("ocr").fault("ended", "a fault", error)

    (line,) = objects(talk, secrets=Secrets(["s3cr3t"]))
    assert "ZeroDivisionError: [secret]" in line["traceback"]
    assert (line["level"], line["event"], line["model"]) == ("error", "ended", "ocr")
