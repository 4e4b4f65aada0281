"""W14, W17, W18, W20: FTP servers that are hostile, slow, or list in their own way."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.sources.ftp_lab import FtpLab, listing, say, silent_data
from tests.monitor.sources.ftp_servers import PASSWORD, USER, pyftpdlib
from tests.monitor.sources.processes import free_ports, listening
from tests.monitor.weaknesses.drop_in import Made, ftp, model, pack, packed, tree, write

DOS = {
    "/m": "01-02-26  03:04AM       <DIR>          params\r\n"
    "01-02-2026  03:04PM                    5 the model\r\n",
    "/m/params": "01-02-26  03:04AM                    7 w 1\r\n",
}


@pytest.fixture
def lab() -> Iterator[FtpLab]:
    with FtpLab() as made:
        made.files = {"/donefile": b"1", "/m/weights": b"weights"}
        yield made


def test_w14_a_listed_name_does_not_lead_out(drop_in: Made, lab: FtpLab, tmp_path: Path) -> None:
    monitor = None
    for turn, name in enumerate(("../../../PWNED", "/PWNED", "a/../../PWNED", "PWNED\0"), 1):
        lines = f"type=file;size=5;modify={lab.stamp}; {name}\r\n"
        lab.script("MLSD", listing(lines.encode()))
        monitor = monitor or drop_in(*ftp(lab.port))
        assert monitor is not None
        monitor.until_log("warning look-failed m", "reason=malformed", times=turn)
    assert monitor is not None
    assert not list(tmp_path.rglob("*PWNED*"))
    assert not monitor.live.exists()
    del lab.scripts["MLSD"]
    assert monitor.until_live(1) == {"weights": b"weights"}


def test_w17_idle_connections_that_the_server_ends_are_made_anew(
    drop_in: Made, tmp_path: Path
) -> None:
    source = tmp_path / "published"
    write(source / "m", model(1))
    (source / "donefile").touch()
    with pyftpdlib(source, idle=1) as port:
        words = ftp(port, "m", "--ftp_username", USER, "--interval", "2")
        monitor = drop_in(*words, HPS_MONITOR_FTP_PASSWORD=PASSWORD)
        monitor.until_live(1)
        end = time.monotonic() + 3
        monitor.until(lambda: time.monotonic() > end)
        write(source / "m", {"__model__": b"new"})
        (source / "donefile").write_text("2")
        assert monitor.until_live(2)["__model__"] == b"new"


def test_w17_a_server_that_is_away_is_asked_again(drop_in: Made, tmp_path: Path) -> None:
    source = tmp_path / "published"
    pack(source / "m.tar.gz", model(1))
    (source / "donefile").touch()
    (port,) = free_ports(1)
    monitor = drop_in(*packed(f"http://127.0.0.1:{port}"))
    monitor.until_log("warning look-failed m", "reason=unreachable")
    command = [monitor.command()[0], "-m", "http.server", "--bind", "127.0.0.1", "--directory"]
    for version in (1, 2):  # it comes, goes, and comes
        pack(source / "m.tar.gz", model(version))
        (source / "donefile").write_text(str(version))
        with listening([*command, str(source), str(port)], port):
            assert monitor.until_live(version) == model(version)
        failures = len(monitor.lines("warning look-failed m"))
        monitor.until_log("warning look-failed m", times=failures + 1)
        assert tree(monitor.live) == model(version)


HASTY = """
[monitor]
state = "{folder}/local/_serving_monitor_tmp/.hps"
listen = ""
[monitor.models.m]
verify = "offered"
interval = 0.2
patience = {{ connect = 5.0, idle = 0.5 }}
source = {{ type = "ftp", host = "127.0.0.1", port = {port}, path = "/", model = "m" }}
server = {{ type = "paddle-serving", folder = "{folder}/local" }}
"""


@pytest.mark.parametrize("verb", ["greeting", "MLST", "MLSD", "RETR"])
def test_w18_a_silent_server_is_left(drop_in: Made, lab: FtpLab, tmp_path: Path, verb: str) -> None:
    silent = silent_data()
    lab.script(verb, silent if verb in ("RETR", "MLSD") else lambda dialogue, _: dialogue.wait())
    (tmp_path / "monitor.toml").write_text(HASTY.format(folder=tmp_path, port=lab.port))
    monitor = drop_in("--config", "monitor.toml")
    monitor.until_log("-failed m", "reason=stalled")
    del lab.scripts[verb]
    assert monitor.until_live(1) == {"weights": b"weights"}


def test_w20_names_with_spaces_and_listings_of_windows_are_read(drop_in: Made, lab: FtpLab) -> None:
    lab.machine_lists = False
    lab.files |= {"/m/the model": b"model", "/m/params/w 1": b"weights"}
    lab.script("LIST", lambda dialogue, _: dialogue.data(DOS[dialogue.folder].encode()))
    monitor = drop_in(*ftp(lab.port))
    assert monitor.until_live(1) == {"the model": b"model", "params/w 1": b"weights"}


def test_w20_total_lines_and_dots_are_read(drop_in: Made, lab: FtpLab) -> None:
    lab.machine_lists = False
    lab.files["/m/a b"] = b"spaced"
    monitor = drop_in(*ftp(lab.port))
    assert monitor.until_live(1) == {"weights": b"weights", "a b": b"spaced"}


def test_w20_links_are_refused_and_named(drop_in: Made, lab: FtpLab) -> None:
    lab.machine_lists = False
    link = "lrwxrwxrwx 1 u g 11 Jan 02 03:04 link -> /etc/passwd\r\n"
    lab.script("LIST", listing(link.encode()))
    monitor = drop_in(*ftp(lab.port))
    monitor.until_log("warning look-failed m", "link", "reason=malformed")
    del lab.scripts["LIST"]
    assert monitor.until_live(1) == {"weights": b"weights"}


def test_w20_a_file_that_may_not_be_read_makes_no_file_of_its_folder(
    drop_in: Made, lab: FtpLab
) -> None:
    lab.files["/m/bias"] = b"bias"
    lab.script("RETR", say("550 Permission denied."))
    monitor = drop_in(*ftp(lab.port))
    monitor.until_log("-failed m")
    assert not monitor.live.exists()
    del lab.scripts["RETR"]
    assert monitor.until_live(1) == {"weights": b"weights", "bias": b"bias"}
