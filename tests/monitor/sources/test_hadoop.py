"""The source through the hadoop program: those of Hadoop 2.7.3 and 3.3.4, and odd programs."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps.errors import ConfigError
from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, Source, SourceError, Trouble
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from tests.monitor.sources.contract import (
    QUICK,
    Place,
    SourceContract,
    all_of,
    contents,
    donefile,
    trouble,
)
from tests.monitor.sources.hdfs_server import Hdfs, HdfsPlace

UGI = Secret(variable="UGI", environment={"UGI": "me,ge<he>im"})


def hdfs_place(
    hdfs: Hdfs, *, fs_name: str = "", ugi: Secret | None = None, program: Path | None = None
) -> "contextlib.AbstractContextManager[HdfsPlace]":
    folder = f"/published-{next(hdfs.numbers)}"
    found = program or hdfs.launcher(knows_cluster=not fs_name)

    def opened(model: str, packed: bool, caps: Caps | None, patience: Patience | None) -> Source:
        place = HadoopPlace(
            program=str(found),
            folder=folder,
            model=model,
            donefile="done",
            packed=packed,
            fs_name=fs_name,
            ugi=ugi,
        )
        return HadoopSource(place, patience, caps)

    return HdfsPlace.made(hdfs, folder, opened, carries_on=False)


class HdfsContract(SourceContract):
    """HDFS lets in no colon; WebHDFS 2.7, by which these tests publish, no percent sign."""

    def test_odd_names_are_names(self, place: Place, tmp_path: Path) -> None:
        names = (
            "with space#hash",
            "what?[x]",
            "{a,b}st*r",
            "it's;and&or",
            "~tilde=b+",
            "höhe漢字",
            "-dash",
            "folder name/in; it",
        )
        files = {name: name.encode() for name in names}
        for path, data in files.items():
            place.put(f"model/{path}", data)
        pulled = pull(place.source(packed=False), tmp_path / "pull", effort=QUICK)
        assert contents(pulled) == files

    @pytest.mark.parametrize("name", ["#1;? höhe[1].tar", "-m"])
    def test_a_packed_model_may_have_an_odd_name(self, place: Place, name: str) -> None:
        super().test_a_packed_model_may_have_an_odd_name(place, name)


@pytest.mark.network
@pytest.mark.slow
class TestHadoop(HdfsContract):
    """Milliseconds by -stat."""

    @pytest.fixture
    def place(self, hdfs: Hdfs) -> Iterator[HdfsPlace]:
        with hdfs_place(hdfs) as made:
            yield made


@pytest.mark.network
@pytest.mark.slow
class TestHadoop3(HdfsContract):
    """A program of today against a cluster of yesterday."""

    @pytest.fixture
    def place(self, hdfs: Hdfs, hadoop_3: list[Path]) -> Iterator[HdfsPlace]:
        with hdfs_place(hdfs, program=hdfs.launcher(jars=hadoop_3)) as made:
            yield made


def without_stat(hdfs: Hdfs) -> Path:
    """A client that has no `-stat %Y`, and no `-ls -R`, as clients made from Hadoop 0.20."""
    real = hdfs.launcher()
    path = real.with_name(f"{real.name}-old")
    path.write_text(
        f"""#!/bin/sh
case "$2 $3" in
"-stat "*) echo "stat: Unknown command" >&2; exit 255;;
"-ls -R") echo "ls: Illegal option -R" >&2; exit 255;;
"-lsr "*) shift 2; exec {real} fs -ls -R "$@";;
esac
exec {real} "$@"
"""
    )
    path.chmod(0o755)
    return path


@pytest.mark.network
@pytest.mark.slow
def test_a_client_that_lists_minutes_tells_contents_apart_by_checksum(hdfs: Hdfs) -> None:
    with hdfs_place(hdfs, program=without_stat(hdfs)) as place:
        source = place.source()
        seen = []
        for content in (b"one", b"two"):
            place.put("done", content)
            seen.append(donefile(source))
            assert seen[-1].content == content
            assert seen[-1].found.resolution == 0
        assert seen[0].found.tokens["checksum"] != seen[1].found.tokens["checksum"]
        assert float(seen[0].found.tokens["modified"]) % 60 == 0
        place.put("model/a b", b"x")
        place.put("model/c/d", b"y")
        found = place.source(packed=False).model()
        assert [(each.path, each.resolution) for each in found] == [("a b", 60.0), ("c/d", 60.0)]


@pytest.mark.network
@pytest.mark.slow
def test_the_file_system_and_the_user_are_given_in_a_file(hdfs: Hdfs) -> None:
    with hdfs_place(hdfs, fs_name=hdfs.file_system, ugi=UGI) as place:
        place.put("model", b"data")
        source = place.source()
        assert all_of(source, source.model()[0]) == (0, b"data")
        assert source.name == f"{hdfs.file_system}{place.folder}/model"


@pytest.mark.network
@pytest.mark.slow
def test_a_cluster_that_is_down_is_not_a_missing_file(hdfs: Hdfs) -> None:
    with hdfs_place(hdfs, fs_name="hdfs://127.0.0.1:1") as place:
        for action in (place.source().donefile, place.source().model):
            assert trouble(action) is Trouble.UNREACHABLE


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], HadoopSource]:
    """A source whose hadoop program is this script."""

    def made(script: str, *, ugi: Secret | None = None, idle: float = 10.0) -> HadoopSource:
        path = tmp_path / "hadoop"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        place = HadoopPlace(
            program=str(path), folder="/m", model="model", donefile="done", ugi=ugi,
            fs_name="afs://user:geheim@host:9902", kind="afs",
        )  # fmt: skip
        return HadoopSource(place, Patience(idle=idle, total=20.0))

    return made


Made = Callable[..., HadoopSource]
STAT = """case "$*" in *-stat*) echo 1795334754008 {} "regular file"; exit;; esac
"""


def test_no_secret_is_in_arguments_and_its_file_is_private_and_removed(
    program: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    source = program(
        f"""echo "$*" >> {tmp_path}/argv
cp "$3" {tmp_path}/seen.xml; stat -c %a "$3" "$(dirname "$3")" > {tmp_path}/modes
{STAT.format(4)} printf data""",
        ugi=UGI,
    )
    assert donefile(source).content == b"data"
    argv = (tmp_path / "argv").read_text()
    assert "-conf" in argv
    assert not [word for word in ("<he>", "geheim", "me,", "9902") if word in argv]
    assert "me,ge&lt;he&gt;im" in (tmp_path / "seen.xml").read_text()
    assert (tmp_path / "modes").read_text().split() == ["600", "700"]
    assert not list(tmp_path.glob("hps-hadoop-*"))
    assert source.name == "afs://host:9902/m/model"


def test_no_error_holds_a_secret(program: Made) -> None:
    source = program('echo "ls: login of me,ge<he>im with ge<he>im failed" >&2; exit 1', ugi=UGI)
    with pytest.raises(SourceError) as caught:
        source.model()
    assert "<he>" not in f"{caught.value} {caught.value.__cause__}"


def test_a_program_that_is_not_there_is_unusable(tmp_path: Path) -> None:
    place = HadoopPlace(program=str(tmp_path / "no"), folder="/m", model="m", donefile="d")
    assert trouble(HadoopSource(place).donefile) is Trouble.UNUSABLE


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ('echo "stat: \\`/m/done\': No such file or directory" >&2; exit 1', None),
        ("exec /nowhere/java", Trouble.UNUSABLE),
        ("echo 'Error: JAVA_HOME is not set.' >&2; exit 1", Trouble.UNUSABLE),
        ("exit 1", Trouble.UNREACHABLE),
        ("kill -9 $$", Trouble.UNREACHABLE),
        ("yes", Trouble.TOO_LARGE),
        ("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1", Trouble.UNREACHABLE),
        ("echo 1795334754008 0 directory", Trouble.MALFORMED),
        ("echo 1795334754008 0 symlink", Trouble.MALFORMED),
        ("echo nonsense", Trouble.MALFORMED),
    ],
)
def test_only_a_missing_file_is_missing(program: Made, script: str, kind: Trouble | None) -> None:
    source = program(script)
    if kind is None:
        assert source.donefile() is None
        assert trouble(source.model) is Trouble.MISSING
    else:
        assert trouble(source.donefile) is kind
        assert trouble(source.model) is kind


@pytest.mark.parametrize(
    ("size", "rest", "kind"),
    [
        (4, "printf dat", Trouble.TRUNCATED),
        (4, "printf data; exit 1", Trouble.UNREACHABLE),
        (4, "printf 'data and more'", Trouble.CHANGED),
        (4, "yes", Trouble.CHANGED),
        (4, "printf dat; kill -9 $$", Trouble.UNREACHABLE),
    ],
)
def test_a_file_that_does_not_come_as_announced(
    program: Made, size: int, rest: str, kind: Trouble
) -> None:
    source = program(f"{STAT.format(size)}{rest}")
    (found,) = source.model()
    assert trouble(lambda: all_of(source, found)) is kind


def gone(pid: int) -> bool:
    """Whether a process ends within seconds; a zombie has ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_hangs_is_ended_with_its_children(program: Made, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    source = program(f"sleep 600 & echo $$ $! > {pids}; wait", idle=0.5)
    assert trouble(source.donefile) is Trouble.STALLED
    assert all(gone(int(pid)) for pid in pids.read_text().split())


def test_close_ends_a_program_with_its_children(program: Made, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    source = program(f"sleep 600 & echo $$ $! > {pids}; wait")
    found: list[str] = []

    def close() -> None:
        found.extend(pids.read_text().split())
        source.close()

    other = threading.Thread(target=close)
    other.start()
    assert trouble(source.donefile) is Trouble.UNREACHABLE
    other.join()
    assert all(gone(int(pid)) for pid in found)
    assert trouble(source.model) is Trouble.UNREACHABLE


def test_a_read_that_is_left_early_ends_the_program(program: Made, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    source = program(f"{STAT.format(10**9)}echo $$ > {pid}; exec yes")
    (found,) = source.model()
    with source.read(found) as reading:
        assert next(reading.pieces)
    assert gone(int(pid.read_text()))


def test_noise_of_virtual_machines_is_no_answer(program: Made) -> None:
    noise = "OpenJDK 64-Bit Server VM warning: x"
    source = program(f"echo '{noise}'; echo '{noise}' >&2; {STAT.format(4)}printf data")
    (found,) = source.model()
    assert found.size == 4


def test_a_folder_that_would_be_an_option_is_refused() -> None:
    with pytest.raises(ConfigError):
        HadoopSource(HadoopPlace(program="hadoop", folder="-rm", model="m", donefile="d"))
