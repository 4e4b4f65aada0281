"""The 19 flags of Paddle Serving's monitor: the same names, defaults and meaning."""

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from hps.cli.monitor import command
from hps.config.monitor import (
    AfsSource,
    FtpSource,
    GeneralSource,
    HdfsSource,
    Monitor,
    PaddleServing,
    WatchedModel,
)
from hps.errors import UsageError
from hps.monitor.flags import Flags, settings
from tests.monitor.servers.test_paddle_serving import Reloader
from tests.monitor.sources.hdfs_server import Hdfs
from tests.monitor.sources.http_servers import Nginx, find_nginx
from tests.monitor.weaknesses.drop_in import DropIn, Made, children, making, model, pack, write

NAMES = tuple(one.name for one in fields(Flags))
# What `paddle_serving_server.monitor` 0.9.0 takes for what is not given.
DEFAULTS = {
    **dict.fromkeys(NAMES),
    "type": "general",
    "local_timestamp_file": "fluid_time_file",
    "local_tmp_path": "_serving_monitor_tmp",
    "interval": 10,
    "debug": False,
    "ftp_username": "",
    "ftp_password": "",
    "fs_name": "",
    "fs_ugi": "",
}
REQUIRED = (
    "--remote_path / --remote_model_name m.tar --remote_donefile_name done "
    "--local_path local --local_model_name m "
)
# The command of the hot-loading document.
DOCUMENT = (
    "--type='hdfs' --hadoop_bin='/hadoop-3.1.2/bin/hadoop' --remote_path='/' "
    "--remote_model_name='uci_housing.tar.gz' --remote_donefile_name='donefile' --local_path='.' "
    "--local_model_name='uci_housing_model' --local_timestamp_file='fluid_time_file' "
    "--local_tmp_path='_tmp' --unpacked_filename='uci_housing_model' --debug"
)
COMMANDS = (
    REQUIRED,
    REQUIRED + "--general_host http://127.0.0.1 --debug",
    REQUIRED + "--type ftp --ftp_host h --ftp_port 2121 --ftp_username u --ftp_password=p=q",
    REQUIRED + "--type=afs --hadoop_bin=/h/bin/hadoop --fs_name=afs://h:1 --fs_ugi=u,p",
    REQUIRED + "--interval 3 --unpacked_filename m --local_tmp_path t --local_timestamp_file f",
    DOCUMENT,
)


@pytest.fixture
def drop_in(tmp_path: Path) -> Iterator[Made]:
    with making(tmp_path) as made:
        yield made


def parsed(words: str) -> dict[str, Any]:
    """What the command line takes from these words."""
    with command.make_context("monitor", shlex.split(words)) as context:
        return {name: context.params[name] for name in NAMES}


def meant(words: str) -> tuple[Monitor, WatchedModel]:
    """The settings that these words mean, and the one model in them."""
    monitor, _ = settings(Flags(**parsed(words)))
    (model,) = monitor.models.values()
    return monitor, model


def test_there_are_nineteen_with_the_old_defaults() -> None:
    assert len(NAMES) == 19
    assert parsed("") == DEFAULTS
    assert {one.name: one.default for one in fields(Flags)} == DEFAULTS


def test_the_settings_without_further_flags() -> None:
    monitor, model = meant(f"{REQUIRED} --general_host http://127.0.0.1")
    source, server = model.source, model.server
    assert isinstance(source, GeneralSource)
    assert (source.host, source.path) == ("http://127.0.0.1", "/")
    assert (source.model, source.donefile) == ("m.tar", "done")
    assert isinstance(server, PaddleServing)
    assert (server.folder, server.timestamp_file) == ("local", "fluid_time_file")
    assert monitor.state == "local/_serving_monitor_tmp/.hps"
    assert monitor.listen == ""
    assert list(monitor.models) == ["m"]
    assert (model.interval, model.unpacked, model.verification) == (10, None, "offered")


def test_each_flag_of_the_local_side_has_its_effect() -> None:
    more = "--local_timestamp_file stamp --local_tmp_path tmp --interval 7 --unpacked_filename top"
    monitor, model = meant(f"{REQUIRED} --general_host http://127.0.0.1 {more}")
    assert isinstance(model.server, PaddleServing)
    assert model.server.timestamp_file == "stamp"
    assert monitor.state == "local/tmp/.hps"
    assert (model.interval, model.unpacked) == (7, "top")


@pytest.mark.parametrize(
    ("path", "name", "tmp", "expected"),
    [
        (".", "m", "t", (".", "m", "t/.hps")),
        ("local/", "m/", "t/", ("local", "m", "local/t/.hps")),
        ("local", "a/b/m", "t/u", ("local/a/b", "m", "local/t/u/.hps")),
        ("/srv", "m", "/var/tmp", ("/srv", "m", "/var/tmp/.hps")),
        ("/srv", "/elsewhere/m", "t", ("/elsewhere", "m", "/srv/t/.hps")),
        ("/srv/m", ".", "../t", ("/srv", "m", "/srv/m/../t/.hps")),
    ],
)
def test_local_names_may_be_paths_as_they_were(
    path: str, name: str, tmp: str, expected: tuple[str, str, str]
) -> None:
    """The old monitor joins them (os.path.join) and asks no more."""
    words = f"{REQUIRED} --general_host http://127.0.0.1 --local_path {path}"
    monitor, model = meant(f"{words} --local_model_name {name} --local_tmp_path {tmp}")
    assert isinstance(model.server, PaddleServing)
    assert (model.server.folder, *monitor.models, monitor.state) == expected


def test_ftp() -> None:
    words = f"{REQUIRED} --type ftp --ftp_host h"
    _, model = meant(words)
    assert isinstance(model.source, FtpSource)
    assert (model.source.port, model.source.user, model.source.password) == (21, "", None)
    flags = Flags(**parsed(f"{words} --ftp_port 2121 --ftp_username u --ftp_password p"))
    monitor, secrets = settings(flags)
    source = monitor.models["m"].source
    assert isinstance(source, FtpSource)
    assert (source.host, source.port, source.user, source.tls) == ("h", 2121, "u", "none")
    assert source.password is not None
    assert secrets == {source.password.variable: "p"}


@pytest.mark.parametrize(("kind", "source_type"), [("hdfs", HdfsSource), ("afs", AfsSource)])
def test_hdfs_and_afs(kind: str, source_type: type[HdfsSource | AfsSource]) -> None:
    words = f"{REQUIRED} --type {kind} --hadoop_bin /h/hadoop"
    _, model = meant(words)
    assert isinstance(model.source, source_type)
    assert (model.source.bin, model.source.fs_name, model.source.ugi) == ("/h/hadoop", "", None)
    flags = Flags(**parsed(f"{words} --fs_name hdfs://h:1 --fs_ugi u,p"))
    monitor, secrets = settings(flags)
    source = monitor.models["m"].source
    assert isinstance(source, source_type)
    assert source.fs_name == "hdfs://h:1"
    assert source.ugi is not None
    assert secrets == {source.ugi.variable: "u,p"}
    assert "u,p" not in f"{flags!r} {monitor!r}"


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("--remote_path /", "--remote_model_name, --remote_donefile_name, --local_path"),
        (REQUIRED, "--general_host"),
        (f"{REQUIRED} --type ftp", "--ftp_host"),
        (f"{REQUIRED} --type hdfs", "--hadoop_bin"),
        (f"{REQUIRED} --type afs", "--hadoop_bin"),
        (f"{REQUIRED} --type s3", "--type"),
        (f"{REQUIRED} --general_host h --interval -1", "--interval"),
        (f"{REQUIRED} --general_host h --local_model_name ..", "--local_model_name"),
        (f"{REQUIRED} --general_host h --local_model_name 模型", "--local_model_name"),
        (f"{REQUIRED} --general_host h --local_tmp_path m", "--local_tmp_path"),
        (f"{REQUIRED} --general_host h --local_timestamp_file a/b", "--local_timestamp_file"),
    ],
)
def test_what_is_missing_or_cannot_be_is_named(words: str, flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        meant(words)


class Serving:
    """The folder of the document: the model that the server was started with, and its server."""

    def __init__(self, folder: Path) -> None:
        self.live = folder / "uci_housing_model"
        write(self.live, {"__model__": b"initial", "fluid_time_file": b""})
        self.reloader = Reloader(self.live)
        self.reloader.look()

    def loads(self, files: dict[str, bytes]) -> bool:
        """Whether the server, which looks now, has loaded just these files."""
        self.reloader.look()
        return self.reloader.loaded == files


def packed(folder: Path, version: int) -> bytes:
    pack(folder / "uci_housing.tar.gz", model(version), top="uci_housing_model")
    return (folder / "uci_housing.tar.gz").read_bytes()


def document(monitor: Made, program: Path, *more: str, **environment: str) -> DropIn:
    """The command of the document, with a hadoop program that is there; `.` is `local`."""
    words = shlex.split(DOCUMENT.replace("/hadoop-3.1.2/bin/hadoop", str(program)))
    words[words.index("--local_path=.")] = "--local_path=local"
    return monitor(*words, *more, **environment)


def put(hdfs: Hdfs, data: bytes, donefile: bytes) -> None:
    """As the document's publisher: the model is removed and put, then the donefile."""
    client = hdfs.client()
    for name, content in (("uci_housing.tar.gz", data), ("donefile", donefile)):
        client.delete(f"/{name}")
        client.write(f"/{name}", data=content)


@pytest.mark.network
@pytest.mark.slow
def test_the_command_of_the_document_on_a_real_hdfs(
    hdfs: Hdfs, drop_in: Made, tmp_path: Path
) -> None:
    serving = Serving(tmp_path / "local")
    put(hdfs, packed(tmp_path, 1), b"")
    monitor = document(drop_in, hdfs.launcher())
    monitor.until(lambda: serving.loads(model(1)))
    put(hdfs, packed(tmp_path, 2), b"")  # mostly in the same minute, and -ls tells minutes
    monitor.until(lambda: serving.loads(model(2)))
    assert serving.reloader.loads == 3
    assert serving.live.is_dir()
    assert not serving.live.is_symlink()
    assert (tmp_path / "local" / "_tmp" / ".hps" / "uci_housing_model" / "journal").is_dir()
    assert monitor.ended() == 0


@pytest.mark.network
@pytest.mark.slow
def test_no_process_shows_the_secret_while_a_real_client_uses_it(
    hdfs: Hdfs, drop_in: Made, tmp_path: Path
) -> None:
    """And so `afs` works: with a client that knows no cluster, by `fs_name` and `fs_ugi`."""
    serving = Serving(tmp_path / "local")
    put(hdfs, packed(tmp_path, 3), b"afs")
    program = hdfs.launcher(knows_cluster=False)
    words = ["--type", "afs", "--fs_name", hdfs.file_system]
    monitor = document(drop_in, program, *words, HPS_MONITOR_FS_UGI="me,geheim-3141")
    seen: set[bytes] = set()

    def loaded() -> bool:
        for child in children(monitor.pid):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{child}/cmdline").read_bytes()
                assert b"geheim-3141" not in line
                seen.update(line.split(b"\0"))
        return serving.loads(model(3))

    monitor.until(loaded)
    assert {b"org.apache.hadoop.fs.FsShell", b"-conf", b"-stat"} <= seen
    assert "geheim-3141" not in monitor.log()
    assert monitor.ended() == 0


@pytest.mark.network
@pytest.mark.parametrize("unpacked", [True, False])
def test_general_from_nginx(
    request: pytest.FixtureRequest, drop_in: Made, tmp_path: Path, unpacked: bool
) -> None:
    program = find_nginx(request.config.cache.mkdir("hps-nginx"))
    (tmp_path / "server").mkdir()
    with Nginx.running(tmp_path / "server", program, "loader", "secret") as nginx:
        pack(nginx.folder / "m.tar.gz", model(1))
        write(nginx.folder / "m", model(1))
        (nginx.folder / "donefile").touch()
        words = ["--remote_model_name", "m.tar.gz" if unpacked else "m", "--remote_path", "/"]
        more = ["--unpacked_filename", "m"] if unpacked else []
        monitor = drop_in(
            "--general_host", nginx.url, "--remote_donefile_name", "donefile", *words, *more
        )
        served = {**model(1)}
        if not unpacked:  # nginx lists no names that begin with a dot
            del served[".dot"]
        assert monitor.until_live(1) == served
