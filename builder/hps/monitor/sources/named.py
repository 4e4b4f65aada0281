"""The places that settings of the kinds `ftp`, `hdfs` and `afs` mean."""

from collections.abc import Mapping
from pathlib import Path

from hps.config import monitor as settings
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.general import secret_of
from hps.monitor.sources.hadoop import HadoopPlace
from hps.monitor.sources.webhdfs import WebHdfsPlace


def ftp_place(
    source: settings.FtpSource, *, packed: bool, environment: Mapping[str, str]
) -> FtpPlace:
    """Where settings of the kind `ftp` lead."""
    return FtpPlace(
        host=source.host,
        port=source.port,
        folder=source.path,
        model=source.model,
        donefile=source.donefile,
        packed=packed,
        tls=source.tls,
        user=source.user,
        password=None if source.password is None else secret_of(source.password, environment),
        authority=None if source.ca is None else Path(source.ca),
    )


def hdfs_place(
    source: settings.HdfsSource, *, packed: bool, environment: Mapping[str, str]
) -> WebHdfsPlace | HadoopPlace:
    """Where settings of the kind `hdfs` lead: to WebHDFS with `url`, else to the program `bin`."""
    if not source.url:
        return _hadoop(source, "hdfs", packed=packed, environment=environment)
    return WebHdfsPlace(
        urls=tuple(str(url) for url in source.url),
        folder=source.path,
        model=source.model,
        donefile=source.donefile,
        packed=packed,
        user=source.user,
        token=None if source.token is None else secret_of(source.token, environment),
        kerberos=source.kerberos,
        authority=None if source.ca is None else Path(source.ca),
    )


def afs_place(
    source: settings.AfsSource, *, packed: bool, environment: Mapping[str, str]
) -> HadoopPlace:
    """Where settings of the kind `afs` lead."""
    return _hadoop(source, "afs", packed=packed, environment=environment)


def _hadoop(
    source: settings.HdfsSource | settings.AfsSource,
    kind: str,
    *,
    packed: bool,
    environment: Mapping[str, str],
) -> HadoopPlace:
    return HadoopPlace(
        program=source.bin or "hadoop",
        folder=source.path,
        model=source.model,
        donefile=source.donefile,
        packed=packed,
        kind=kind,
        fs_name=source.fs_name,
        ugi=None if source.ugi is None else secret_of(source.ugi, environment),
    )
