"""Each kind of settings is served by its own adapter, with all that was said."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from hps.config.monitor import Source as AnySettings
from hps.errors import ConfigError
from hps.monitor.source import Source
from hps.monitor.sources.fsspec import FsspecPlace, FsspecSource
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.ftp import FtpSource as FtpAdapter
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.monitor.sources.local import LocalSource
from hps.monitor.sources.oci import OciPlace, OciSource
from hps.monitor.sources.open import Settings, find_place, is_packed, open_source
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource

REMOTE = {"path": "/models", "model": "m", "donefile": "d"}
SECRET = {"variable": "SECRET"}
ENVIRONMENT = {"SECRET": "geheim"}
DIGEST = f"sha256:{'0' * 64}"


def settings(kind: str, **more: Any) -> Settings:
    common = {} if kind == "oci" else REMOTE
    found: Any = TypeAdapter(AnySettings).validate_python({"type": kind, **common, **more})
    return found  # type: ignore[no-any-return] # of one of the kinds below


@pytest.mark.parametrize(
    ("given", "adapter", "name"),
    [
        (settings("general", host="http://h"), HttpSource, "http://h/models/m"),
        (settings("general", host="/srv"), LocalSource, "/srv/models/m"),
        (settings("general", host="ftp://h"), FtpAdapter, "ftp://h/models/m"),
        (settings("ftp", host="h", port=2121), FtpAdapter, "ftp://h:2121/models/m"),
        (settings("hdfs", url=["http://h:50070"]), WebHdfsSource, "http://h:50070/models/m"),
        (settings("hdfs", bin="hadoop", **{"fs-name": "hdfs://h:1"}), HadoopSource, "/models/m"),
        (settings("afs", bin="hadoop", **{"fs-name": "afs://h:1"}), HadoopSource, "/models/m"),
        (settings("oci", reference="h:5000/models/m:live"), OciSource, "h:5000/models/m:live"),
        (settings("fsspec", url="s3://bucket"), FsspecSource, "s3://bucket/models/m"),
    ],
)
def test_each_kind_is_opened_by_its_own_adapter(
    given: Settings, adapter: type[Source], name: str
) -> None:
    source = open_source(given, packed=True, environment=ENVIRONMENT)
    try:
        assert type(source) is adapter
        assert source.name.endswith(name)
        assert "geheim" not in source.name
    finally:
        source.close()


def test_nothing_that_was_said_is_lost() -> None:
    def find(given: Settings, *, packed: bool = False) -> Any:
        return find_place(given, packed=packed, environment=ENVIRONMENT)

    ftp = find(settings("ftp", host="h", user="u", password=SECRET, tls="explicit", ca="/ca"))
    assert isinstance(ftp, FtpPlace)
    assert (ftp.folder, ftp.model, ftp.donefile, ftp.packed) == ("/models", "m", "d", False)
    assert (ftp.user, ftp.tls, ftp.authority) == ("u", "explicit", Path("/ca"))
    assert ftp.password is not None
    assert ftp.password.read() == "geheim"
    web = find(settings("hdfs", url=["http://a", "http://b"], user="u", token=SECRET, ca="/ca"))
    assert isinstance(web, WebHdfsPlace)
    assert (web.urls, web.user, web.authority) == (("http://a", "http://b"), "u", Path("/ca"))
    assert web.token is not None
    assert web.token.read() == "geheim"
    hadoop = find(settings("afs", bin="/b", ugi=SECRET, **{"fs-name": "afs://h"}), packed=True)
    assert isinstance(hadoop, HadoopPlace)
    assert (hadoop.program, hadoop.kind, hadoop.fs_name) == ("/b", "afs", "afs://h")
    assert hadoop.packed
    assert hadoop.ugi is not None
    assert hadoop.ugi.read() == "geheim"
    http = find(settings("general", host="https://h", ca="/ca", token=SECRET))
    assert isinstance(http, HttpPlace)
    assert http.authority == Path("/ca")
    oci = find(settings("oci", reference="h:1/m@" + DIGEST, ca="/ca", **{"plain-http": True}))
    assert isinstance(oci, OciPlace)
    assert (str(oci.reference), oci.authority, oci.plain_http) == (
        f"h:1/m@{DIGEST}",
        Path("/ca"),
        True,
    )
    assert oci.environment is ENVIRONMENT
    other = find(settings("fsspec", url="s3://b", options={"anon": "true"}))
    assert isinstance(other, FsspecPlace)
    assert (other.url, other.folder, other.model, other.donefile) == ("s3://b", "/models", "m", "d")
    assert (other.packed, other.options) == (False, {"anon": "true"})
    assert "geheim" not in repr((ftp, web, hadoop, http, oci))


def test_an_artifact_tells_itself_whether_it_is_packed() -> None:
    oci = settings("oci", reference="h:5000/models/m:live")
    assert not is_packed(oci, None)
    assert is_packed(settings("ftp", host="h", model="m.tar"), None)
    assert not is_packed(settings("ftp", host="h", model="m"), None)


@pytest.mark.parametrize("reference", ["h:5000/m", "m:live", "https://h/m:live", "h:5000/M:live"])
def test_a_reference_that_names_no_artifact_is_told(reference: str) -> None:
    with pytest.raises(ConfigError):
        find_place(settings("oci", reference=reference), packed=False, environment={})
