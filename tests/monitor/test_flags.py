"""The 19 flags of Paddle Serving's monitor: defaults, what each type needs, what cannot be."""

from dataclasses import fields
from typing import Any

import pytest

from hps.config.monitor import AfsSource, FtpSource, GeneralSource, HdfsSource, PaddleServing
from hps.errors import UsageError
from hps.monitor.flags import Flags, settings

NEEDED: dict[str, Any] = {
    "remote_path": "/models",
    "remote_model_name": "ocr.tar.gz",
    "remote_donefile_name": "donefile",
    "local_path": "/srv",
    "local_model_name": "ocr",
}
PLACES: dict[str, dict[str, Any]] = {
    "general": {"general_host": "http://127.0.0.1:1"},
    "ftp": {"ftp_host": "127.0.0.1"},
    "hdfs": {"hadoop_bin": "/opt/hadoop/bin/hadoop"},
    "afs": {"hadoop_bin": "/opt/hadoop/bin/hadoop"},
}


def flags(type_: str = "general", **given: Any) -> Flags:
    return Flags(type=type_, **{**NEEDED, **PLACES.get(type_, {}), **given})


def refused(**given: Any) -> str:
    with pytest.raises(UsageError) as caught:
        settings(flags(**given))
    return caught.value.message


def test_there_are_those_of_paddle_serving_with_its_defaults() -> None:
    defaults = {one.name: getattr(Flags(), one.name) for one in fields(Flags)}
    assert len(defaults) == 19
    assert {name: value for name, value in defaults.items() if value} == {
        "type": "general",
        "local_timestamp_file": "fluid_time_file",
        "local_tmp_path": "_serving_monitor_tmp",
        "interval": 10,
    }


@pytest.mark.parametrize(
    ("type_", "kind"),
    [("general", GeneralSource), ("ftp", FtpSource), ("hdfs", HdfsSource), ("afs", AfsSource)],
)
def test_each_type_is_a_source(type_: str, kind: type) -> None:
    monitor, secrets = settings(flags(type_))
    (name, model) = next(iter(monitor.models.items()))
    assert (name, type(model.source)) == ("ocr", kind)
    assert isinstance(model.server, PaddleServing)
    assert (model.server.folder, model.server.timestamp_file) == ("/srv", "fluid_time_file")
    assert (model.verification, model.interval, monitor.listen) == ("offered", 10.0, "")
    assert monitor.state == "/srv/_serving_monitor_tmp/.hps"
    assert secrets == {}


def test_secrets_are_handed_on_beside_the_settings() -> None:
    for given in (flags("ftp", ftp_password="s3cr3t"), flags("hdfs", fs_ugi="me,s3cr3t")):
        monitor, secrets = settings(given)
        assert "s3cr3t" not in repr(monitor)
        assert "s3cr3t" not in repr(given)
        ((name, value),) = secrets.items()
        assert value.endswith("s3cr3t")
        assert name in repr(monitor)


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(name: str) -> None:
    assert refused(**{name: None}) == f"--{name} must be given"


@pytest.mark.parametrize(("type_", "flag"), [(one, *PLACES[one]) for one in PLACES])
def test_what_a_type_needs_is_named(type_: str, flag: str) -> None:
    assert refused(type_=type_, **{flag: None}) == f"--type {type_} needs --{flag}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"type_": "gopher"}, "--type is general, ftp, hdfs or afs"),
        ({"interval": 0}, "--interval"),
        ({"interval": float("nan")}, "--interval"),
        ({"interval": -1}, "--interval"),
        ({"local_model_name": ".."}, "--local_model_name"),
        ({"local_model_name": "a\n"}, "--local_model_name"),
        ({"local_timestamp_file": "../x"}, "--local_timestamp_file"),
        ({"local_tmp_path": "ocr"}, "must differ"),
        ({"remote_path": "/a\nb"}, "path"),
        ({"remote_model_name": "a\x00"}, "model"),
        ({"general_host": "a\x00b"}, "host"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, Any], told: str) -> None:
    assert told in refused(**given)
