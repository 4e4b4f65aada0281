"""Pulling through sources that fail in every way; what lies on the disk in the end."""

import base64
import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import HpsError
from hps.monitor.pull import pull
from hps.monitor.pull_folder import Begun, PullFolder
from hps.monitor.pulled import Cause, Effort, PullError
from hps.monitor.source import Caps, Found, Source, SourceError, Trouble
from tests import servers
from tests.monitor.sources.contract import QUICK, contents, noise
from tests.monitor.sources.http_lab import HASTY, HttpLab, dated, partial
from tests.servers import Behaviour

MIB = 1 << 20
SOON = -3600.0  # a second that is not over, however slow the machine is
BODY = noise(3 * MIB + 333)
OTHER = noise(3 * MIB + 333, 7)
FINE = servers.fine(BODY, etag='"v1"')
CUT = servers.truncate(BODY, 2 * MIB, etag='"v1"')


@pytest.fixture
def lab() -> Iterator[HttpLab]:
    with HttpLab.running() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pull"


def whole(source: Source, folder: Path, effort: Effort = QUICK, caps: Caps | None = None) -> bytes:
    """The packed model after a pull."""
    return contents(pull(source, folder, effort=effort, caps=caps))[""]


def failed(source: Source, folder: Path, effort: Effort = QUICK) -> HpsError:
    with pytest.raises(HpsError) as caught:
        pull(source, folder, effort=effort)
    return caught.value


FAULTS = {
    "500": servers.status(500),
    "503": servers.status(503, {"Retry-After": "86400"}),
    "reset": servers.reset(),
    "reset-in-body": servers.reset(BODY[:1000], announced=len(BODY), etag='"v1"'),
    "hang-up": servers.hang_up(),
    "truncated": CUT,
    "truncated-weak": servers.truncate(BODY, MIB, etag='W/"v1"'),
    "chunks-cut": servers.chunked(BODY[:-1], 100_000, whole=False),
    "stall": servers.stall(BODY[:MIB], announced=len(BODY)),
    "silence": servers.silence(),
}


@pytest.mark.parametrize("bad", FAULTS.values(), ids=FAULTS)
def test_what_passes_is_outlived(lab: HttpLab, folder: Path, bad: Behaviour) -> None:
    lab.model(bad, bad, FINE, head=FINE)
    patience = HASTY if bad in {FAULTS["stall"], FAULTS["silence"]} else replace(HASTY, idle=5.0)
    assert whole(lab.source(patience=patience), folder) == BODY


@pytest.mark.parametrize("bad", FAULTS.values(), ids=FAULTS)
def test_what_stays_is_told_after_all_attempts(lab: HttpLab, folder: Path, bad: Behaviour) -> None:
    lab.model(bad, head=FINE)
    error = failed(lab.source(patience=HASTY), folder, replace(QUICK, attempts=3))
    assert isinstance(error, SourceError)
    # What can be carried on gets further once, and so has one attempt more.
    assert len(lab.ranges()) in {3, 4}


@pytest.mark.parametrize("code", [401, 403, 400])
def test_what_will_not_pass_is_asked_once(lab: HttpLab, folder: Path, code: int) -> None:
    lab.model(servers.status(code), head=FINE)
    error = failed(lab.source(), folder)
    assert isinstance(error, SourceError)
    assert error.trouble is Trouble.REFUSED
    assert len(lab.ranges()) == 1


def test_a_broken_download_is_carried_on_from_where_it_broke(lab: HttpLab, folder: Path) -> None:
    lab.model(CUT, FINE, head=FINE)
    pulled = pull(lab.source(), folder, effort=QUICK)
    assert contents(pulled) == {"": BODY}
    assert pulled.received == len(BODY)
    assert lab.ranges() == [None, f"bytes={2 * MIB}-"]


def test_each_break_that_got_further_gives_new_attempts(lab: HttpLab, folder: Path) -> None:
    body = noise(12 * MIB)

    def one_piece_more(exchange: servers.Exchange) -> None:
        start = int(exchange.headers.get("Range", "bytes=0-")[6:-1])
        exchange.close_connection = True
        code = 206 if start else 200
        span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        length = str(len(body) - start)
        exchange.head(code, {"ETag": '"v1"', "Content-Length": length, **span})
        exchange.body(body[start : start + MIB])

    lab.model(one_piece_more, head=servers.fine(body, etag='"v1"'))
    assert whole(lab.source(), folder, replace(QUICK, attempts=2)) == body
    assert len(lab.ranges()) == 12


def test_a_server_that_adds_a_byte_each_time_is_given_up(lab: HttpLab, folder: Path) -> None:
    def one_byte_more(exchange: servers.Exchange) -> None:
        start = int(exchange.headers.get("Range", "bytes=0-")[6:-1])
        exchange.close_connection = True
        span = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
        head = {"ETag": '"v1"', "Content-Length": str(len(BODY) - start), "Content-Range": span}
        exchange.head(206 if start else 200, head)
        exchange.body(BODY[start : start + 1])

    lab.model(one_byte_more, head=FINE)
    error = failed(lab.source(), folder)
    assert isinstance(error, SourceError)
    assert error.trouble is Trouble.TRUNCATED
    assert len(lab.ranges()) == QUICK.attempts


LIES = {
    "another-start": partial(BODY[5:], f"bytes 5-{len(BODY) - 1}/{len(BODY)}"),
    "another-end": partial(BODY[2 * MIB : -1], f"bytes {2 * MIB}-{len(BODY) - 2}/{len(BODY)}"),
    "another-size": partial(BODY[2 * MIB :], f"bytes {2 * MIB}-{len(BODY)}/{len(BODY) + 1}"),
    "no-size": partial(BODY[2 * MIB :], f"bytes {2 * MIB}-{len(BODY) - 1}/*"),
    "nonsense": partial(b"wrong", "bytes a-b/c"),
    "huge": partial(b"wrong", f"bytes {2 * MIB}-{'9' * 30}/{'9' * 30}"),
    "nothing": servers.status(206, {"ETag": '"v1"'}, BODY[2 * MIB :]),
    "parts": servers.status(206, {"Content-Type": "multipart/byteranges; boundary=x"}, b"--x--"),
    "short": partial(b"wrong", f"bytes {2 * MIB}-{len(BODY) - 1}/{len(BODY)}"),
    "another-etag": partial(
        OTHER[2 * MIB :], f"bytes {2 * MIB}-{len(BODY) - 1}/{len(BODY)}", etag='"v2"'
    ),
    "416": servers.status(416, {"Content-Range": f"bytes */{len(BODY)}"}),
    "whole": servers.fine(BODY),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_rest_that_is_no_rest_is_dropped_and_all_comes_again(
    lab: HttpLab, folder: Path, lie: Behaviour
) -> None:
    lab.model(CUT, lie, FINE, head=FINE)
    assert whole(lab.source(), folder) == BODY


@pytest.mark.parametrize(
    ("cut", "fine"),
    [
        (servers.truncate(BODY, MIB, etag='W/"v1"'), servers.fine(BODY, etag='W/"v1"')),
        (servers.truncate(BODY, MIB), servers.fine(BODY)),
        (servers.truncate(BODY, MIB), dated(BODY, SOON)),
        (servers.truncate(BODY, MIB, etag='"v1"'), dated(BODY, SOON, etag='"v1"')),
    ],
    ids=["weak", "nothing", "date-of-this-second", "etag-of-this-second"],
)
def test_what_cannot_be_carried_on_safely_comes_again(
    lab: HttpLab, folder: Path, cut: Behaviour, fine: Behaviour
) -> None:
    lab.model(cut, fine, head=fine)
    assert whole(lab.source(), folder) == BODY
    assert lab.ranges() == [None, None]


def test_a_settled_date_is_enough_to_carry_on(lab: HttpLab, folder: Path) -> None:
    lab.model(servers.truncate(BODY, MIB), FINE, head=dated(BODY, 100))
    assert whole(lab.source(), folder) == BODY
    assert lab.ranges() == [None, f"bytes={MIB}-"]


def test_another_file_after_the_break_is_pulled_from_its_start(lab: HttpLab, folder: Path) -> None:
    new = servers.fine(OTHER, etag='"v2"')

    def head(exchange: servers.Exchange) -> None:
        (FINE if len(lab.ranges()) < 2 else new)(exchange)

    lab.model(CUT, new, head=head)
    assert whole(lab.source(), folder) == OTHER


def test_what_was_kept_is_hashed_as_it_lies_on_the_disk(lab: HttpLab, folder: Path) -> None:
    """The digest speaks of the file, not of what once was sent."""
    lab.model(CUT, head=FINE)
    failed(lab.source(), folder, replace(QUICK, attempts=1))
    packed = folder / "packed"
    kept = packed.read_bytes()
    packed.write_bytes(b"?" + kept[1:])
    lab.model(FINE, head=FINE)
    source = lab.source()
    pulled = pull(source, folder, effort=QUICK)
    assert pulled.files[0].digest == Digest.of(packed.read_bytes())


def test_a_whole_model_that_turned_out_wrong_is_not_carried_on(lab: HttpLab, folder: Path) -> None:
    body = noise(9 * MIB)
    lab.model(servers.fine(body, etag='"v1"'), head=servers.fine(body, etag='"v1"'))
    for _ in range(2):
        assert whole(lab.source(), folder) == body
        (folder / "packed").write_bytes(b"?" + body[1:])
    assert lab.ranges() == [None, None]


def test_a_note_of_other_bytes_goes_before_new_ones_come(folder: Path) -> None:
    """Else another process could carry on the second file as if it were the first."""
    first = Found("", 9 * MIB, {"etag": '"v1"'})
    second = Found("", 9 * MIB, {"modified": "1"})
    one = PullFolder(folder)
    one.note(Begun(first, settled=True))
    assert PullFolder(folder).begun("") == Begun(first, settled=True)
    one.note(Begun(second, settled=False))
    assert PullFolder(folder).begun("") is None


@pytest.mark.parametrize("note", [b"", b"{}", b"[]", b"\xff", b'{"path": "", "size": 1}', None])
def test_a_note_that_cannot_be_read_or_is_of_another_boot_is_none(
    folder: Path, note: bytes | None
) -> None:
    made = PullFolder(folder)
    made.note(Begun(Found("", None, {"etag": '"v1"'}), settled=True))
    (file,) = (folder / "begun").iterdir()
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    file.write_bytes(file.read_bytes().replace(boot, b"another") if note is None else note)
    assert PullFolder(folder).begun("") is None


@pytest.mark.parametrize("kind", ["link", "hard-link", "fifo", "folder"])
def test_what_somebody_put_in_the_way_is_not_written_to(
    lab: HttpLab, folder: Path, tmp_path: Path, kind: str
) -> None:
    lab.model(
        servers.truncate(noise(9 * MIB), 5 * MIB, etag='"v1"'),
        head=servers.fine(noise(9 * MIB), etag='"v1"'),
    )
    failed(lab.source(), folder, replace(QUICK, attempts=1))
    packed, victim = folder / "packed", tmp_path / "victim"
    victim.write_bytes(noise(5 * MIB))
    before = hashlib.sha256(victim.read_bytes()).digest()
    packed.unlink()
    if kind == "link":
        packed.symlink_to(victim)
    elif kind == "hard-link":
        os.link(victim, packed)
    elif kind == "fifo":
        os.mkfifo(packed)
    else:
        (packed / "deep" / "er").mkdir(parents=True)
        (packed / "deep" / "file").write_bytes(b"x")
    lab.model(
        servers.fine(noise(9 * MIB), etag='"v1"'), head=servers.fine(noise(9 * MIB), etag='"v1"')
    )
    assert whole(lab.source(), folder) == noise(9 * MIB)
    assert hashlib.sha256(victim.read_bytes()).digest() == before
    assert packed.is_file()
    assert not packed.is_symlink()


def test_what_an_earlier_pull_left_goes_away(lab: HttpLab, folder: Path, tmp_path: Path) -> None:
    (folder / "files" / "old" / "older").mkdir(parents=True)
    (folder / "files" / "old" / "file").write_bytes(b"old")
    (folder / "files" / "way-out").symlink_to(tmp_path)
    lab.model(FINE, head=FINE)
    assert whole(lab.source(), folder) == BODY
    assert {path.name for path in folder.rglob("*")} == {"packed"}


def test_a_digest_that_the_place_tells_is_held_against_the_bytes(
    lab: HttpLab, folder: Path
) -> None:
    def fine(body: bytes, of: bytes) -> Behaviour:
        digest = base64.b64encode(hashlib.sha256(of).digest()).decode()
        return servers.fine(body, etag='"v1"', headers={"Repr-Digest": f"sha-256=:{digest}:"})

    lab.model(fine(OTHER, BODY), fine(BODY, BODY), head=fine(BODY, BODY))
    assert whole(lab.source(), folder) == BODY
    lab.model(fine(OTHER, BODY), head=fine(BODY, BODY))
    error = failed(lab.source(), folder / "again")
    assert isinstance(error, SourceError)
    assert error.trouble is Trouble.TRUNCATED


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1, 10 * len(BODY)])
def test_a_size_that_is_a_lie_is_never_a_model(lab: HttpLab, folder: Path, length: int) -> None:
    lab.model(FINE, head=servers.announce(b"", length))
    error = failed(lab.source(), folder)
    assert isinstance(error, PullError)
    assert error.cause is Cause.UNSTEADY


def test_a_longer_body_than_announced_is_cut_off(lab: HttpLab, folder: Path) -> None:
    lab.model(servers.chunked(BODY + b"x", 100_000), head=FINE)
    error = failed(lab.source(), folder)
    assert isinstance(error, PullError)
    assert (folder / "packed").stat().st_size <= len(BODY)


def test_a_model_that_is_put_away_and_put_back_is_pulled(lab: HttpLab, folder: Path) -> None:
    """As `hadoop fs -rmr model; hadoop fs -put model` does."""
    lab.model(servers.status(404), FINE, head=FINE)
    assert whole(lab.source(), folder) == BODY


def test_an_endless_body_ends_at_the_cap_and_not_at_the_disk(lab: HttpLab, folder: Path) -> None:
    lab.server.script("/model", servers.endless())
    with pytest.raises(SourceError) as caught:
        pull(lab.source(), folder, effort=QUICK, caps=Caps(bytes=4 * MIB))
    assert caught.value.trouble is Trouble.TOO_LARGE
    assert (folder / "packed").stat().st_size <= 4 * MIB


def test_a_model_larger_than_the_cap_is_not_begun(lab: HttpLab, folder: Path) -> None:
    lab.model(FINE, head=FINE)
    with pytest.raises(SourceError) as caught:
        pull(lab.source(), folder, effort=QUICK, caps=Caps(bytes=len(BODY) - 1))
    assert caught.value.trouble is Trouble.TOO_LARGE
    assert lab.ranges() == []


def test_a_disk_without_room_is_told_before_a_byte_is_read(lab: HttpLab, folder: Path) -> None:
    lab.model(FINE, head=FINE)
    error = failed(lab.source(), folder, replace(QUICK, reserve=1 << 60))
    assert isinstance(error, PullError)
    assert error.cause is Cause.DISK
    assert "free" in str(error)
    assert lab.ranges() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_fills_up_is_told_and_the_pull_carries_on_later(
    lab: HttpLab, tmp_path: Path
) -> None:
    """The size is not announced, so that only the disk says no."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    try:
        silent = servers.chunked(BODY, 100_000)
        lab.model(silent, head=servers.without_length(b""))
        error = failed(lab.source(), disk / "pull", replace(QUICK, reserve=0))
        assert isinstance(error, PullError)
        assert error.cause is Cause.DISK
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        assert whole(lab.source(), disk / "pull", replace(QUICK, reserve=0)) == BODY
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_stop_ends_a_wait(lab: HttpLab, folder: Path) -> None:
    lab.server.script("/done", servers.status(503, {"Retry-After": "3600"}))
    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(PullError) as caught:
        pull(
            lab.source(),
            folder,
            stop=stop,
            effort=replace(QUICK, first_delay=60, longest_delay=600),
        )
    timer.join()
    assert caught.value.cause is Cause.STOPPED


def test_stop_and_close_end_a_read_of_a_silent_server(lab: HttpLab, folder: Path) -> None:
    lab.model(servers.stall(BODY[:MIB], announced=len(BODY)), head=FINE)
    stop, source = threading.Event(), lab.source()

    def end() -> None:
        stop.set()
        source.close()

    timer = threading.Timer(0.2, end)
    timer.start()
    with pytest.raises(PullError) as caught:
        pull(source, folder, stop=stop, effort=QUICK)
    timer.join()
    assert caught.value.cause is Cause.STOPPED


def test_the_whole_pull_has_a_deadline(lab: HttpLab, folder: Path) -> None:
    lab.server.script("/done", servers.status(500))
    error = failed(lab.source(), folder, replace(QUICK, total=0.3, attempts=10_000))
    assert isinstance(error, PullError)
    assert error.cause is Cause.DEADLINE


def test_a_source_that_changes_all_the_time_is_given_up(lab: HttpLab, folder: Path) -> None:
    count = iter(range(1000))

    def changing(exchange: servers.Exchange) -> None:
        servers.fine(BODY, etag=f'"v{next(count)}"')(exchange)

    lab.server.script("/model", changing)
    error = failed(lab.source(), folder)
    assert isinstance(error, PullError)
    assert error.cause is Cause.UNSTEADY
    assert len(lab.ranges()) == QUICK.rounds


@pytest.mark.parametrize(
    "hrefs", [("a", "A"), ("a", "a/"), ("e%CC%81",), ("%C3%A9", "%C3%89"), ("a%5Cb",), ("c%3Ax",)]
)
def test_names_that_could_be_one_file_are_refused_before_a_byte_is_pulled(
    lab: HttpLab, folder: Path, hrefs: tuple[str, ...]
) -> None:
    links = "".join(f'<a href="{href}">x</a>' for href in hrefs)
    page = f"<title>Index of /</title>{links}</html>".encode()
    lab.server.script("/model/", servers.fine(page))
    lab.server.script("/model/a/", servers.fine(b'<title>Index of /</title><a href="b"></html>'))
    for each in (*hrefs, "a/b"):
        lab.model(FINE, head=FINE, path=f"/model/{each}") if not each.endswith("/") else None
    error = failed(lab.source(packed=False), folder)
    assert isinstance(error, SourceError)
    assert error.trouble is Trouble.MALFORMED
    assert {each.method for each in lab.server.seen if not each.path.endswith("/")} <= {
        "HEAD", "GET",
    }  # fmt: skip
    assert list((folder).rglob("files")) == []
