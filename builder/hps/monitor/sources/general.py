"""What `type = "general"` means: HTTP, FTP as wget took it, or a folder of this machine."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from hps.config.monitor import FtpSource, GeneralSource
from hps.errors import ConfigError, FetchError
from hps.model.artifact import is_archive_name
from hps.monitor.sources.credentials import Authorization, Basic, Bearer
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.http import HttpPlace
from hps.monitor.sources.local import LocalPlace
from hps.monitor.sources.named import ftp_place, secret_of
from hps.store import url as address
from hps.store.local_file import to_path

_FTP_PORTS = {"ftp": 21, "ftps": 990}


Place = HttpPlace | LocalPlace | FtpPlace


def is_packed_name(model: str, unpacked: str | None) -> bool:
    """Whether a model is published as one file.

    Args:
        model: its name at the source.
        unpacked: the one folder in it (Paddle Serving's `--unpacked_filename`), if that is said.
    """
    return unpacked is not None or is_archive_name(model)


def place_of(source: GeneralSource, *, packed: bool, environment: Mapping[str, str]) -> Place:
    """Where settings of the kind `general` lead.

    `host` is an address, or without a scheme what wget takes for one: a host, and HTTP. What
    begins with a slash is a folder of this machine. `path` and names are plain and not encoded.

    Raises:
        ConfigError: the address holds a password, or is of a kind that nobody knows.
    """
    host = _with_scheme(source.host)
    scheme = urlsplit(host).scheme
    try:
        if scheme in _FTP_PORTS:
            return ftp_place(_ftp(source, host), packed=packed, environment=environment)
        if scheme == "file":
            folder = to_path(host) / source.path.strip("/")
            return LocalPlace(
                folder=folder, model=source.model, donefile=source.donefile, packed=packed
            )
        return HttpPlace(
            base=address.join(host, *filter(None, source.path.split("/"))),
            model=source.model,
            donefile=source.donefile,
            packed=packed,
            authorization=_authorization(source, environment),
            authority=None if source.ca is None else Path(source.ca),
        )
    except FetchError as error:
        raise ConfigError(
            error.message, expected=error.expected, hint="correct `host` of this source"
        ) from error


def _with_scheme(host: str) -> str:
    if host.startswith("/"):
        return Path(host).as_uri()
    return host if "://" in host else f"http://{host}"


def _authorization(source: GeneralSource, environment: Mapping[str, str]) -> Authorization | None:
    if source.token is not None:
        return Bearer(secret_of(source.token, environment))
    if source.password is not None:
        return Basic(source.user or "", secret_of(source.password, environment))
    return None


def _ftp(source: GeneralSource, host: str) -> FtpSource:
    """The settings of the kind `ftp` that an address of FTP stands for."""
    parts = urlsplit(host)
    shown = address.redact(host)
    if parts.password is not None:
        raise ConfigError(
            f"the address {shown} holds a password",
            hint="put it into a file or a variable and name that in `password`",
        )
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or (port is None and parts.netloc.rpartition("@")[2].count(":") == 1):
        raise ConfigError(f"the address {shown} names no host and port")
    try:
        return FtpSource(
            type="ftp",
            host=parts.hostname,
            port=port or _FTP_PORTS[parts.scheme],
            path=f"{unquote(parts.path).rstrip('/')}/{source.path.lstrip('/')}",
            model=source.model,
            donefile=source.donefile,
            tls="implicit" if parts.scheme == "ftps" else "none",
            user=source.user or unquote(parts.username or ""),
            password=source.password,
            ca=source.ca,
        )
    except ValidationError as error:
        raise ConfigError(
            f"the address {shown} names no place: {error.errors()[0]['msg']}"
        ) from error
