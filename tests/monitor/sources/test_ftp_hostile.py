"""The source for FTP against servers that stall, lie, break off and never end."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, SourceError, Trouble
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.ftp import FtpPlace, FtpSource
from tests.monitor.sources import ftp_lab
from tests.monitor.sources.contract import QUICK, all_of, contents, donefile, noise, trouble
from tests.monitor.sources.ftp_lab import Behaviour, FtpLab, raw, say

# Only for servers that are silent or slow: a busy machine can be silent that long as well.
HASTY = Patience(connect=5.0, idle=0.3, total=2.0)
PATIENT = Patience(connect=10.0, idle=10.0, total=60.0)
BODY = noise(300_000)


@pytest.fixture(params=[True, False], ids=["MLSD", "LIST"])
def lab(request: pytest.FixtureRequest) -> Iterator[FtpLab]:
    with FtpLab(machine_lists=request.param) as running:
        yield running


@pytest.fixture
def machine() -> Iterator[FtpLab]:
    with FtpLab() as running:
        yield running


@pytest.fixture
def plain() -> Iterator[FtpLab]:
    with FtpLab(machine_lists=False) as running:
        yield running


@contextlib.contextmanager
def source(
    lab: FtpLab,
    *,
    packed: bool = True,
    patience: Patience = PATIENT,
    caps: Caps | None = None,
    password: str = "geheim",
) -> Iterator[FtpSource]:
    secret = Secret(variable="P", environment={"P": password})
    place = FtpPlace(
        host="127.0.0.1",
        port=lab.port,
        folder="/",
        model="model",
        donefile="done",
        packed=packed,
        user="me",
        password=secret,
    )
    made = FtpSource(place, patience, caps)
    try:
        yield made
    finally:
        made.close()


def test_the_server_of_these_tests_is_a_good_one(lab: FtpLab, tmp_path: Path) -> None:
    lab.files = {"/model/a": BODY, "/model/b/c": b"x", "/model/b/d e": b"", "/done": b"now"}
    with source(lab, packed=False) as made:
        pulled = pull(made, tmp_path / "pull", effort=QUICK)
        assert contents(pulled) == {"a": BODY, "b/c": b"x", "b/d e": b""}
        (found, *_) = made.model()
        assert found.tokens["modified"] == "1767323045"
        assert all_of(made, found, 1000) == (1000, BODY[1000:])
    assert lab.seen.count("USER me") == 1


REPLIES = {
    "421-first": ("greeting", say("421 Too many."), Trouble.SERVER),
    "530": ("PASS", say("530 No."), Trouble.REFUSED),
    "550-at-login": ("USER", say("550 SSL/TLS required."), Trouble.REFUSED),
    "332": ("PASS", say("332 Account?"), Trouble.REFUSED),
    "550-denied": ("CWD", say("550 Permission denied."), Trouble.REFUSED),
    "550": ("CWD", say("550 No such folder."), Trouble.MISSING),
    "451": ("MLST", say("451 Disk on fire."), Trouble.SERVER),
    "garbage": ("greeting", ftp_lab.raw(b"\x00\xff\x80garbage\r\n"), Trouble.MALFORMED),
    "http": ("greeting", ftp_lab.raw(b"HTTP/1.1 400 Bad\r\n\r\n"), Trouble.MALFORMED),
    "endless-line": ("greeting", ftp_lab.endless(b"2" * 65536), Trouble.MALFORMED),
    "endless-lines": ("greeting", ftp_lab.endless(b"220-more\r\n" * 1000), Trouble.MALFORMED),
    "hang-up": ("greeting", ftp_lab.hang_up, Trouble.UNREACHABLE),
    "reset": ("USER", ftp_lab.reset, Trouble.UNREACHABLE),
    "no-facts": ("MLST", say("250 Fine."), Trouble.MALFORMED),
}


@pytest.mark.parametrize(("verb", "bad", "kind"), REPLIES.values(), ids=REPLIES)
def test_each_bad_reply_has_its_name(
    machine: FtpLab, verb: str, bad: Behaviour, kind: Trouble
) -> None:
    machine.files["/model"] = b"data"
    machine.script(verb, bad)
    with source(machine) as made:
        assert trouble(made.model) is kind
        del machine.scripts[verb]
        assert all_of(made, made.model()[0]) == (0, b"data")


SLOW = {
    "greeting": ftp_lab.silence,
    "PASS": ftp_lab.silence,
    "FEAT": ftp_lab.drip,
    "MLST": ftp_lab.silence,
    "EPSV": ftp_lab.silence,
    "RETR": ftp_lab.silent_data(b"x"),
    "CWD": ftp_lab.drip,
}


@pytest.mark.parametrize(("verb", "bad"), SLOW.items(), ids=SLOW)
def test_each_silence_is_ended(machine: FtpLab, verb: str, bad: Behaviour) -> None:
    machine.files["/model"] = b"data"
    machine.script(verb, bad)

    with source(machine, patience=HASTY) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.STALLED


def test_a_data_connection_that_nobody_accepts_is_ended(machine: FtpLab) -> None:
    """The kernel accepts it; the server never sends a byte nor a reply."""
    machine.files["/model"] = b"data"
    machine.script("RETR", ftp_lab.silence)
    with source(machine, patience=HASTY) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.STALLED


PORTS = {
    "closed": ("229 Go (|||1|)", Trouble.UNREACHABLE),
    "zero": ("229 Go (|||0|)", Trouble.MALFORMED),
    "large": ("229 Go (|||65536|)", Trouble.MALFORMED),
    "text": ("229 Go (|||x|)", Trouble.MALFORMED),
    "digits": (f"229 Go (|||{'9' * 5000}|)", Trouble.MALFORMED),
    "nothing": ("229 Go", Trouble.MALFORMED),
    "open": ("229 Go (|||", Trouble.MALFORMED),
}


@pytest.mark.parametrize(("reply", "kind"), PORTS.values(), ids=PORTS)
def test_ports_that_are_none_are_refused(machine: FtpLab, reply: str, kind: Trouble) -> None:
    machine.files["/model"] = b"data"
    machine.script("EPSV", say(reply))
    with source(machine) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is kind


def test_the_address_in_a_passive_reply_is_not_gone_to(plain: FtpLab) -> None:
    plain.files["/model"] = BODY
    plain.script("EPSV", say("500 Unknown."))

    def passive(dialogue: ftp_lab.Dialogue, _: str) -> None:
        port = dialogue.listen()
        dialogue.say(f"227 Go (192,0,2,1,{port >> 8},{port & 255})")

    plain.script("PASV", passive)
    with source(plain, patience=Patience(connect=5.0)) as made:
        assert all_of(made, made.model()[0]) == (0, BODY)


LISTED = {
    "up": b"type=file;size=1;modify=20260101000000; ../up\r\n",
    "deep-up": b"type=file;size=1;modify=20260101000000; a/../../up\r\n",
    "absolute": b"type=file;size=1;modify=20260101000000; /etc/passwd\r\n",
    "folder-up": b"type=dir; ../../etc\r\n",
    "nul": b"type=file;size=1;modify=20260101000000; a\0b\r\n",
    "cr": b"type=file;size=1;modify=20260101000000; a\rb\r\n",
    "escape": b"type=file;size=1;modify=20260101000000; \x1b[2J\r\n",
    "empty": b"type=file;size=1;modify=20260101000000; \r\n",
    "long": b"type=file;size=1;modify=20260101000000; " + b"a" * 5000 + b"\r\n",
    "link": b"type=OS.unix=slink:/etc;size=1;modify=20260101000000; link\r\n",
    "device": b"type=OS.unix=chr-1/3;size=1;modify=20260101000000; null\r\n",
    "no-type": b"size=1;modify=20260101000000; file\r\n",
    "no-facts": b"file\r\n",
    "html": b"<html><body>Index of /</body></html>\r\n",
    "binary": bytes(range(128, 256)) * 10,
}


@pytest.mark.parametrize("content", LISTED.values(), ids=LISTED)
def test_no_name_leads_out_of_the_model(machine: FtpLab, content: bytes, tmp_path: Path) -> None:
    machine.files["/model/file"] = b"data"
    machine.script("MLSD", ftp_lab.listing(content))
    with source(machine, packed=False) as made:
        with pytest.raises(SourceError) as caught:
            pull(made, tmp_path / "pull", effort=QUICK)
        assert caught.value.trouble is Trouble.MALFORMED
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


UNIX = "{} 1 u g 1 Jan 02 03:04 {}\r\n"
LISTED_BY_UNIX = {
    "up": UNIX.format("-rw-r--r--", "../../../PWNED"),
    "absolute": UNIX.format("-rw-r--r--", "/etc/passwd"),
    "folder": UNIX.format("drwxr-xr-x", "../up"),
    "link": UNIX.format("lrwxrwxrwx", "name -> /etc/passwd"),
    "pipe": UNIX.format("prw-r--r--", "fifo"),
    "nul": UNIX.format("-rw-r--r--", "a\0b"),
    "text": "There is nothing here.\r\n",
}


@pytest.mark.parametrize("line", LISTED_BY_UNIX.values(), ids=LISTED_BY_UNIX)
def test_no_listed_name_leads_out_of_the_model(plain: FtpLab, line: str, tmp_path: Path) -> None:
    plain.files["/model/file"] = b"data"
    plain.script("LIST", ftp_lab.listing(line.encode("latin-1")))
    with source(plain, packed=False) as made:
        with pytest.raises(SourceError) as caught:
            pull(made, tmp_path / "pull", effort=QUICK)
        assert caught.value.trouble is Trouble.MALFORMED


@pytest.mark.parametrize("verb", ["MLSD", "LIST"])
def test_a_list_without_end_is_ended(verb: str) -> None:
    line = b"type=file;size=1;modify=20260101000000; name\r\n" * 1000
    if verb == "LIST":
        line = UNIX.format("-rw-r--r--", "name").encode() * 1000
    with FtpLab(machine_lists=verb == "MLSD") as lab:
        lab.files["/model/file"] = b"data"
        lab.script(verb, ftp_lab.endless_data(line))
        with source(lab, packed=False) as made:
            assert trouble(made.model) is Trouble.TOO_LARGE


def test_folders_without_end_are_ended(machine: FtpLab) -> None:
    machine.script("CWD", say("250 There."))
    machine.script("MLSD", ftp_lab.listing(b"type=dir; a\r\n"))
    with source(machine, packed=False, caps=Caps(depth=5)) as made:
        assert trouble(made.model) is Trouble.TOO_LARGE


def test_a_file_without_end_is_ended(machine: FtpLab) -> None:
    machine.files["/model"] = b"data"
    machine.script("RETR", ftp_lab.endless_data(noise(1 << 16)))
    with source(machine) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.CHANGED


def test_a_donefile_without_end_is_read_up_to_the_cap(plain: FtpLab) -> None:
    plain.files["/done"] = b"data"
    plain.script("SIZE", say("502 Unknown."))
    plain.script("RETR", ftp_lab.endless_data(b"x" * 1000))
    with source(plain, caps=Caps(donefile=5000)) as made:
        for _ in range(2):
            assert donefile(made).content == b"x" * 5000


def test_a_file_without_a_size_is_read_up_to_the_cap(plain: FtpLab) -> None:
    plain.files["/model"] = b"data"
    plain.script("SIZE", say("502 Unknown."))
    plain.script("RETR", ftp_lab.endless_data(noise(1 << 16)))
    with source(plain, caps=Caps(bytes=1 << 20)) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.TOO_LARGE


SIZES = {
    "larger": ("213 400000", Trouble.TRUNCATED),
    "smaller": ("213 200000", Trouble.CHANGED),
}


@pytest.mark.parametrize(("reply", "kind"), SIZES.values(), ids=SIZES)
def test_a_wrong_size_is_seen(plain: FtpLab, reply: str, kind: Trouble) -> None:
    plain.files["/model"] = BODY
    plain.script("SIZE", say(reply))
    with source(plain) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is kind


@pytest.mark.parametrize("reply", ["213 -1", "213 many", "213", f"213 {'9' * 5000}", "213 \u0661"])
def test_a_size_that_is_none_is_not_believed(plain: FtpLab, reply: str) -> None:
    plain.files["/model"] = BODY
    plain.script("SIZE", ftp_lab.raw(f"{reply}\r\n".encode()))
    with source(plain) as made:
        (found,) = made.model()
        assert found.size is None
        assert all_of(made, found) == (0, BODY)


@pytest.mark.parametrize(
    "stamp", ["", "now", "2026", "20261332000000", "99999999999999", "-0260101000000", "0" * 14]
)
def test_a_time_that_is_none_is_not_believed(plain: FtpLab, stamp: str) -> None:
    plain.files["/model"] = BODY
    plain.stamp = stamp
    with source(plain) as made:
        (found,) = made.model()
        assert "modified" not in found.tokens
        assert all_of(made, found) == (0, BODY)


def test_fractions_of_seconds_are_kept(plain: FtpLab) -> None:
    plain.files["/model"] = BODY
    plain.stamp = "20260102030405.250"
    with source(plain) as made:
        (found,) = made.model()
        assert found.tokens["modified"] == "1767323045.250"
        assert found.resolution == pytest.approx(0.001)


def test_a_server_that_knows_neither_size_nor_time_is_read_by_its_list(plain: FtpLab) -> None:
    plain.files = {"/model": BODY, "/other": b""}
    plain.script("SIZE", say("500 Unknown."))
    plain.script("MDTM", say("500 Unknown."))
    with source(plain) as made:
        (found,) = made.model()
        assert found.size == len(BODY)
        assert found.tokens == {"weak-etag": "Jan 02 03:04"}
        assert all_of(made, found) == (0, BODY)
        del plain.files["/model"]
        assert trouble(made.model) is Trouble.MISSING


def test_a_server_that_knows_feat_and_not_mlsd_is_read_by_its_list(machine: FtpLab) -> None:
    machine.files = {"/model/a": BODY}
    for verb in ("MLST", "MLSD"):
        machine.script(verb, say("500 Unknown."))
    with source(machine, packed=False) as made:
        (found,) = made.model()
        assert all_of(made, found) == (0, BODY)


def test_a_list_of_windows_is_read(plain: FtpLab) -> None:
    plain.files = {"/model/a b.txt": BODY, "/model/sub/c": b"c"}
    lists = {
        "/model": "01-02-26  03:04AM       <DIR>          sub\r\n"
        "01-02-2026  03:04PM               300000 a b.txt\r\n",
        "/model/sub": "01-02-26  03:04AM                    1 c\r\n",
    }
    plain.script("LIST", lambda dialogue, _: dialogue.data(lists[dialogue.folder].encode()))
    with source(plain, packed=False) as made:
        found = made.model()
        assert [each.path for each in found] == ["a b.txt", "sub/c"]
        assert [each.size for each in found] == [300_000, 1]


def test_where_rest_is_refused_reading_begins_at_the_beginning(lab: FtpLab) -> None:
    lab.files["/model"] = BODY
    lab.script("REST", say("502 Unknown."))
    with source(lab) as made:
        (found,) = made.model()
        for _ in range(2):
            assert all_of(made, found, 1000) == (0, BODY)
    assert lab.seen.count("REST 1000") == 1


def test_a_broken_transfer_is_carried_on_with(lab: FtpLab, tmp_path: Path) -> None:
    lab.files["/model"] = BODY
    lab.script("RETR", ftp_lab.broken_data(BODY[:0]), ftp_lab._WELL["RETR"])
    with source(lab) as made:
        pulled = pull(made, tmp_path / "pull", effort=QUICK)
        assert contents(pulled) == {"": BODY}


ENDS = {
    "426": (ftp_lab.listing(BODY[:1000], last="426 Broken."), Trouble.SERVER),
    "short": (ftp_lab.listing(BODY[:1000]), Trouble.TRUNCATED),
    "reset": (ftp_lab.broken_data(BODY[:1000]), Trouble.UNREACHABLE),
}


@pytest.mark.parametrize(("bad", "kind"), ENDS.values(), ids=ENDS)
def test_a_transfer_that_ends_early_says_so(lab: FtpLab, bad: Behaviour, kind: Trouble) -> None:
    lab.files["/model"] = BODY
    lab.script("RETR", bad)
    with source(lab) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is kind
        del lab.scripts["RETR"]
        assert all_of(made, made.model()[0]) == (0, BODY)


def test_all_bytes_are_enough_without_a_last_word(lab: FtpLab) -> None:
    lab.files["/model"] = BODY
    lab.script("RETR", ftp_lab.listing(BODY, last="426 Idle."))
    with source(lab) as made:
        for _ in range(2):
            assert all_of(made, made.model()[0]) == (0, BODY)


@pytest.mark.parametrize("end", [say("421 Idle."), ftp_lab.hang_up, ftp_lab.reset])
def test_a_connection_lost_between_two_looks_is_made_anew(lab: FtpLab, end: Behaviour) -> None:
    lab.files = {"/model": BODY, "/done": b"now"}
    verb = "MLST" if lab.machine_lists else "SIZE"
    with source(lab) as made:
        assert donefile(made).content == b"now"
        lab.script(verb, end, ftp_lab._WELL[verb])
        assert all_of(made, made.model()[0]) == (0, BODY)
    assert lab.seen.count("USER me") == 2


def test_a_server_that_always_hangs_up_is_left_alone(lab: FtpLab) -> None:
    lab.files = {"/model": BODY, "/done": b"now"}
    with source(lab) as made:
        assert donefile(made).content == b"now"
        lab.script("CWD", ftp_lab.hang_up)
        lab.script("MLST", ftp_lab.hang_up)
        lab.script("SIZE", ftp_lab.hang_up)
        assert trouble(made.model) is Trouble.UNREACHABLE
    assert lab.seen.count("USER me") == 2


def test_a_file_that_is_seen_and_not_read_is_refused(lab: FtpLab) -> None:
    lab.files["/model"] = BODY
    lab.script("RETR", say("550 Failed to open file."))
    with source(lab) as made:
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.REFUSED


def test_a_password_that_the_server_repeats_is_not_shown(machine: FtpLab) -> None:
    machine.script("PASS", lambda dialogue, given: dialogue.say(f"530 Not {given}, sorry."))
    with source(machine, password="correct horse") as made:
        with pytest.raises(SourceError) as caught:
            made.model()
        assert caught.value.trouble is Trouble.REFUSED
        assert "horse" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("verb", ["greeting", "MLST", "RETR"])
def test_close_ends_a_wait(machine: FtpLab, verb: str) -> None:
    machine.files["/model"] = BODY
    reached = threading.Event()

    def wait(dialogue: ftp_lab.Dialogue, argument: str) -> None:
        reached.set()
        dialogue.wait()

    machine.script(verb, wait)
    with source(machine) as made:

        def close() -> None:
            reached.wait(10)
            made.close()

        other = threading.Thread(target=close)
        other.start()
        assert trouble(lambda: all_of(made, made.model()[0])) is Trouble.UNREACHABLE
        other.join()
        assert trouble(made.donefile) is Trouble.UNREACHABLE


DOUBLED = {"TYPE": "200 Fine.", "SIZE": "213 4", "MDTM": "213 20260102030405", "CWD": "250 There."}


@pytest.mark.parametrize("verb", DOUBLED)
def test_a_reply_that_comes_twice_answers_no_other_question(plain: FtpLab, verb: str) -> None:
    """Else the time of a file would be taken for its size."""
    plain.files["/model"] = b"data"
    line = f"{DOUBLED[verb]}\r\n".encode()
    plain.script(verb, raw(line + line), plain.behaviour(verb))
    with source(plain) as made:
        with contextlib.suppress(SourceError):
            assert made.model()[0].size == 4
        (found,) = made.model()
        assert found.size == 4
        assert all_of(made, found)[1] == b"data"


def test_a_reply_to_nothing_is_told(plain: FtpLab) -> None:
    plain.files["/model"] = b"data"
    plain.script("TYPE", raw(b"200 Fine.\r\n200 Fine.\r\n"))
    with source(plain) as made, pytest.raises(SourceError, match="nobody had asked") as caught:
        made.model()
    assert caught.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize("reply", ["530 Log in first.", "332 An account, too."])
def test_a_connection_that_is_out_of_step_is_given_up(machine: FtpLab, reply: str) -> None:
    """A damaged or doubled reply can leave a login behind that the server knows nothing of."""
    machine.files["/done"] = b"data"
    with source(machine) as made:
        assert donefile(made).content == b"data"
        connections = len(machine.dialogues)
        machine.script("MLST", say(reply))
        trouble(made.donefile)
        del machine.scripts["MLST"]
        assert donefile(made).content == b"data"
        assert len(machine.dialogues) > connections
