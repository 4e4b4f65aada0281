"""What people write behind `--to`."""

from pathlib import Path
from typing import Any

import pytest

from hps.errors import UsageError
from hps.publish.folders.ftp import FtpFolder
from hps.publish.folders.hadoop import HadoopFolder
from hps.publish.folders.http import HttpFolder
from hps.publish.folders.local import LocalFolder
from hps.publish.folders.webhdfs import WebHdfsFolder
from hps.publish.open import Access, open_destination, open_folder
from hps.publish.publish import Names
from hps.publish.registry import RegistryDestination
from tests.publish.releases import made


@pytest.mark.parametrize(
    ("to", "kind", "name"),
    [
        ("/srv/m", LocalFolder, "/srv/m"),
        ("file:///srv/a%20b", LocalFolder, "/srv/a b"),
        ("http://h:81/m", HttpFolder, "http://h:81/m"),
        ("https://h/m/", HttpFolder, "https://h/m/"),
        ("ftp://h/m", FtpFolder, "ftp://h:21/m"),
        ("FTP://me@h:2121/m", FtpFolder, "ftp://h:2121/m"),
        ("ftpes://h/m", FtpFolder, "ftp://h:21/m"),
        ("ftps://[::1]/m", FtpFolder, "ftps://[::1]:990/m"),
        ("webhdfs://a:1,b:2/m", WebHdfsFolder, "http://a:1/m"),
        ("swebhdfs://a:1/m", WebHdfsFolder, "https://a:1/m"),
        ("hdfs://n:9000/m", HadoopFolder, "hdfs://n:9000/m"),
        ("afs://n:9902/m/", HadoopFolder, "afs://n:9902/m"),
    ],
)
def test_folders(to: str, kind: Any, name: str) -> None:
    folder = open_folder(to, Access(environment={}))
    assert isinstance(folder, kind)
    assert folder.name == name
    folder.close()


def test_a_folder_below_this_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_folder("there", Access()).name == str(tmp_path / "there")


def test_a_repository_has_the_channel_for_a_tag(tmp_path: Path) -> None:
    release, names = made(tmp_path, 1, channel="canary"), Names(("ocr.tar.gz",))
    for to, name in (
        ("oci://127.0.0.1:1/models/ocr", "127.0.0.1:1/models/ocr:canary"),
        ("oci://127.0.0.1:1/models/ocr:live", "127.0.0.1:1/models/ocr:live"),
    ):
        destination = open_destination(to, Access(environment={}), release, names)
        assert isinstance(destination, RegistryDestination)
        assert destination.name == name
        destination.close()
    with pytest.raises(UsageError, match="digest"):
        open_destination(f"oci://h:1/m@sha256:{'0' * 64}", Access(), release, names)


def test_secrets_are_where_they_are_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_text("in a file\n")
    access = Access(environment={"A": "in a variable", "EMPTY": ""})
    for where, variable, found in (
        (None, "A", "in a variable"),
        (file, "A", "in a file"),
        (file, "B", "in a file"),
    ):
        secret = access.secret(where, variable)
        assert secret is not None
        assert secret.read() == found
    assert access.secret(None, "B") is None
    assert access.secret(None, "EMPTY") is None
    assert "variable" not in repr(access)
