"""W1 to W5, W23, W24, W30: what becomes of the live folder when a model is exchanged."""

import mmap
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.monitor.sources.ftp_servers import PASSWORD, USER, pyftpdlib
from tests.monitor.sources.http_servers import python_server
from tests.monitor.weaknesses.drop_in import Made, ftp, model, pack, packed, tree, write
from tests.servers import Behaviour, HostileServer, fine, stall


def publish(folder: Path, version: int) -> None:
    """The archive is overwritten in place, then the donefile, as ever."""
    pack(folder / "m.tar.gz", model(version))
    (folder / "donefile").write_text(f"{version}\n")


@pytest.mark.parametrize("part", [0.5, 0.99])
def test_w01_a_truncated_archive_never_goes_live(
    drop_in: Made, tmp_path: Path, part: float
) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    assert monitor.until_live(1) == model(1)
    touched = monitor.timestamp.stat().st_mtime_ns

    pack(source / "m.tar.gz", model(2))
    whole = (source / "m.tar.gz").read_bytes()
    (source / "m.tar.gz").write_bytes(whole[: int(len(whole) * part)])
    (source / "donefile").write_text("half\n")
    monitor.until_log("warning step-failed m: verify")
    assert tree(monitor.live) == model(1)
    assert monitor.timestamp.stat().st_mtime_ns == touched

    publish(source, 3)
    monitor.until_log("info    live m")
    monitor.until(lambda: tree(monitor.live) == model(3))


def test_w02_whoever_opens_the_live_folder_finds_one_version(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()), "--interval", "0.05")
    monitor.until_live(1)
    seen: set[bytes] = set()
    looks = 0
    for version in range(2, 12):
        publish(source, version)
        while f"version {version}".encode() not in b"".join(seen):
            found = _opened(monitor.live)
            versions = {data.partition(b" of ")[2] for data in found}
            assert len(versions) <= 1, found
            seen |= versions
            looks += 1
            monitor.until(lambda: True)
    assert looks >= 10


def _opened(folder: Path) -> list[bytes]:
    """Its files by one descriptor, so that the name may come to mean another folder meanwhile."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = []
        for name in ("__model__", "params/weights", "params/bias", ".dot"):
            file = os.open(name, os.O_RDONLY, dir_fd=top)
            found.append(os.read(file, 1 << 16))
            os.close(file)
    except FileNotFoundError:
        return []  # two swaps since it was opened, and what was opened is being removed
    finally:
        os.close(top)
    return found


def test_w03_mapped_weights_do_not_change_under_their_reader(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    pack(source / "m.tar.gz", {"weights": b"A" * 100_000})
    (source / "donefile").touch()
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    with (monitor.live / "weights").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with mapped:
        pack(source / "m.tar.gz", {"weights": b"B"})  # shorter: the old one ends by SIGBUS
        (source / "donefile").write_text("2")
        assert monitor.until_live(2) == {"weights": b"B"}
        assert mapped[:] == b"A" * 100_000


def test_w04_files_that_are_gone_are_gone_and_dot_files_come(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    assert "only-1" in monitor.until_live(1)
    publish(source, 2)
    served = monitor.until_live(2)
    assert served == model(2)
    assert "only-1" not in served
    assert served[".dot"] == b".dot of version 2\n"


def test_w05_what_was_deleted_at_the_source_is_not_deployed_again(
    drop_in: Made, tmp_path: Path
) -> None:
    source = tmp_path / "published"
    write(source / "m", model(1))
    (source / "donefile").touch()
    with pyftpdlib(source) as port:
        monitor = drop_in(
            *ftp(port, "m", "--ftp_username", USER), HPS_MONITOR_FTP_PASSWORD=PASSWORD
        )
        assert monitor.until_live(1) == model(1)
        shutil.rmtree(source / "m")
        write(source / "m", model(2))
        (source / "donefile").write_text("2")
        assert monitor.until_live(2) == model(2)
    assert list((monitor.state / "m" / "staging").iterdir()) == []


def test_w23_the_generation_before_is_kept_and_comes_back(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    publish(source, 2)
    monitor.until_live(2)
    before = int(monitor.timestamp.stat().st_mtime)

    words = ["-m", "hps", "monitor", "rollback", "m", "--state", str(monitor.state)]
    done = subprocess.run(
        [sys.executable, *words, "--reason", "wrong", "--wait", "60"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    monitor.until(lambda: tree(monitor.live) == model(1))
    # The server compares whole seconds.
    assert int(monitor.timestamp.stat().st_mtime) > before
    publish(source, 3)
    monitor.until(lambda: tree(monitor.live) == model(3))


def test_w24_what_the_server_was_given_is_looked_at_and_told(drop_in: Made, tmp_path: Path) -> None:
    """Paddle Serving tells nobody what it loaded; that somebody else exchanged it can be seen."""
    source = tmp_path / "published"
    publish(source, 1)
    monitor = drop_in(*packed(source.as_uri()))
    monitor.until_live(1)
    assert monitor.ended() == 0
    stranger = tmp_path / "stranger"
    write(stranger, {"__model__": b"?"})
    monitor.live.rename(tmp_path / "aside")
    stranger.rename(monitor.live)
    monitor.start()
    monitor.until(lambda: tree(monitor.live) == model(1))
    kept = tmp_path / "local" / ".hps" / "m" / "serving" / "0"
    monitor.until(kept.is_dir)
    assert tree(kept) == {"__model__": b"?"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_w30_a_signal_in_the_middle_leaves_a_whole_model(
    drop_in: Made, tmp_path: Path, number: signal.Signals
) -> None:
    pack(tmp_path / "m.tar.gz", model(1))
    archive = (tmp_path / "m.tar.gz").read_bytes()
    with HostileServer() as server:
        server.script("/donefile", fine(b"1"))
        server.script("/m.tar.gz", fine(archive))
        monitor = drop_in(*packed(server.url))
        monitor.until_live(1)
        touched = monitor.timestamp.stat().st_mtime_ns
        pack(tmp_path / "m.tar.gz", model(2))
        archive = (tmp_path / "m.tar.gz").read_bytes()
        server.script("/m.tar.gz", told_then_stalled(archive))
        server.script("/donefile", fine(b"2"))
        monitor.until_log("info    offered m", times=2)
        assert monitor.ended(number) == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        assert tree(monitor.live) == model(1)
        assert monitor.timestamp.stat().st_mtime_ns == touched
        server.script("/m.tar.gz", fine(archive))
        monitor.start()
        monitor.until(lambda: tree(monitor.live) == model(2))


def told_then_stalled(archive: bytes) -> Behaviour:
    """HEAD is answered, and GET ends in silence after some bytes."""
    well, badly = fine(archive), stall(archive[:100], announced=len(archive))
    return lambda exchange: (well if exchange.command == "HEAD" else badly)(exchange)


def test_w01_a_packed_model_is_served_as_it_was_published(drop_in: Made, tmp_path: Path) -> None:
    """The plain case, over a real HTTP server."""
    publish(tmp_path / "published", 1)
    with python_server(tmp_path / "published") as url:
        assert drop_in(*packed(url)).until_live(1) == model(1)
