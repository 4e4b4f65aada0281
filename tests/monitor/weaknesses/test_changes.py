"""W9 to W11, W21, W22: what counts as a new model, and when."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.monitor.sources.http_servers import python_server
from tests.monitor.weaknesses.drop_in import DropIn, Made, model, pack, packed, tree, write
from tests.monitor.weaknesses.hadoop_program import HadoopProgram
from tests.servers import HostileServer, fine, status


def archive(folder: Path, version: int) -> bytes:
    pack(folder / "packed", model(version))
    return (folder / "packed").read_bytes()


def asked(server: HostileServer, path: str, method: str = "GET") -> int:
    return len([one for one in server.seen if (one.path, one.method) == (path, method)])


def looks(monitor: DropIn, server: HostileServer, more: int = 4) -> None:
    """Wait until the donefile was asked for so many times more."""
    before = asked(server, "/donefile")
    monitor.until(lambda: asked(server, "/donefile") >= before + more)


def dated(files: dict[Path, bytes], moment: float) -> None:
    for path, data in files.items():
        path.write_bytes(data)
        os.utime(path, (moment, moment))


@pytest.mark.parametrize("minutes", [True, False])
def test_w09_two_publishes_in_one_minute_are_both_seen(
    drop_in: Made, tmp_path: Path, minutes: bool
) -> None:
    """A client that lists minutes, and one that tells milliseconds and is handed two such times."""
    source = tmp_path / "hdfs"
    source.mkdir()
    program = HadoopProgram(tmp_path / "bin", source, minutes=minutes)
    minute = time.time() // 60 * 60 - 60
    files = source / "m.tar.gz", source / "donefile"
    monitor = None
    for version in (1, 2, 3):
        data = archive(tmp_path, version), f"{version}\n".encode()
        dated(dict(zip(files, data, strict=True)), minute if minutes else minute + version)
        monitor = monitor or drop_in(*program.flags())
        monitor.until(lambda: tree(monitor.live) == model(version))  # noqa: B023 - at once
    if minutes:
        assert any(" -ls " in call for call in program.calls())


def test_w10_a_server_that_tells_no_time_is_not_deployed_from_at_every_look(
    drop_in: Made, tmp_path: Path
) -> None:
    with HostileServer() as server:
        server.script("/donefile", fine(b"1"))
        server.script("/m.tar.gz", fine(archive(tmp_path, 1)))
        monitor = drop_in(*packed(server.url))
        monitor.until_live(1)
        touched = monitor.timestamp.stat().st_mtime_ns
        looks(monitor, server, 8)
        assert asked(server, "/m.tar.gz") == 1
        assert monitor.timestamp.stat().st_mtime_ns == touched
        server.script("/m.tar.gz", fine(archive(tmp_path, 2)))
        server.script("/donefile", fine(b"2"))
        assert monitor.until_live(2) == model(2)


def test_w11_an_older_donefile_that_was_put_back_is_a_publish(
    drop_in: Made, tmp_path: Path
) -> None:
    source = tmp_path / "published"
    source.mkdir()
    files = source / "m.tar.gz", source / "donefile"
    old = dict(zip(files, (archive(tmp_path, 1), b""), strict=True))
    new = dict(zip(files, (archive(tmp_path, 2), b""), strict=True))
    dated(old, time.time() - 7200)
    with python_server(source) as url:
        monitor = drop_in(*packed(url))
        monitor.until_live(1)
        dated(new, time.time() - 3600)
        assert monitor.until_live(2) == model(2)
        dated(old, time.time() - 7200)  # same names, same size of the donefile, an older time
        monitor.until(lambda: tree(monitor.live) == model(1))


def test_w21_a_restart_deploys_nothing_again(drop_in: Made, tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script("/donefile", fine(b"1", etag='"d1"'))
        server.script("/m.tar.gz", fine(archive(tmp_path, 1), etag='"m1"'))
        monitor = drop_in(*packed(server.url))
        monitor.until_live(1)
        touched = monitor.timestamp.stat().st_mtime_ns
        for _ in range(2):
            monitor.kill()
            monitor.start()
            looks(monitor, server)
        assert asked(server, "/m.tar.gz") == 1
        assert monitor.timestamp.stat().st_mtime_ns == touched
        assert len(monitor.lines("info    live m")) == 1


def test_w21_a_pull_that_failed_is_tried_again(drop_in: Made, tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script("/donefile", fine(b"1"))
        server.script("/m.tar.gz", *[status(503)] * 4, fine(archive(tmp_path, 1)))
        monitor = drop_in(*packed(server.url))
        assert monitor.until_live(1) == model(1)
        assert monitor.lines("warning look-failed m") or monitor.lines("warning step-failed m")


def test_w22_the_sample_publisher_is_never_caught_half_way(drop_in: Made, tmp_path: Path) -> None:
    """-rmr model; -put model; -rmr donefile; -put donefile, with looks between all of them."""
    gone = status(404)
    with HostileServer() as server:
        server.script("/donefile", fine(b"1", etag='"1"'))
        server.script("/m.tar.gz", fine(archive(tmp_path, 1), etag='"m1"'))
        monitor = drop_in(*packed(server.url))
        monitor.until_live(1)
        new = archive(tmp_path, 2)
        for path, behaviour in (
            ("/m.tar.gz", gone),
            ("/m.tar.gz", fine(new[: len(new) // 2], etag='"half"')),
            ("/m.tar.gz", fine(new, etag='"m2"')),
            ("/donefile", gone),
        ):
            server.script(path, behaviour)
            looks(monitor, server, 3)
            assert tree(monitor.live) == model(1)
            assert len(monitor.lines("info    live m")) == 1
        server.script("/donefile", fine(b"2", etag='"2"'))
        assert monitor.until_live(2) == model(2)


@pytest.mark.parametrize(
    "found",
    [
        lambda half: status(404),  # noqa: ARG005 - removed, and not there again
        lambda half: fine(half, etag='"half"'),
    ],
    ids=["removed", "half"],
)
def test_w22_a_start_between_an_old_donefile_and_a_new_model(
    drop_in: Made, tmp_path: Path, found: Callable[[bytes], Callable[..., None]]
) -> None:
    by_hand = {"__model__": b"what the server was started with"}
    write(tmp_path / "local" / "m", by_hand)
    new = archive(tmp_path, 2)
    with HostileServer() as server:
        server.script("/donefile", fine(b"1", etag='"1"'))
        server.script("/m.tar.gz", found(new[: len(new) // 2]))
        monitor = drop_in(*packed(server.url))
        monitor.until(lambda: monitor.lines("-failed m"))
        assert tree(monitor.live) == by_hand
        server.script("/m.tar.gz", fine(new, etag='"m2"'))
        server.script("/donefile", fine(b"2", etag='"2"'))
        monitor.until(lambda: tree(monitor.live) == model(2))
