"""The places that settings of the kinds `ftp`, `hdfs`, `afs`, `oci` and `fsspec` mean."""

from collections.abc import Mapping
from pathlib import Path

from hps.config import monitor as settings
from hps.errors import ConfigError, UsageError
from hps.monitor.sources.credentials import Secret
from hps.monitor.sources.fsspec import FsspecPlace
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.hadoop import HadoopPlace
from hps.monitor.sources.oci import OciPlace
from hps.monitor.sources.webhdfs import WebHdfsPlace
from hps.oci.reference import Reference


def secret_of(named: settings.Secret, environment: Mapping[str, str]) -> Secret:
    """The secret that settings name."""
    return Secret(
        file=None if named.file is None else Path(named.file),
        variable=named.variable,
        environment=environment,
    )


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


def oci_place(source: settings.OciSource, *, environment: Mapping[str, str]) -> OciPlace:
    """Where settings of the kind `oci` lead.

    Raises:
        ConfigError: the reference names no artifact.
    """
    try:
        reference = Reference.parse(source.reference)
        _ = reference.wanted
    except UsageError as error:
        raise ConfigError(error.message, expected=error.expected, hint=error.hint) from error
    return OciPlace(
        reference=reference,
        environment=environment,
        authority=None if source.ca is None else Path(source.ca),
        plain_http=source.plain_http,
    )


def fsspec_place(source: settings.FsspecSource, *, packed: bool) -> FsspecPlace:
    """Where settings of the kind `fsspec` lead."""
    return FsspecPlace(
        url=source.url,
        folder=source.path,
        model=source.model,
        donefile=source.donefile,
        packed=packed,
        options=source.options,
    )


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
