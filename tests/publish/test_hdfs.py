"""Publishing to a real HDFS: by WebHDFS, and by the hadoop program."""

from pathlib import Path

import pytest

from hps.monitor.source import Patience
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource
from hps.publish.folders.hadoop import HadoopFolder
from hps.publish.folders.webhdfs import WebHdfsFolder
from hps.publish.in_folder import FolderDestination
from tests.monitor.sources.hdfs_server import Hdfs
from tests.publish.contract import DestinationContract, Shop, content
from tests.publish.releases import made

pytestmark = [pytest.mark.network, pytest.mark.slow]


def listed(hdfs: Hdfs, folder: str) -> set[str]:
    return set(hdfs.client().list(folder))


def new_folder(hdfs: Hdfs) -> str:
    folder = f"/published-{next(hdfs.numbers)}"
    hdfs.client().makedirs(folder)
    return folder


def webhdfs_shop(hdfs: Hdfs, *, urls: tuple[str, ...] = ()) -> Shop:
    folder = new_folder(hdfs)
    place = WebHdfsPlace(
        urls=urls or (hdfs.url,), folder=folder, model="ocr.tar.gz", donefile="done", user="loader"
    )
    return Shop(
        lambda _, names: FolderDestination(WebHdfsFolder(place, Patience()), names.donefile),
        lambda: WebHdfsSource(place),
        lambda: listed(hdfs, folder),
    )


def hadoop_shop(hdfs: Hdfs, jars: list[Path]) -> Shop:
    """By a program that knows neither the cluster nor its user."""
    folder = new_folder(hdfs)
    place = HadoopPlace(
        program=str(hdfs.launcher(knows_cluster=False, jars=jars)),
        folder=folder,
        model="ocr.tar.gz",
        donefile="done",
        fs_name=hdfs.file_system,
        ugi=Secret(variable="UGI", environment={"UGI": "loader,ge<he>im"}),
    )
    return Shop(
        lambda _, names: FolderDestination(HadoopFolder(place, Patience()), names.donefile),
        lambda: HadoopSource(place),
        lambda: listed(hdfs, folder),
        gapless=False,
    )


class TestWebHdfs(DestinationContract):
    """A rename replaces (`renameoptions=OVERWRITE`)."""

    @pytest.fixture
    def shop(self, hdfs: Hdfs) -> Shop:
        return webhdfs_shop(hdfs)


@pytest.mark.parametrize("hadoop", [2, 3])
def test_by_the_hadoop_program(
    hdfs: Hdfs, hadoop: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The heart of the contract: each step starts a JVM, so all of it would take minutes."""
    jars = request.getfixturevalue("hadoop_3") if hadoop == 3 else hdfs.jars
    shop = hadoop_shop(hdfs, jars)
    for number in (1, 2):
        release = made(tmp_path, number)
        shop.publish(release)
        assert shop.files() == {"ocr.tar.gz", "ocr.tar.gz.sig", "done"}
    assert shop.seen(tmp_path / "pull")[0] == content(release)


def test_of_two_name_nodes_the_one_that_answers_is_asked(hdfs: Hdfs, tmp_path: Path) -> None:
    shop = webhdfs_shop(hdfs, urls=("http://127.0.0.1:1", hdfs.url))
    release = made(tmp_path, 1)
    shop.publish(release)
    assert shop.seen(tmp_path / "pull")[0] == content(release)
