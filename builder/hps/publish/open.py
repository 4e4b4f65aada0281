"""What people write behind `--to`, as a destination."""

import contextlib
import netrc
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from hps.errors import FetchError, UsageError
from hps.monitor.source import Patience
from hps.monitor.sources.credentials import Authorization, Basic, Bearer, Secret
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.hadoop import HadoopPlace
from hps.monitor.sources.webhdfs import WebHdfsPlace
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.publish.destination import Destination, Folder
from hps.publish.folders.ftp import FtpFolder
from hps.publish.folders.hadoop import HadoopFolder
from hps.publish.folders.http import HttpAddress, HttpFolder
from hps.publish.folders.local import LocalFolder
from hps.publish.folders.webhdfs import WebHdfsFolder
from hps.publish.in_folder import FolderDestination
from hps.publish.prepare import Release
from hps.publish.publish import Names
from hps.publish.registry import RegistryDestination
from hps.store.foreign_text import printable
from hps.store.local_file import to_path

PASSWORD = "HPS_PUBLISH_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN = "HPS_PUBLISH_TOKEN"  # noqa: S105 - likewise
UGI = "HPS_PUBLISH_UGI"

FORMS = (
    "DIR or file:///DIR",
    "http://HOST/DIR, https://HOST/DIR (PUT)",
    "ftp://[USER@]HOST/DIR, ftpes:// (TLS, explicit), ftps:// (implicit)",
    "webhdfs://HOST:PORT[,HOST:PORT]/DIR, swebhdfs:// (TLS)",
    "hdfs://HOST:PORT/DIR, afs://HOST:PORT/DIR (the hadoop program)",
    "oci://HOST/REPOSITORY[:TAG]",
)

_TLS: Mapping[str, Literal["none", "explicit", "implicit"]] = {
    "ftp": "none",
    "ftpes": "explicit",
    "ftps": "implicit",
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to be let in; secrets are in files and variables, never here.

    Args:
        user: the name.
        password_file: of the password; else HPS_PUBLISH_PASSWORD.
        token_file: of a bearer token or delegation token; else HPS_PUBLISH_TOKEN.
        ugi_file: of hadoop.job.ugi; else HPS_PUBLISH_UGI.
        kerberos: log in to WebHDFS by the ticket of this process.
        authority: PEM file of certificates that are trusted too.
        hadoop: the hadoop program.
        plain_http: speak HTTP with a registry.
        in_place: see `FolderDestination`.
        environment: where the variables are.
    """

    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ugi_file: Path | None = None
    kerberos: bool = False
    authority: Path | None = None
    hadoop: str = "hadoop"
    plain_http: bool | None = None
    in_place: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def secret(self, file: Path | None, variable: str) -> Secret | None:
        """The secret in a file, else in a variable that is set."""
        if file is not None:
            return Secret(file=file)
        if self.environment.get(variable):
            return Secret(variable=variable, environment=self.environment)
        return None


# A release has gigabytes, and lines are slow: what is bounded are the pauses.
_PATIENCE = Patience(total=_DAY)


def open_destination(
    to: str, access: Access, release: Release, names: Names, *, patience: Patience = _PATIENCE
) -> Destination:
    """Open a destination; nothing is asked of it yet.

    Args:
        to: one of FORMS.
        access: how to be let in.
        release: what is published; a registry is told what it is.
        names: of its files there.
        patience: with networks.

    Raises:
        UsageError: it is none of the forms, or holds a secret.
    """
    if to.startswith("oci://"):
        reference = Reference.parse(to.removeprefix("oci://"))
        if reference.digest is not None:
            raise UsageError("a release cannot be published under a digest", got=to)
        channel = "" if release.signed is None else release.signed.channel
        client = RegistryClient(reference, authority=access.authority, plain_http=access.plain_http)
        return RegistryDestination(client, reference.tag or channel or "latest", release, names)
    folder = open_folder(to, access, patience)
    return FolderDestination(folder, names.donefile, in_place=access.in_place)


def open_folder(to: str, access: Access, patience: Patience = _PATIENCE) -> Folder:
    """Open a folder of a store; raises as `open_destination`."""
    if not _SCHEME.match(to):
        return LocalFolder(Path(to).absolute())
    parts = _split(to)
    scheme = parts.scheme.lower()
    path = unquote(parts.path)
    if scheme == "file":
        try:
            return LocalFolder(to_path(to))
        except FetchError as error:
            raise _wrong(to) from error
    if not parts.netloc:
        raise _wrong(to)
    if scheme in {"http", "https"}:
        place = HttpAddress(
            base=to,
            authorization=_authorization(access),
            authority=access.authority,
            moves=not access.in_place,
        )
        return HttpFolder(place, patience)
    if scheme in _TLS:
        return FtpFolder(_ftp(parts, access), patience)
    if scheme in {"webhdfs", "swebhdfs"}:
        return WebHdfsFolder(_webhdfs(parts, access), patience)
    if scheme in {"hdfs", "afs"}:
        return HadoopFolder(_hadoop(parts, path, access), patience)
    raise _wrong(to)


def _split(to: str) -> SplitResult:
    try:
        parts = urlsplit(to)
    except ValueError as error:
        raise _wrong(to) from error
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or (user and parts.scheme.lower() not in _TLS):
        raise UsageError(
            "an address holds no secret and no user, because everybody on this machine sees it",
            hint=f"--user NAME, and --password-file FILE or {PASSWORD}",
        )
    if parts.query or parts.fragment:
        raise _wrong(to)
    return parts


def _authorization(access: Access) -> Authorization | None:
    token = access.secret(access.token_file, TOKEN)
    if token is not None:
        return Bearer(token)
    password = access.secret(access.password_file, PASSWORD)
    return None if password is None else Basic(access.user, password)


def _ftp(parts: SplitResult, access: Access) -> FtpPlace:
    tls = _TLS[parts.scheme.lower()]
    host, port = _host(parts)
    user = access.user or unquote(parts.username or "")
    password = access.secret(access.password_file, PASSWORD)
    if password is None:
        user, password = _from_netrc(host, user)
    return FtpPlace(
        host=host,
        port=port or (990 if tls == "implicit" else 21),
        folder=unquote(parts.path) or "/",
        model="",
        donefile="",
        tls=tls,
        user=user,
        password=password,
        authority=access.authority,
    )


def _from_netrc(host: str, user: str) -> tuple[str, Secret | None]:
    """User and password of a host in the user's netrc file, as `curl --netrc` takes them."""
    with contextlib.suppress(OSError, netrc.NetrcParseError):
        found = netrc.netrc(os.environ.get("NETRC") or None).authenticators(host)
        if found is not None and user in {"", found[0]}:
            return found[0], Secret(variable="netrc", environment={"netrc": found[2] or ""})
    return user, None


def _webhdfs(parts: SplitResult, access: Access) -> WebHdfsPlace:
    scheme = "https" if parts.scheme.lower() == "swebhdfs" else "http"
    return WebHdfsPlace(
        urls=tuple(f"{scheme}://{host}" for host in parts.netloc.split(",")),
        folder=unquote(parts.path),
        model="",
        donefile="",
        user=access.user or None,
        token=access.secret(access.token_file, TOKEN),
        kerberos=access.kerberos,
        authority=access.authority,
    )


def _hadoop(parts: SplitResult, path: str, access: Access) -> HadoopPlace:
    return HadoopPlace(
        program=access.hadoop,
        folder=path.rstrip("/") or "/",
        model="",
        donefile="",
        kind=parts.scheme.lower(),
        fs_name=f"{parts.scheme}://{parts.netloc}",
        ugi=access.secret(access.ugi_file, UGI),
    )


def _host(parts: SplitResult) -> tuple[str, int | None]:
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("the address has a port that is none") from error
    if not host:
        raise UsageError("the address names no host")
    return host, port


def _wrong(to: str) -> UsageError:
    shown = printable(re.sub(r"[?#].*|[^/]*@", "…", to, flags=re.DOTALL), 200)
    return UsageError(
        f"{shown!r} is nothing that hps can publish to",
        details=tuple(FORMS),
        hint="--to takes one of these",
    )
