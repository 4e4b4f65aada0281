"""The one place that knows which settings are served by which adapter."""

from collections.abc import Mapping

from hps.config.monitor import (
    AfsSource,
    FsspecSource,
    FtpSource,
    GeneralSource,
    HdfsSource,
    OciSource,
)
from hps.config.monitor import Source as AnySettings
from hps.monitor.source import Caps, Patience, Source
from hps.monitor.sources.fsspec import FsspecPlace
from hps.monitor.sources.fsspec import FsspecSource as FsspecAdapter
from hps.monitor.sources.ftp import FtpPlace
from hps.monitor.sources.ftp import FtpSource as FtpAdapter
from hps.monitor.sources.general import is_packed_name, place_of
from hps.monitor.sources.hadoop import HadoopPlace, HadoopSource
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.monitor.sources.local import LocalPlace, LocalSource
from hps.monitor.sources.named import afs_place, fsspec_place, ftp_place, hdfs_place, oci_place
from hps.monitor.sources.oci import OciPlace
from hps.monitor.sources.oci import OciSource as OciAdapter
from hps.monitor.sources.webhdfs import WebHdfsPlace, WebHdfsSource

Settings = AnySettings
Place = HttpPlace | LocalPlace | FtpPlace | WebHdfsPlace | HadoopPlace | OciPlace | FsspecPlace


def is_packed(settings: Settings, unpacked: str | None) -> bool:
    """Whether a model is published as one file; an artifact of a registry tells that itself.

    Args:
        settings: of its source.
        unpacked: the one folder in it (Paddle Serving's `--unpacked_filename`), if that is said.
    """
    if isinstance(settings, OciSource):
        return unpacked is not None
    return is_packed_name(settings.model, unpacked)


def open_source(  # noqa: PLR0911 - one for each kind of place
    settings: Settings,
    *,
    packed: bool,
    environment: Mapping[str, str],
    patience: Patience | None = None,
    caps: Caps | None = None,
) -> Source:
    """Open the source that settings mean; nothing is asked of it yet.

    Args:
        settings: of one model.
        packed: the model is one file (see `is_packed`).
        environment: where the variables are that settings name.
        patience: with networks.
        caps: of what is listed and read.

    Raises:
        ConfigError: the settings cannot be followed.
    """
    place = find_place(settings, packed=packed, environment=environment)
    match place:
        case HttpPlace():
            return HttpSource(place, patience, caps)
        case LocalPlace():
            return LocalSource(place, caps)
        case FtpPlace():
            return FtpAdapter(place, patience, caps)
        case WebHdfsPlace():
            return WebHdfsSource(place, patience, caps)
        case HadoopPlace():
            return HadoopSource(place, patience, caps)
        case OciPlace():
            return OciAdapter(place, patience, caps)
        case FsspecPlace():
            return FsspecAdapter(place, patience, caps)


def find_place(settings: Settings, *, packed: bool, environment: Mapping[str, str]) -> Place:
    """The place that settings mean; raises as `open_source`."""
    match settings:
        case GeneralSource():
            return place_of(settings, packed=packed, environment=environment)
        case FtpSource():
            return ftp_place(settings, packed=packed, environment=environment)
        case HdfsSource():
            return hdfs_place(settings, packed=packed, environment=environment)
        case AfsSource():
            return afs_place(settings, packed=packed, environment=environment)
        case OciSource():
            return oci_place(settings, environment=environment)
        case FsspecSource():
            return fsspec_place(settings, packed=packed)
