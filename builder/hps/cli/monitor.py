"""`hps monitor`: watch sources, verify what they offer, and swap it into model servers."""

import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.core import ParameterSource

from hps.cli.verbs import Verbs
from hps.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hps.config.monitor import Monitor


class _Verbs(Verbs):
    verbs: ClassVar = {
        name: ("monitor_verbs", name)
        for name in (
            "status",
            "history",
            "rollback",
            "hold",
            "release",
            "approve",
            "refuse",
            "repair",
        )
    }


@click.group(cls=_Verbs, invoke_without_command=True)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HPS_MONITOR_CONFIG",
    metavar="FILE",
    help="A file with [monitor] (default: $HPS_MONITOR_CONFIG, else hps.toml).",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help='Where metrics, health and the page of status are; "" for nowhere.',
)
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Of the log on stderr.")
@click.option("--once", is_flag=True, help="Look once, finish what that begins, and end.")
@click.option("--type", default="general", help="general, ftp, hdfs or afs. [default: general]")
@click.option("--remote_path", metavar="PATH", help="The folder that holds model and donefile.")
@click.option("--remote_model_name", metavar="NAME", help="A packed file or a folder in it.")
@click.option("--remote_donefile_name", metavar="NAME", help="Touched when all is there.")
@click.option("--local_path", metavar="PATH", help="Where the served models are.")
@click.option("--local_model_name", metavar="NAME", help="The folder of this one in it.")
@click.option(
    "--local_timestamp_file",
    metavar="NAME",
    default="fluid_time_file",
    help="Touched in the model's folder when it is new. [default: fluid_time_file]",
)
@click.option(
    "--local_tmp_path",
    metavar="NAME",
    default="_serving_monitor_tmp",
    help="In `local_path`: journal, staging, generations. [default: _serving_monitor_tmp]",
)
@click.option("--unpacked_filename", metavar="NAME", help="The one folder in a packed model.")
@click.option(
    "--interval", type=float, default=10.0, help="Seconds between two looks. [default: 10]"
)
@click.option("--debug", is_flag=True, help="Log more.")
@click.option("--general_host", metavar="URL", help="What stands before `remote_path`.")
@click.option("--ftp_host", metavar="HOST", help="Of the FTP server.")
@click.option("--ftp_port", type=click.IntRange(1, 65535), help="[default: 21]")
@click.option("--ftp_username", metavar="USER", default="", help="Who it is asked as.")
@click.option(
    "--ftp_password",
    metavar="SECRET",
    default="",
    envvar="HPS_MONITOR_FTP_PASSWORD",
    help="Everybody on this host can read it here; better in $HPS_MONITOR_FTP_PASSWORD.",
)
@click.option("--hadoop_bin", metavar="PATH", help="The hadoop program, for hdfs and afs.")
@click.option("--fs_name", metavar="URL", default="", help="Its fs.default.name.")
@click.option(
    "--fs_ugi",
    metavar="SECRET",
    default="",
    envvar="HPS_MONITOR_FS_UGI",
    help="USER,PASSWORD: its hadoop.job.ugi; better in $HPS_MONITOR_FS_UGI.",
)
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    r"""Watch sources, verify what they offer, and swap it into model servers.

    Without a verb it runs until it is told to stop (SIGTERM, Ctrl-C). What it watches stands in
    [monitor] of hps.toml, or in a file of its own; or it is one model, told by the flags of
    Paddle Serving's monitor (those with `_`), whose command lines work unchanged.

    What is live answers requests whatever fails. Status and history can be read, and requests be
    laid down, whether the monitor runs or not.

    \b
    hps monitor --config /etc/hps/monitor.toml
    hps monitor status
    hps monitor rollback ocr
    """
    if context.invoked_subcommand is not None:
        if misplaced := _given_names(context, {"config"}):
            raise UsageError(f"--{misplaced[0]} is for `hps monitor` without a verb")
        return
    monitor, environment, base = _settings(context, given)
    context.exit(_run(context, monitor, environment, base))


def _run(
    context: click.Context, monitor: "Monitor", environment: "Mapping[str, str]", base: Path
) -> int:
    from hps.monitor.logs import SECRETS, Log, set_up

    given = context.params
    changed = {name: given[name] for name in ("listen", "log_format") if given[name] is not None}
    monitor = monitor.model_copy(update=changed)
    SECRETS.add(*environment.values())
    set_up(sys.stderr, form=monitor.log_format, debug=given["debug"])
    for name in _given_names(context):
        if name in ("ftp_password", "fs_ugi"):
            Log().warning("secret.shown", f"everybody on this host can read --{name}", option=name)
    from hps.monitor.many import run

    return run(monitor, {**os.environ, **environment}, base=base, once=given["once"])


def _settings(
    context: click.Context, given: "Mapping[str, Any]"
) -> "tuple[Monitor, Mapping[str, str], Path]":
    """What is watched, the secrets among the flags, and where relative paths begin."""
    from hps.cli.monitor_verbs import settings_file
    from hps.config.load_monitor import load_monitor
    from hps.monitor.flags import Flags, settings

    names = {one.name for one in fields(Flags)}
    told = [name for name in _given_names(context) if name in names - {"debug"}]
    folder: Path = context.find_root().obj["directory"]
    if not told:
        path = settings_file(context, given["config"])
        return load_monitor(path), {}, path.parent
    if context.get_parameter_source("config") is ParameterSource.COMMANDLINE:
        raise UsageError(f"--config stands alone: --{told[0]} says what is watched, too")
    monitor, secrets = settings(Flags(**{name: given[name] for name in names}))
    return monitor, secrets, folder


def _given_names(context: click.Context, but: "set[str] | None" = None) -> list[str]:
    """The options that somebody gave; variables of the environment are no choice of settings."""
    return [
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        and name not in (but or set())
    ]
