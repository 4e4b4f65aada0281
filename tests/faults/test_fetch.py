"""Bad days of fetching: each has a clear error, and none leaves anything in the store."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.errors import (
    FetchError,
    HpsError,
    IntegrityError,
    NotFoundError,
    OfflineError,
    StoreError,
)
from hps.store.request import Event
from tests import servers
from tests.servers import HostileServer
from tests.store.fetch_lab import HASTY, Lab, make_lab

BODY = bytes(range(256)) * 8192  # two pieces of 1 MiB


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with make_lab(tmp_path) as made:
        yield made


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Lab]:
    with make_lab(tmp_path, HASTY) as made:
        yield made


def fails(lab: Lab, kind: type[HpsError], *requests: object, offline: bool = False) -> HpsError:
    """Fetch, expect exactly this kind of error, nothing kept, no credentials shown."""
    with pytest.raises(HpsError) as caught:
        lab.fetch(*requests, offline=offline)  # type: ignore[arg-type] # requests of the lab
    assert caught.value.reference == kind.reference
    assert not lab.leftovers()
    assert "secret" not in str(caught.value)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (servers.status(500), "500 Internal Server Error"),
        (servers.reset(), "Connection reset by peer"),
        (servers.reset(BODY[: 1 << 20], announced=len(BODY)), "the answer broke off"),
        (servers.truncate(BODY, 1_500_000), "truncated"),
        (servers.without_length(BODY[:-1]), f"the answer ended after {len(BODY) - 1} bytes"),
    ],
    ids=["500", "reset", "reset-late", "truncated", "cut"],
)
def test_a_server_that_fails(lab: Lab, bad: servers.Behaviour, said: str) -> None:
    request = lab.wheel("demo", BODY, bad)
    error = fails(lab, FetchError, request)
    assert error.exit_code == 4
    assert said in error.message
    assert f"{lab.server.host}/files/{request.file}" in error.message
    assert not lab.store.has(request.digest)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (servers.stall(BODY[: 1 << 20], announced=len(BODY)), "stalled: no byte within 0.2 s"),
        (servers.silence(), "no answer within 0.2 s"),
        (servers.dripping_head(0.05), "no complete answer head within 0.4 s"),
        (servers.dribble(BODY, 50, 0.01), "slower than 100000 bytes per second"),
    ],
    ids=["stalled", "silent", "dripping-head", "dribble"],
)
def test_a_server_that_is_silent_or_slow(hasty: Lab, bad: servers.Behaviour, said: str) -> None:
    request = hasty.wheel("demo", BODY, bad)
    error = fails(hasty, FetchError, request)
    assert error.exit_code == 4
    assert said in error.message
    assert f"{hasty.server.host}/files/{request.file}" in error.message


def test_an_index_that_nobody_answers_for(lab: Lab) -> None:
    with HostileServer() as gone:
        lab.environment["HPS_INDEX_DEFAULT"] = f"{gone.url}/simple"
    requests = [lab.wheel(f"demo-{number}", b"x%d" % number) for number in range(30)]
    error = fails(lab, FetchError, *requests)
    assert error.message == "30 files could not be fetched"
    assert "Connection refused" in error.details[0]
    assert error.details[-1] == "and 10 more"
    assert "docs/how-to/mirrors.md" in (error.hint or "")


@pytest.mark.parametrize(
    "bad",
    [
        servers.fine(BODY[:-1] + b"!"),
        servers.fine(BODY[:-1]),
        servers.fine(BODY + b"!"),
        servers.chunked(BODY + b"!", 100_000),
        servers.chunked(BODY[:-1], 100_000),
        servers.without_length(BODY + b"!"),
        servers.endless(),
        servers.fine(b""),
    ],
    ids=[
        "other-bytes", "shorter", "longer", "longer-chunked", "shorter-chunked", "longer-unmarked",
        "endless", "empty",
    ],
)  # fmt: skip
def test_wrong_bytes_are_refused_once_and_for_all(lab: Lab, bad: servers.Behaviour) -> None:
    request = lab.wheel("demo", BODY, bad)
    error = fails(lab, IntegrityError, request)
    assert error.reference == "integrity"
    assert error.exit_code == 5
    assert error.message.startswith(f"{request.file} is not what was promised: http://***@")
    assert error.expected in {str(request.digest), f"{request.size} bytes"}
    assert error.got
    assert "nothing of it was kept" in (error.hint or "")
    assert lab.server.count(f"/files/{request.file}") == 1
    assert not lab.store.has(request.digest)


def test_wrong_bytes_of_a_mirror_are_not_hidden_by_a_fallback(lab: Lab) -> None:
    lab.fallbacks = (f"{lab.server.url}/old",)
    request = lab.deb("demo", b"deb")
    pool = "pool/main/d/demo/demo_1.0_amd64.deb"
    lab.server.script(f"/debian/{pool}", servers.fine(b"bad"))
    lab.server.script(f"/old/{pool}", servers.fine(b"deb"))
    error = fails(lab, IntegrityError, request)
    assert error.expected == str(request.digest)
    assert lab.server.count(f"/old/{pool}") == 0


def test_a_mirror_that_breaks_off_leaves_nothing_to_the_fallback(lab: Lab) -> None:
    lab.fallbacks = (f"{lab.server.url}/old",)
    request = lab.deb("demo", BODY)
    pool = "pool/main/d/demo/demo_1.0_amd64.deb"
    lab.server.script(f"/debian/{pool}", servers.truncate(BODY[::-1], 1_500_000))
    lab.server.script(f"/old/{pool}", servers.fine(BODY))
    lab.fetch(request)
    assert lab.store.read(request.digest, len(BODY)) == BODY
    taken = sum(
        e.count if e.kind == "bytes" else -e.count
        for e in lab.events
        if e.kind in {"bytes", "restart"}
    )
    assert taken == len(BODY)


def test_a_deb_that_is_nowhere(lab: Lab) -> None:
    lab.fallbacks = (f"{lab.server.url}/old/{{archive}}",)
    error = fails(lab, NotFoundError, lab.deb("demo", b"deb"))
    assert error.reference == "artifact-not-found"
    assert error.message == "the Debian package demo 1.0 is in none of the places tried"
    pool = "pool/main/d/demo/demo_1.0_amd64.deb"
    assert error.details == (
        f"archive 'main': http://***@{lab.server.host}/debian/{pool}: not there",
        f"fallback of 'main': {lab.server.url}/old/debian/{pool}: not there",
    )
    assert (error.hint or "").startswith("hps lock --upgrade-package demo")


def test_a_wheel_that_the_index_dropped(lab: Lab) -> None:
    request = lab.wheel("demo", b"x")
    lab.server.script("/simple/demo/", servers.fine(b"<html>", media_type="text/html"))
    error = fails(lab, NotFoundError, request)
    assert f"lists demo, but not {request.file}" in error.message
    assert "hps lock --upgrade-package demo" in (error.hint or "")


def test_an_index_that_is_a_login_page(lab: Lab) -> None:
    request = lab.wheel("demo", b"x")
    lab.server.script("/simple/demo/", servers.fine(b"\xff\xd8", media_type="image/jpeg"))
    error = fails(lab, FetchError, request)
    assert "cannot read the answer" in error.message
    assert error.got == "image/jpeg"


def test_all_failures_are_told_together_and_the_others_arrive(lab: Lab) -> None:
    good = lab.wheel("good", b"good")
    wrong = lab.wheel("wrong", b"right", servers.fine(b"wrong"))
    gone = lab.wheel("gone", b"gone", servers.status(404))
    broken = lab.wheel("broken", b"broken", servers.status(500))
    error = fails(lab, IntegrityError, wrong, good, gone, broken)
    assert error.message == "3 files could not be fetched"
    text = "\n".join(error.details)
    assert text.index(wrong.file) < text.index(gone.file) < text.index(broken.file)
    assert f"expected {wrong.digest}, got " in text
    assert lab.store.has(good.digest)
    assert [e.index for e in lab.events if e.kind == "failed"] != []


def test_offline_lists_what_is_missing(lab: Lab, tmp_path: Path) -> None:
    requests = [
        lab.wheel("demo", BODY),
        lab.deb("libdemo", b"deb"),
        lab.file("model.tar", b"model", tmp_path / "none", urls=("https://example.org/model.tar",)),
    ]
    error = fails(lab, OfflineError, *requests, offline=True)
    assert error.reference == "offline-missing"
    assert error.message == (
        "3 files are missing in the store (2.1 MB), and --offline forbids fetching"
    )
    assert error.details == (
        "demo-1.0-py3-none-any.whl (2.1 MB): demo from the index 'default'",
        "libdemo_1.0_amd64.deb (0.0 MB): libdemo 1.0 from debian (bookworm)",
        "model.tar (0.0 MB): a plain file",
    )
    assert "hps store add FILE" in (error.hint or "")
    assert not lab.server.seen


def test_a_path_with_other_bytes_is_not_replaced_by_the_url(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(b"other")
    request = lab.file("model.tar", b"model", path, urls=(f"{lab.server.url}/model.tar",))
    error = fails(lab, IntegrityError, request)
    assert str(path) in error.message
    assert not lab.server.seen


def test_a_file_that_is_nowhere(lab: Lab, tmp_path: Path) -> None:
    request = lab.file("m.tar", b"m", tmp_path / "none", urls=(f"{lab.server.url}/m.tar",))
    error = fails(lab, NotFoundError, request)
    assert error.details == (
        f"path {tmp_path}/none: not there",
        f"url {lab.server.url}/m.tar: not there",
    )
    assert "hps store add m.tar" in (error.hint or "")


def test_a_store_that_cannot_be_written_ends_it_all(lab: Lab) -> None:
    lab.store.root.write_text("a file where the folder should be")
    requests = [lab.wheel(f"demo-{number}", b"x%d" % number) for number in range(20)]
    with pytest.raises(StoreError):
        lab.fetch(*requests)


def test_a_progress_report_that_fails_ends_it_all(lab: Lab) -> None:
    requests = [lab.wheel("demo", BODY), lab.wheel("stalled", BODY, servers.stall(b"x"))]

    def broken(event: Event) -> None:
        raise RuntimeError("the terminal went away")

    with pytest.raises(RuntimeError, match="terminal"):
        lab.fetcher().fetch(requests, broken)
    assert not lab.leftovers()


def test_no_thread_outlives_a_fetch(lab: Lab) -> None:
    lab.fetch(lab.wheel("demo", BODY))
    assert not [each for each in threading.enumerate() if each.name.startswith("hps-fetch")]


SCRIPT = """
import sys
from pathlib import Path
from hps.config.schema import Sources
from hps.digest import Digest
from hps.store.blobs import Store
from hps.store.fetch import Fetcher
from hps.store.http import Http
from hps.store.origins import Origins
from hps.store.request import FileOrigin, Request

folder, *urls = sys.argv[1:]
requests = [
    Request(digest=Digest.of(url.encode()), size=1 << 22, file="f", origin=FileOrigin(urls=(url,)))
    for url in urls
]
fetcher = Fetcher(Store(Path(folder)), Http(), Origins(Sources()))
fetcher.fetch(requests, lambda event: print(event.kind, flush=True))
"""


def test_ctrl_c_ends_at_once_and_leaves_nothing(lab: Lab) -> None:
    """Two downloads have bytes on disk and a silent server, a third has no answer at all."""
    half = servers.stall(b"x" * (2 << 20), announced=1 << 22)
    lab.server.script("/a", half)
    lab.server.script("/b", half)
    lab.server.script("/c", servers.silence())
    urls = [f"{lab.server.url}/{name}" for name in "abc"]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(lab.store.root), *urls],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    pieces = 0
    while pieces < 4:
        pieces += process.stdout.readline() == "bytes\n"
    while lab.server.count("/c") == 0:
        time.sleep(0.01)
    assert lab.leftovers()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)  # an idle server would be waited for 30 s, 4 times
    assert process.returncode == -signal.SIGINT
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not lab.leftovers()
    assert not list(lab.store.list_blobs())
