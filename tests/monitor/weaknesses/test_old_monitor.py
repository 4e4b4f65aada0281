"""The old monitor itself: what it did, what its parser took, and how one goes there and back.

It runs here as it was published, against the servers of the other tests.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.test_monitor_drop_in import COMMANDS, parsed
from tests.monitor.sources.ftp_servers import PASSWORD, USER, pyftpdlib
from tests.monitor.weaknesses import old_monitor
from tests.monitor.weaknesses.drop_in import DropIn, Made, ftp, model, pack, tree, write

pytestmark = pytest.mark.network
BACK = Path(__file__).parents[3] / "docs" / "how-to" / "from-paddle-serving-monitor.md"


@pytest.fixture(scope="module")
def module(request: pytest.FixtureRequest) -> Path:
    return old_monitor.fetched(request.config.cache.mkdir("hps-old-monitor"))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "published").mkdir()
    with pyftpdlib(tmp_path / "published") as found:
        yield found


def publish(folder: Path, files: dict[str, bytes], donefile: int) -> None:
    """In place, and at another second than the last time."""
    pack(folder / "published" / "m.tar.gz", files)
    path = folder / "published" / "donefile"
    path.touch()
    os.utime(path, (1_700_000_000 + donefile, 1_700_000_000 + donefile))


def flags(port: int) -> list[str]:
    login = ["--ftp_username", USER, "--ftp_password", PASSWORD]
    return [*ftp(port, "m.tar.gz", *login), "--unpacked_filename", "m"]


@pytest.mark.parametrize("words", COMMANDS)
def test_both_parsers_take_the_same(
    module: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed(words) == old_monitor.parsed(module, shlex.split(words), monkeypatch)


def test_what_the_old_one_did_with_a_truncated_archive_and_what_ours_does(
    module: Path, port: int, tmp_path: Path, drop_in: Made
) -> None:
    """W1 and W4: one situation, both monitors."""
    (tmp_path / "local" / "m").mkdir(parents=True)
    big = {name: data + os.urandom(20_000) for name, data in model(2).items()}
    publish(tmp_path, model(1), 1)
    with old_monitor.running(module, tmp_path, flags(port)) as old:
        old.until_updated()
        publish(tmp_path, big, 2)
        archive = tmp_path / "published" / "m.tar.gz"
        os.truncate(archive, archive.stat().st_size // 2)
        old.until_updated(2)  # "update model timestamp": the server is told to load it
    served = tree(tmp_path / "local" / "m")
    assert "only-1" in served  # of the version before
    assert served["__model__"] == big["__model__"]  # of the new one
    halves = [name for name in served if served[name] not in (model(1).get(name), big.get(name))]
    assert halves  # of none

    shutil.rmtree(tmp_path / "local")
    publish(tmp_path, model(1), 3)
    monitor = drop_in(*flags(port))
    monitor.until_live(1)
    publish(tmp_path, big, 4)
    os.truncate(archive, archive.stat().st_size // 2)
    monitor.until_log("warning step-failed m")
    assert tree(monitor.live) == model(1)
    publish(tmp_path, big, 5)
    monitor.until(lambda: tree(monitor.live) == big)


def test_there_and_back_and_there_again(
    module: Path, port: int, tmp_path: Path, drop_in: Made
) -> None:
    """What the page on moving says: the old files stay, and so does the way back."""
    local = tmp_path / "local"
    write(local / "m", {"__model__": b"what the server was started with", "extra": b"by hand"})
    publish(tmp_path, model(1), 1)
    with old_monitor.running(module, tmp_path, flags(port)) as old:
        old.until_updated()
    left = tree(local / "_serving_monitor_tmp")
    assert left["m/__model__"] == model(1)["__model__"]
    by_the_old = tree(local / "m")
    assert by_the_old["extra"] == b"by hand"

    monitor = drop_in(*flags(port))
    assert monitor.until_live(1) == model(1)
    assert tree(local / ".hps" / "m" / "serving" / "0") == by_the_old
    publish(tmp_path, model(2), 2)
    assert monitor.until_live(2) == model(2)
    hps_files = tree(local / "_serving_monitor_tmp" / ".hps")
    assert {name: (local / "_serving_monitor_tmp" / name).read_bytes() for name in left} == left
    assert monitor.ended() == 0

    assert monitor.live.is_dir()
    assert not monitor.live.is_symlink()
    assert monitor.timestamp.is_file()
    _go_back(local)
    publish(tmp_path, model(3), 3)
    with old_monitor.running(module, tmp_path, flags(port)) as old:
        old.until_updated(2)
    served = tree(monitor.live)
    assert {name: served[name] for name in model(3) if name != ".dot"} == {
        name: data for name, data in model(3).items() if name != ".dot"
    }
    assert not {"journal", "generations", "staging", "live"} & set(served)
    generation = local / "_serving_monitor_tmp" / ".hps" / "m" / "generations" / "2"
    assert tree(generation) == model(2)  # not written through
    assert hps_files == tree(local / "_serving_monitor_tmp" / ".hps")

    publish(tmp_path, model(4), 4)
    monitor.start()
    monitor.until(lambda: tree(monitor.live) == model(4))
    kept = local / ".hps" / "m" / "serving" / "0.1"
    assert tree(kept) == served


def _go_back(local: Path) -> None:
    """The commands of the page, as they stand there."""
    script = BACK.read_text().partition("<!-- back -->")[2].partition("```\n")[0]
    lines = [line.removeprefix("$ ") for line in script.splitlines() if line.startswith("$ ")]
    assert len(lines) > 3
    done = subprocess.run(
        ["/bin/sh", "-euc", "\n".join(lines)], cwd=local, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_w16_the_old_one_logged_the_password(module: Path, port: int, tmp_path: Path) -> None:
    (tmp_path / "local" / "m").mkdir(parents=True)
    publish(tmp_path, model(1), 1)
    with old_monitor.running(module, tmp_path, flags(port)) as old:
        old.until_updated()
        assert PASSWORD in old.log.read_text()


def test_w13_the_old_one_wrote_where_an_archive_told_it_to(
    module: Path, port: int, tmp_path: Path, drop_in: Made
) -> None:
    (tmp_path / "local" / "m").mkdir(parents=True)
    files = {**model(1), "../../../ESCAPED": b"of an archive"}
    publish(tmp_path, files, 1)
    with old_monitor.running(module, tmp_path, flags(port)) as old:
        old.until_updated()
    found = list(tmp_path.rglob("ESCAPED"))
    if not found:
        pytest.skip("the tarfile module of this Python refuses it by itself")
    for path in found:
        path.unlink()
    monitor: DropIn = drop_in(*flags(port))
    monitor.until_log("warning step-failed m: verify")
    assert not list(tmp_path.rglob("ESCAPED"))
