"""The 19 flags of Paddle Serving's monitor, as settings of this one.

Names, defaults and meaning are those of `paddle_serving_server.monitor` 0.9.0. What they cannot
say (keys, limits, other model servers) is said in `[monitor]`. A secret that was given as a flag is
taken out of the settings and handed on beside them, under a name that no log shows the value of.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from hps.config.monitor import (
    AfsSource,
    FtpSource,
    GeneralSource,
    HdfsSource,
    Monitor,
    PaddleServing,
    Secret,
    WatchedModel,
)
from hps.errors import UsageError

_REQUIRED = (
    "remote_path",
    "remote_model_name",
    "remote_donefile_name",
    "local_path",
    "local_model_name",
)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_FILE = re.compile(r"(?!\.\.?$)[^/\\\x00-\x1f]{1,255}")
_FTP_PASSWORD = "HPS_MONITOR_FTP_PASSWORD"  # noqa: S105 - the name of a variable
_FS_UGI = "HPS_MONITOR_FS_UGI"


@dataclass(frozen=True, slots=True)
class Flags:
    """What was given; the defaults are Paddle Serving's.

    Args:
        type: general, ftp, hdfs or afs.
        remote_path: the folder of model and donefile at the source.
        remote_model_name: a packed file, or a folder without `unpacked_filename`.
        remote_donefile_name: whose change says that a new model is there.
        local_path: the folder that holds the model's folder.
        local_model_name: the model's folder, exchanged as a whole.
        local_timestamp_file: in the model's folder; touched after an exchange.
        local_tmp_path: below `local_path`; holds journal, staging and generations, in `.hps`.
        unpacked_filename: the one folder in the packed model.
        interval: seconds between two looks.
        debug: logs more.
        general_host: what stands before `remote_path` for `general`.
        ftp_host, ftp_port, ftp_username, ftp_password: for `ftp`.
        hadoop_bin: the hadoop program for `hdfs` and `afs`.
        fs_name, fs_ugi: its `fs.default.name` and `hadoop.job.ugi`.
    """

    type: str = "general"
    remote_path: str | None = None
    remote_model_name: str | None = None
    remote_donefile_name: str | None = None
    local_path: str | None = None
    local_model_name: str | None = None
    local_timestamp_file: str = "fluid_time_file"
    local_tmp_path: str = "_serving_monitor_tmp"
    unpacked_filename: str | None = None
    interval: float = 10
    debug: bool = False
    general_host: str | None = None
    ftp_host: str | None = None
    ftp_port: int | None = None
    ftp_username: str = ""
    ftp_password: str = field(default="", repr=False)
    hadoop_bin: str | None = None
    fs_name: str = ""
    fs_ugi: str = field(default="", repr=False)


def settings(flags: Flags) -> tuple[Monitor, Mapping[str, str]]:
    """The settings that the flags mean, and the secrets by name of the variable.

    Models are verified by whatever the publisher offers, as publishers that know the old monitor
    offer nothing; that nothing was offered is logged at every swap.

    Raises:
        UsageError: a flag is missing or cannot be; it names the flag.
    """
    missing = [f"--{name}" for name in _REQUIRED if not getattr(flags, name)]
    if missing:
        raise _fault(f"{', '.join(missing)} must be given")
    if not 0 < flags.interval <= 86400 * 366:
        raise _fault("--interval must be more than 0 seconds", got=flags.interval)
    folder, name = _split(flags)
    try:
        return _monitor(flags, folder, name), _secrets(flags)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise _fault(f"what the flags say cannot be: {key}: {fault['msg']}") from error


def _monitor(flags: Flags, folder: PurePath, name: str) -> Monitor:
    remote = {
        "path": flags.remote_path,
        "model": flags.remote_model_name,
        "donefile": flags.remote_donefile_name,
    }
    model = WatchedModel.model_validate(
        {
            "source": _source(flags, remote),
            "server": PaddleServing.model_validate(
                {
                    "type": "paddle-serving",
                    "folder": str(folder),
                    "timestamp-file": flags.local_timestamp_file,
                }
            ),
            "verify": "offered",
            "unpacked": flags.unpacked_filename,
            "interval": float(flags.interval),
        }
    )
    # Not in `local_tmp_path` itself: the old monitor copies what stands there under the name of
    # the model into the live folder, and may come back.
    state = PurePath(flags.local_path or "", flags.local_tmp_path, ".hps")
    return Monitor.model_validate({"state": str(state), "listen": "", "models": {name: model}})


def _split(flags: Flags) -> tuple[PurePath, str]:
    """The folder that holds the model's folder, and the name of that; both are paths to the old."""
    path = PurePath(flags.local_path or "", flags.local_model_name or "")
    if not _NAME.fullmatch(path.name):
        raise _fault(
            "--local_model_name ends in a name of letters, digits and . _ - between them",
            got=flags.local_model_name,
        )
    if not _FILE.fullmatch(flags.local_timestamp_file):
        raise _fault(
            "--local_timestamp_file is one name in a folder", got=flags.local_timestamp_file
        )
    if path == PurePath(flags.local_path or "", flags.local_tmp_path):
        raise _fault("--local_model_name and --local_tmp_path must differ")
    return path.parent, path.name


def _source(flags: Flags, remote: Mapping[str, Any]) -> Any:
    ugi = Secret(variable=_FS_UGI) if flags.fs_ugi else None
    match flags.type:
        case "general":
            host = _needed(flags.general_host, "general_host", flags)
            return GeneralSource.model_validate({"type": "general", "host": host, **remote})
        case "ftp":
            return FtpSource.model_validate(
                {
                    "type": "ftp",
                    "host": _needed(flags.ftp_host, "ftp_host", flags),
                    "port": 21 if flags.ftp_port is None else flags.ftp_port,
                    "user": flags.ftp_username,
                    "password": Secret(variable=_FTP_PASSWORD) if flags.ftp_password else None,
                    **remote,
                }
            )
        case "hdfs":
            bin_ = _needed(flags.hadoop_bin, "hadoop_bin", flags)
            own = {"type": "hdfs", "bin": bin_, "fs-name": flags.fs_name, "ugi": ugi}
            return HdfsSource.model_validate({**own, **remote})
        case "afs":
            bin_ = _needed(flags.hadoop_bin, "hadoop_bin", flags)
            own = {"type": "afs", "bin": bin_, "fs-name": flags.fs_name, "ugi": ugi}
            return AfsSource.model_validate({**own, **remote})
        case _:
            raise _fault("--type is general, ftp, hdfs or afs", got=flags.type)


def _secrets(flags: Flags) -> dict[str, str]:
    given = {_FTP_PASSWORD: flags.ftp_password, _FS_UGI: flags.fs_ugi}
    return {name: value for name, value in given.items() if value}


def _needed(value: str | None, name: str, flags: Flags) -> str:
    if not value:
        raise _fault(f"--type {flags.type} needs --{name}")
    return value


def _fault(message: str, *, got: object = None) -> UsageError:
    return UsageError(message, got=got, hint="`hps monitor --help` explains the flags")
