"""The places that settings of the kinds `ftp`, `hdfs` and `afs` mean."""

from typing import Any

import pytest

from hps.config.monitor import AfsSource, FtpSource, HdfsSource
from hps.monitor.sources.hadoop import HadoopPlace
from hps.monitor.sources.named import afs_place, ftp_place, hdfs_place
from hps.monitor.sources.webhdfs import WebHdfsPlace

ENVIRONMENT = {"SECRET": "geheim"}
SECRET = {"variable": "SECRET"}
REMOTE = {"path": "/models", "model": "m.tar", "donefile": "done"}


def test_ftp() -> None:
    source = FtpSource.model_validate(
        {"type": "ftp", "host": "h", "port": 2121, "user": "me", "password": SECRET,
         "tls": "explicit", "ca": "/ca.pem", **REMOTE}
    )  # fmt: skip
    place = ftp_place(source, packed=True, environment=ENVIRONMENT)
    assert (place.host, place.port, place.tls, place.user) == ("h", 2121, "explicit", "me")
    assert (place.folder, place.model, place.donefile) == ("/models", "m.tar", "done")
    assert place.password is not None
    assert place.password.read() == "geheim"
    assert "geheim" not in repr(place)


@pytest.mark.parametrize("more", [{}, {"token": SECRET}, {"kerberos": True}])
def test_webhdfs(more: dict[str, Any]) -> None:
    source = HdfsSource.model_validate(
        {"type": "hdfs", "url": ["http://a:9870", "http://b:9870"], "user": "me", **REMOTE, **more}
    )
    place = hdfs_place(source, packed=False, environment=ENVIRONMENT)
    assert isinstance(place, WebHdfsPlace)
    assert place.urls == ("http://a:9870", "http://b:9870")
    assert (place.user, place.kerberos, place.packed) == ("me", "kerberos" in more, False)
    assert (place.token is not None) is ("token" in more)
    assert "geheim" not in repr(place)


def test_the_hadoop_program() -> None:
    settings = {"bin": "/opt/hadoop/bin/hadoop", "fs-name": "afs://h", "ugi": SECRET, **REMOTE}
    hdfs = hdfs_place(
        HdfsSource.model_validate({"type": "hdfs", **settings}),
        packed=True,
        environment=ENVIRONMENT,
    )
    afs = afs_place(
        AfsSource.model_validate({"type": "afs", **settings}), packed=True, environment=ENVIRONMENT
    )
    assert isinstance(hdfs, HadoopPlace)
    for place, kind in ((hdfs, "hdfs"), (afs, "afs")):
        assert (place.program, place.kind, place.fs_name) == (settings["bin"], kind, "afs://h")
        assert place.ugi is not None
        assert place.ugi.read() == "geheim"
        assert "geheim" not in repr(place)
