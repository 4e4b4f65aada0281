"""The source for HTTP against servers that stall, lie, break off and never end."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.monitor.source import Caps, SourceError, Trouble
from hps.monitor.sources.credentials import Bearer, Secret
from tests import servers
from tests.monitor.sources.contract import all_of, donefile, noise, trouble
from tests.monitor.sources.http_lab import (
    HASTY,
    HttpLab,
    dated,
    dripping_redirect,
    endless_continue,
    endless_fields,
    endless_line,
    partial,
    raw,
)
from tests.servers import Behaviour, HostileServer

BODY = noise(300_000)
HEAD = servers.fine(BODY, etag='"v1"')
LISTED = "<html><head><title>Index of /model/</title></head><body>{}</body></html>"


@pytest.fixture
def lab() -> Iterator[HttpLab]:
    with HttpLab.running() as running:
        yield running


STATUSES = {
    "400": (servers.status(400), Trouble.REFUSED),
    "401": (servers.status(401), Trouble.REFUSED),
    "403": (servers.status(403), Trouble.REFUSED),
    "404": (servers.status(404), Trouble.MISSING),
    "410": (servers.status(410), Trouble.MISSING),
    "429": (servers.status(429), Trouble.SERVER),
    "500": (servers.status(500), Trouble.SERVER),
    "503": (servers.status(503), Trouble.SERVER),
    "204": (servers.status(204), Trouble.MALFORMED),
    "206-unasked": (partial(b"x", "bytes 0-0/9"), Trouble.MALFORMED),
    "300": (servers.status(300), Trouble.MALFORMED),
    "304-unasked": (servers.status(304, {"ETag": '"v1"'}), Trouble.MALFORMED),
}
BROKEN = {
    "reset": (servers.reset(), Trouble.UNREACHABLE),
    "hang-up": (servers.hang_up(), Trouble.UNREACHABLE),
    "garbage": (servers.garbage(), Trouble.MALFORMED),
    "binary": (raw(bytes(range(256)) * 100), Trouble.MALFORMED),
    "endless-fields": (endless_fields(), Trouble.MALFORMED),
    "endless-line": (endless_line(), Trouble.MALFORMED),
    "loop": (servers.redirect("/model"), Trouble.MALFORMED),
    "to-ftp": (servers.redirect("ftp://127.0.0.1/model"), Trouble.MALFORMED),
    "to-file": (servers.redirect("file:///etc/passwd"), Trouble.MALFORMED),
    "to-nowhere": (servers.redirect("http://[::1/"), Trouble.MALFORMED),
    "to-no-host": (servers.redirect("http:///model"), Trouble.MALFORMED),
}
SLOW = {
    "silence": servers.silence(),
    "dripping-head": servers.dripping_head(0.01),
    "endless-continue": endless_continue(),
}


@pytest.mark.parametrize(("bad", "kind"), (STATUSES | BROKEN).values(), ids=STATUSES | BROKEN)
def test_each_fault_of_the_head_has_its_name(lab: HttpLab, bad: Behaviour, kind: Trouble) -> None:
    lab.server.script("/model", HEAD)
    source = lab.source()
    (found,) = source.model()
    lab.server.script("/model", bad)
    assert trouble(source.model) is kind
    assert trouble(lambda: all_of(source, found)) is kind
    lab.server.script("/model", HEAD)
    assert all_of(source, found) == (0, BODY)


@pytest.mark.parametrize("bad", SLOW.values(), ids=SLOW)
def test_a_server_that_does_not_answer_is_given_up(lab: HttpLab, bad: Behaviour) -> None:
    for path in ("/model", "/done", "/model/"):
        lab.server.script(path, bad)
    brief = replace(HASTY, total=0.6)
    source = lab.source(patience=brief)
    assert trouble(source.donefile) is Trouble.STALLED
    assert trouble(source.model) is Trouble.STALLED
    assert trouble(lab.source(patience=brief, packed=False).model) is Trouble.STALLED


BODIES = {
    "stall": (servers.stall(BODY[:1000], announced=len(BODY)), Trouble.STALLED),
    "drip": (servers.dribble(BODY, 100, 0.01), Trouble.STALLED),
    "reset": (servers.reset(BODY[:1000], announced=len(BODY)), Trouble.UNREACHABLE),
    "truncated": (servers.truncate(BODY, 100_000), Trouble.TRUNCATED),
    "chunks-cut": (servers.chunked(BODY, whole=False), Trouble.TRUNCATED),
    "chunks-odd": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), None),
}


@pytest.mark.parametrize(("bad", "kind"), BODIES.values(), ids=BODIES)
def test_each_fault_of_the_body_has_its_name(
    lab: HttpLab, bad: Behaviour, kind: Trouble | None
) -> None:
    lab.model(bad, head=HEAD)
    source = lab.source(patience=HASTY)
    (found,) = source.model()
    with pytest.raises(SourceError) as caught:
        all_of(source, found)
    assert kind is None or caught.value.trouble is kind


def test_a_body_that_comes_for_ever_ends_with_the_total_time(lab: HttpLab) -> None:
    lab.server.script("/model", servers.dribble(BODY * 1000, 50_000, 0.01))
    source = lab.source(patience=HASTY)
    (found,) = source.model()
    assert trouble(lambda: all_of(source, found)) is Trouble.STALLED


def test_an_endless_body_ends_at_the_cap(lab: HttpLab) -> None:
    lab.server.script("/model", servers.endless())
    source = lab.source(caps=Caps(bytes=5_000_000))
    (found,) = source.model()
    assert found.size is None
    assert trouble(lambda: all_of(source, found)) is Trouble.TOO_LARGE


def test_an_endless_donefile_is_read_up_to_the_cap(lab: HttpLab) -> None:
    lab.server.script("/done", servers.endless(b"x" * 1000))
    assert donefile(lab.source(caps=Caps(donefile=5000))).content == b"x" * 5000


def test_a_larger_body_than_the_cap_is_not_begun(lab: HttpLab) -> None:
    lab.server.script("/model", servers.fine(BODY))
    source = lab.source(caps=Caps(bytes=1000))
    (found,) = source.model()
    assert trouble(lambda: all_of(source, found)) is Trouble.TOO_LARGE


def test_bytes_beyond_the_announced_length_are_not_taken(lab: HttpLab) -> None:
    lab.model(servers.announce(b"abcdef", 3), head=servers.fine(b"abc"))
    source = lab.source()
    (found,) = source.model()
    assert all_of(source, found) == (0, b"abc")
    assert all_of(source, found) == (0, b"abc")


def test_a_body_without_length_is_taken_to_its_end(lab: HttpLab) -> None:
    lab.model(servers.without_length(BODY), head=servers.without_length(b""))
    source = lab.source()
    (found,) = source.model()
    assert found.size is None
    assert all_of(source, found) == (0, BODY)


@pytest.mark.parametrize("head", [403, 405, 501])
def test_a_server_without_head_is_asked_for_one_byte(lab: HttpLab, head: int) -> None:
    lab.model(partial(b"x", f"bytes 0-0/{len(BODY)}"), HEAD, head=servers.status(head))
    (found,) = lab.source().model()
    assert (found.size, found.tokens) == (len(BODY), {"etag": '"v1"'})
    assert lab.ranges() == ["bytes=0-0"]


def test_a_head_that_says_zero_is_not_believed(lab: HttpLab) -> None:
    lab.model(HEAD, head=servers.status(200))
    (found,) = lab.source().model()
    assert found.size == len(BODY)


@pytest.mark.parametrize(
    ("name", "coding", "fine"),
    [
        ("model", "gzip", False),
        ("model.tar", "br", False),
        ("model.tar.gz", "br", False),
        ("model.tar.gz", "x-gzip", True),
        ("model.tgz", "gzip", True),
        ("model.tar.bz2", "bzip2", True),
        ("model", "identity", True),
    ],
)
def test_a_coded_body_is_refused_unless_the_file_itself_is_coded_so(
    lab: HttpLab, name: str, coding: str, fine: bool
) -> None:
    lab.server.script(f"/{name}", servers.fine(BODY, headers={"Content-Encoding": coding}))
    source = lab.source(model=name)
    if fine:
        assert all_of(source, source.model()[0]) == (0, BODY)
    else:
        assert trouble(source.model) is Trouble.MALFORMED


@pytest.mark.parametrize(
    "head",
    [b"", b"Content-Le", b"A: b\r\n", b"Content-Length: 3", b"Content-Length: 3\r\n"],
)
def test_a_head_that_was_cut_off_is_no_empty_file(lab: HttpLab, head: bytes) -> None:
    lab.server.script("/done", raw(b"HTTP/1.1 200 OK\r\n" + head))
    lab.server.script("/model", HEAD)
    source = lab.source()
    (found,) = source.model()
    lab.server.script("/model", raw(b"HTTP/1.1 200 OK\r\n" + head))
    assert trouble(source.donefile) is Trouble.TRUNCATED
    assert trouble(lambda: all_of(source, found)) is Trouble.TRUNCATED


def test_a_server_may_ask_to_be_left_alone(lab: HttpLab) -> None:
    lab.server.script("/done", servers.status(503, {"Retry-After": "17"}))
    with pytest.raises(SourceError) as caught:
        lab.source().donefile()
    assert caught.value.after == 17


def test_a_server_that_is_not_there_is_unreachable(lab: HttpLab) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        source = lab.source(base=f"http://127.0.0.1:{held.getsockname()[1]}")
        assert trouble(source.donefile) is Trouble.UNREACHABLE


def test_a_server_that_takes_no_connection_is_unreachable(lab: HttpLab) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # what the kernel takes for a program that never accepts
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        patience = replace(HASTY, connect=0.3)
        source = lab.source(base=f"http://127.0.0.1:{full.getsockname()[1]}", patience=patience)
        assert trouble(source.donefile) is Trouble.UNREACHABLE


@pytest.mark.parametrize("drip", [b"", b"\x16", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_handshake_that_does_not_come_is_given_up(lab: HttpLab, drip: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(drip)
                while connection.recv(4096):
                    pass

        server = threading.Thread(target=answer)
        server.start()
        patience = replace(HASTY, connect=0.3)
        source = lab.source(
            base=f"https://127.0.0.1:{listener.getsockname()[1]}", patience=patience
        )
        with pytest.raises(SourceError) as caught:
            source.donefile()
        server.join()
    expected = {Trouble.UNREACHABLE, Trouble.STALLED} if len(drip) < 2 else {Trouble.REFUSED}
    assert caught.value.trouble in expected


def test_close_ends_a_read_of_a_silent_server(lab: HttpLab) -> None:
    lab.server.script("/done", servers.silence())
    source = lab.source()
    timer = threading.Timer(0.1, source.close)
    timer.start()
    assert trouble(source.donefile) is Trouble.UNREACHABLE
    timer.join()


def test_a_redirect_whose_body_drips_is_followed(lab: HttpLab) -> None:
    lab.server.script("/done", dripping_redirect("/there", 0.05))
    lab.server.script("/there", servers.fine(b"now"))
    assert donefile(lab.source()).content == b"now"


def test_a_token_is_shown_to_its_own_host_only(lab: HttpLab, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.touch(0o600)
    secret.write_text("abc.def-123\n")
    with HostileServer() as other:
        other.script("/done", servers.redirect(f"{lab.server.url}/back"))
        lab.server.script("/done", servers.redirect(f"{other.url}/done"))
        lab.server.script("/back", servers.fine(b"now"))
        source = lab.source(authorization=Bearer(Secret(file=secret)))
        assert donefile(source).content == b"now"
        shown = [each.headers.get("authorization") for each in (*lab.server.seen, *other.seen)]
    assert shown == ["Bearer abc.def-123", None, None]


# The donefile and its conditions.


def test_a_donefile_whose_etag_may_still_change_its_meaning_is_asked_for_in_full(
    lab: HttpLab,
) -> None:
    """Two of one size within one second have one ETag at nginx."""
    source = lab.source()
    for content in (b"one", b"two"):
        lab.server.script("/done", dated(content, -3600, etag='"same"'))
        assert donefile(source).content == content
    assert all("if-none-match" not in each.headers for each in lab.server.seen)


def test_an_unchanged_donefile_is_answered_by_304(lab: HttpLab) -> None:
    source = lab.source()
    lab.server.script(
        "/done", dated(b"one", 100, etag='"v1"'), servers.status(304), servers.status(304)
    )
    first = donefile(source)
    assert [donefile(source), donefile(source)] == [first, first]
    assert lab.server.seen[1].headers["if-none-match"] == '"v1"'


@pytest.mark.parametrize("odd", [{"ETag": '"v2"'}, {"ETag": 'W/"v9"'}])
def test_a_304_that_speaks_of_another_file_is_not_believed(
    lab: HttpLab, odd: dict[str, str]
) -> None:
    source = lab.source()
    lab.server.script(
        "/done",
        servers.fine(b"one", etag='"v1"'),
        servers.status(304, odd),
        servers.fine(b"two", etag='"v2"'),
    )
    assert [donefile(source).content for _ in range(2)] == [b"one", b"two"]


def test_an_older_donefile_put_back_is_seen_where_304_means_not_newer(lab: HttpLab) -> None:
    source = lab.source()
    lab.server.script("/done", dated(b"new", 100), dated(b"old", 900))
    assert [donefile(source).content for _ in range(2)] == [b"new", b"old"]
    assert all("if-modified-since" not in each.headers for each in lab.server.seen)


@pytest.mark.parametrize("body", [servers.truncate(b"donefile", 4), servers.announce(b"ab", 9)])
def test_half_a_donefile_is_none(lab: HttpLab, body: Behaviour) -> None:
    lab.server.script("/done", body)
    assert trouble(lab.source().donefile) is Trouble.TRUNCATED


# Folders.


def listed(*hrefs: str) -> Behaviour:
    links = "\n".join(f'<a href="{href}">x</a>' for href in hrefs)
    return servers.fine(LISTED.format(links).encode(), media_type="text/html; charset=utf-8")


def test_only_children_of_the_folder_are_let_in(lab: HttpLab) -> None:
    lab.server.script(
        "/model/",
        listed(
            "../", "../../private/other", "/etc/passwd", "//127.0.0.1/model/x", "?C=N;O=D",
            "http://127.0.0.1:1/model/x", "ftp://127.0.0.1/model/y", "javascript:alert(1)",
            "mailto:a@example.org", "#top", ".", "", "./b", "a", "a", "/model/c",
        ),
    )  # fmt: skip
    for name in "abc":
        lab.server.script(f"/model/{name}", servers.fine(name.encode()))
    source = lab.source(packed=False)
    assert [found.path for found in source.model()] == ["a", "b", "c"]
    assert {each.path for each in lab.server.seen} == {
        "/model/", "/model/a", "/model/b", "/model/c",
    }  # fmt: skip


@pytest.mark.parametrize(
    "href",
    [
        "%2e%2e/", "%2e%2e%2fx", "..%2f..%2fetc%2fpasswd", "a%2fb", "a/b", "%00", "a%0ab", "%ff",
        "%1b[31m", "a?b", "a#b", "%2e", "//[", "/model//etc/passwd", "%e2%80%ae.tar",
    ],
)  # fmt: skip
def test_a_name_that_no_file_has_is_refused(lab: HttpLab, href: str) -> None:
    lab.server.script("/model/", listed("fine", href))
    lab.server.script("/model/fine", servers.fine(b"fine"))
    assert trouble(lab.source(packed=False).model) is Trouble.MALFORMED
    assert {each.path for each in lab.server.seen} == {"/model/"}


def test_a_folder_in_itself_ends_at_the_depth(lab: HttpLab) -> None:
    path = "/model/"
    for _ in range(40):
        lab.server.script(path, listed("a/"))
        path += "a/"
    assert trouble(lab.source(packed=False).model) is Trouble.TOO_LARGE


def test_a_folder_of_too_many_names_is_refused(lab: HttpLab) -> None:
    lab.server.script("/model/", listed(*(f"f{number}" for number in range(101))))
    assert trouble(lab.source(packed=False, caps=Caps(files=100)).model) is Trouble.TOO_LARGE
    assert len(lab.server.seen) == 1


def test_a_listing_without_end_is_refused(lab: HttpLab) -> None:
    lab.server.script("/model/", servers.endless(b'<a href="a">a</a>' * 1000))
    assert trouble(lab.source(packed=False).model) is Trouble.TOO_LARGE


def test_a_name_that_is_listed_and_not_there_is_a_change(lab: HttpLab) -> None:
    lab.server.script("/model/", listed("here", "gone"))
    lab.server.script("/model/here", servers.fine(b"here"))
    assert trouble(lab.source(packed=False).model) is Trouble.CHANGED


@pytest.mark.parametrize("page", [servers.without_length, servers.fine])
def test_half_a_listing_is_none(lab: HttpLab, page: Callable[[bytes], Behaviour]) -> None:
    whole = LISTED.format('<a href="a">a</a>\n<a href="b">b</a>').encode()
    lab.server.script("/model/", page(whole[: whole.index(b'<a href="b')]))
    lab.server.script("/model/a", servers.fine(b"a"))
    assert trouble(lab.source(packed=False).model) is Trouble.TRUNCATED


def test_caches_on_the_way_are_told_to_ask(lab: HttpLab) -> None:
    lab.server.script("/model", HEAD)
    source = lab.source()
    all_of(source, source.model()[0])
    source.donefile()
    assert {each.headers["cache-control"] for each in lab.server.seen} == {"no-cache"}


def test_an_empty_listing_is_no_model(lab: HttpLab) -> None:
    lab.server.script("/model/", listed("../"))
    assert trouble(lab.source(packed=False).model) is Trouble.MISSING
