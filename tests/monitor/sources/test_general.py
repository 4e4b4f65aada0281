"""Which place settings of the kind `general` mean."""

from pathlib import Path
from typing import Any

import pytest

from hps.config.monitor import GeneralSource
from hps.errors import ConfigError
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.general import Place, is_packed_name, place_of
from hps.monitor.sources.http import HttpPlace
from hps.monitor.sources.local import LocalPlace


def place(host: str, path: str = "/models", **more: Any) -> Place:
    settings = {"type": "general", "host": host, "path": path, "model": "m.tar", **more}
    source = GeneralSource.model_validate(settings)
    return place_of(source, packed=True, environment={"TOKEN": "geheim"})


@pytest.mark.parametrize(
    ("host", "path", "base"),
    [
        ("http://h", "/", "http://h"),
        ("http://h/", "/a/b/", "http://h/a/b"),
        ("https://h:8443/x", "a", "https://h:8443/x/a"),
        ("127.0.0.1:8010", "/models", "http://127.0.0.1:8010/models"),
        ("http://h/a%20b", "c d/#1", "http://h/a%20b/c%20d/%231"),
    ],
)
def test_an_address_of_http_is_joined_without_double_slashes(
    host: str, path: str, base: str
) -> None:
    found = place(host, path)
    assert isinstance(found, HttpPlace)
    assert found.base == base
    assert found.authorization is None


@pytest.mark.parametrize("host", ["/srv", "file:///srv", "file://localhost/srv"])
def test_a_folder_of_this_machine(host: str) -> None:
    expected = LocalPlace(folder=Path("/srv/models"), model="m.tar", donefile="donefile")
    assert place(host) == expected


@pytest.mark.parametrize(
    ("host", "port", "tls", "user"),
    [
        ("ftp://h", 21, "none", ""),
        ("ftp://h:2121/pub", 2121, "none", ""),
        ("ftp://me@h", 21, "none", "me"),
        ("ftps://h", 990, "implicit", ""),
    ],
)
def test_an_ftp_address_is_handed_to_its_own_adapter(
    host: str, port: int, tls: str, user: str
) -> None:
    found = place(host)
    assert isinstance(found, FtpPlace)
    assert (found.host, found.port, found.tls, found.user) == ("h", port, tls, user)
    assert found.folder == ("/pub/models" if "pub" in host else "/models")


def test_credentials_come_from_where_settings_say() -> None:
    token = place("http://h", token={"variable": "TOKEN"})
    basic = place("http://h", user="me", password={"variable": "TOKEN"})
    assert isinstance(token, HttpPlace)
    assert isinstance(basic, HttpPlace)
    assert token.authorization is not None
    assert basic.authorization is not None
    assert token.authorization.value() == "Bearer geheim"
    assert basic.authorization.value() == "Basic bWU6Z2VoZWlt"
    assert "geheim" not in repr((token, basic))


@pytest.mark.parametrize(
    "host",
    [
        "gopher://h",
        "ftp://me:geheim@h",
        "http://",
        "http://h:x",
        "file://other/srv",
        "s3://b",
        "ftp://",
        "ftp://h:x",
    ],
)
def test_what_leads_nowhere_is_refused(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place(host)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "unpacked", "packed"),
    [("m.tar", None, True), ("M.TAR.GZ", None, True), ("m.zip", None, True), ("m", None, False),
     ("m", "folder", True), ("m.tar.d", None, False), ("m.v1", None, False)],
)  # fmt: skip
def test_a_packed_model_is_told_by_its_settings_and_its_name(
    model: str, unpacked: str | None, packed: bool
) -> None:
    assert is_packed_name(model, unpacked) is packed
