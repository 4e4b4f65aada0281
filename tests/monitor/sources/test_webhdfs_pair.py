"""The source for WebHDFS against two real name nodes, of which one is active and may fail."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.monitor.look import Look, agree
from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from tests.monitor.sources.contract import QUICK, all_of, contents, noise, trouble
from tests.monitor.sources.frozen import frozen
from tests.monitor.sources.hadoop_jars import hadoop_jars
from tests.monitor.sources.hdfs_pair import NAMES, HdfsPair
from tests.monitor.sources.hdfs_server import SECONDS, HdfsPlace

pytestmark = [pytest.mark.network, pytest.mark.slow]
HASTY = Patience(connect=5.0, idle=3.0, total=SECONDS)
SETTINGS = """\
[monitor]
state = "state"
listen = ""

[monitor.models.ocr]
verify = "none"
interval = 0.2
patience = {{ connect = 2.0, idle = 2.0 }}
source = {{ type = "hdfs", url = {urls}, user = "loader", path = "{folder}", model = "model", \
donefile = "done" }}
server = {{ type = "paddle-serving", folder = "served" }}
"""


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HdfsPair]:
    jars = hadoop_jars(request.config.cache.mkdir("hps-hadoop"))
    with HdfsPair.running(tmp_path_factory.mktemp("pair"), jars) as running:
        yield running


@dataclass
class Pair:
    """Both name nodes are up.

    Args:
        cluster: of which they are.
        active: the name of the one that is.
        other: the name of the one that stands by.
    """

    cluster: HdfsPair
    active: str
    other: str

    @property
    def urls(self) -> tuple[str, ...]:
        """The one that stands by is named first."""
        return (self.cluster.url(self.other), self.cluster.url(self.active))

    def break_down(self) -> None:
        """The active one is killed, and only then the other one made active."""
        self.cluster.kill(self.active)
        self.cluster.activate(self.other)


@pytest.fixture
def pair(cluster: HdfsPair) -> Pair:
    cluster.restore()
    active = cluster.active
    (other,) = set(NAMES) - {active}
    return Pair(cluster, active, other)


@pytest.fixture
def place(pair: Pair) -> Iterator[HdfsPlace]:
    with pair_place(pair.cluster, pair.urls) as made:
        yield made


def pair_place(
    cluster: HdfsPair, urls: tuple[str, ...]
) -> "contextlib.AbstractContextManager[HdfsPlace]":
    folder = f"/published-{next(cluster.numbers)}"

    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = WebHdfsPlace(
            urls=urls,
            folder=folder,
            model=model,
            donefile="done",
            packed=packed,
            user="loader",
        )
        return WebHdfsSource(place, patience, caps)

    return HdfsPlace.made(cluster, folder, opened)


def look(source: Source) -> Look:
    return Look(source.donefile(), source.model())


def test_the_one_that_stands_by_is_no_fault_of_credentials(pair: Pair) -> None:
    with pair_place(pair.cluster, pair.urls[:1]) as place:
        place.put("model", b"data")
        source = place.source()
        with pytest.raises(SourceError, match="stands by") as caught:
            source.model()
        assert caught.value.trouble is Trouble.SERVER
        assert "both name nodes" in str(caught.value.hint)


def test_after_a_fail_over_all_is_as_before(pair: Pair, place: HdfsPlace) -> None:
    """Or what is live would be pulled and swapped in once more."""
    for path in ("model", "folder/a", "folder/b/c"):
        place.put(path, b"data")
    place.put("done", b"1")
    sources = (place.source(), place.source("folder", packed=False))
    before = list(map(look, sources))
    pair.cluster.fail_over(pair.active, pair.other)
    for source, seen in zip(sources, before, strict=True):
        after = look(source)
        assert seen.is_like(after)
        assert {all_of(source, found) for found in after.model} == {(0, b"data")}
    place.put("done", b"2")
    assert not before[0].is_like(look(sources[0]))


def test_while_none_is_active_nothing_is_missing(pair: Pair, place: HdfsPlace) -> None:
    place.put("model", b"data")
    source = place.source()
    (found,) = source.model()
    pair.cluster.kill(pair.active)
    for action in (source.donefile, source.model, lambda: all_of(source, found)):
        assert trouble(action) in {Trouble.SERVER, Trouble.UNREACHABLE}
    pair.cluster.activate(pair.other)
    assert source.donefile() is None
    assert agree(found, source.model()[0])
    assert all_of(source, found) == (0, b"data")


def test_one_that_hangs_is_passed_over(pair: Pair, place: HdfsPlace) -> None:
    """Until it is fenced, data nodes wait for it whenever a file is read."""
    place.put("model/file", b"data")
    source = place.source(packed=False, patience=HASTY)
    (found,) = source.model()
    with frozen(pair.cluster.port(pair.active)):
        assert trouble(source.model) in {Trouble.SERVER, Trouble.STALLED}
        pair.cluster.activate(pair.other)
        assert agree(found, source.model()[0])
        pair.cluster.kill(pair.active)
    assert all_of(place.source(packed=False), found) == (0, b"data")


def test_a_pull_outlives_a_fail_over(pair: Pair, place: HdfsPlace, tmp_path: Path) -> None:
    files = {"a": noise(3 << 20, 1), "b": noise(3 << 20, 2)}
    for path, data in files.items():
        place.put(f"model/{path}", data)
    failed: list[bool] = []

    def fail(*_: int) -> None:
        if not failed:
            failed.append(True)
            pair.break_down()

    pulled = pull(place.source(packed=False), tmp_path / "pull", effort=QUICK, progress=fail)
    assert failed
    assert contents(pulled) == files


def test_the_hadoop_program_finds_the_active_one_by_itself(pair: Pair, place: HdfsPlace) -> None:
    place.put("model", b"data")
    found = HadoopPlace(
        program=str(pair.cluster.launcher()),
        folder=place.folder,
        model="model",
        donefile="done",
        packed=True,
    )
    with contextlib.closing(HadoopSource(found)) as source:
        (before,) = source.model()
        pair.break_down()
        assert agree(before, source.model()[0])
        assert all_of(source, before) == (0, b"data")


@contextlib.contextmanager
def monitoring(
    folder: Path, place: HdfsPlace, urls: tuple[str, ...]
) -> Iterator[Callable[[], str]]:
    """A monitor in a process of its own; gives what it has written."""
    settings = SETTINGS.format(urls=list(urls), folder=place.folder).replace("'", '"')
    (folder / "monitor.toml").write_text(settings)
    (folder / "served").mkdir()
    words = [sys.executable, "-m", "hps", "monitor", "--config", "monitor.toml"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=os.environ, stdout=log, stderr=log)
    try:
        yield (folder / "log").read_text
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0


def test_the_monitor_swaps_before_between_and_after_fail_overs(
    pair: Pair, place: HdfsPlace, tmp_path: Path
) -> None:
    with monitoring(tmp_path, place, pair.urls) as told:

        def goes_live(version: int) -> None:
            place.put("model/weights", f"version {version}".encode())
            place.put("done", f"{version}".encode())
            served, end = tmp_path / "served" / "ocr" / "weights", time.monotonic() + SECONDS
            while not served.exists() or served.read_text() != f"version {version}":
                assert time.monotonic() < end, told()
                time.sleep(0.02)

        goes_live(1)
        pair.break_down()
        goes_live(2)
        pair.cluster.restore()
        pair.cluster.fail_over(pair.other, pair.active)
        goes_live(3)
    assert told().count("live ocr:") == 3
    assert "Traceback" not in told()
