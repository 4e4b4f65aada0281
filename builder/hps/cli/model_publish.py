"""`hps model publish`: a release goes where monitors look for it, and no reader sees half of it."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import click

from hps.cli.options import json_option, report, wants_json
from hps.cli.policy import chosen_policy, policy_options
from hps.cli.sizes import size
from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.model.verify import Rules
    from hps.publish.prepare import Release
    from hps.publish.publish import Names, Published

_F = TypeVar("_F", bound=Callable[..., Any])
_FORMS = ("tar.gz", "tar", "tar.zst", "zip")
_LINE_SECONDS = 10.0  # between two lines where there is no terminal


def _file(name: str, text: str) -> Callable[[_F], _F]:
    return click.option(
        name, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=text
    )


def _access_options(function: _F) -> _F:
    """How the destination is reached."""
    for option in (
        click.option(
            "--plain-http", is_flag=True, help="Speak plain HTTP with a registry elsewhere."
        ),
        click.option(
            "--hadoop",
            default="hadoop",
            show_default=True,
            metavar="PROGRAM",
            help="The hadoop program, for hdfs:// and afs://.",
        ),
        _file("--ca", "Trust these certificates (PEM) too."),
        click.option(
            "--kerberos", is_flag=True, help="Log in to WebHDFS by the ticket that kinit got."
        ),
        _file("--ugi-file", "hadoop.job.ugi, USER,PASSWORD (default: $HPS_PUBLISH_UGI)."),
        _file("--token-file", "A bearer or delegation token (default: $HPS_PUBLISH_TOKEN)."),
        _file("--password-file", "The password (default: $HPS_PUBLISH_PASSWORD, else netrc)."),
        click.option("--user", default="", metavar="NAME", help="Who publishes."),
    ):
        function = option(function)
    return function


def _trust_options(function: _F) -> _F:
    """What is verified before a byte leaves."""
    for option in (
        click.option(
            "--unsigned",
            is_flag=True,
            help="Publish a model that nobody has signed; its donefile holds its sha256 alone.",
        ),
        click.option("--channel", metavar="NAME", help="The channel that it must be for."),
        click.option("--name", metavar="NAME", help="The model that it must be."),
        policy_options,
    ):
        function = option(function)
    return function


def _word_options(function: _F) -> _F:
    """What has to be said in so many words."""
    for option in (
        click.option(
            "--in-place",
            is_flag=True,
            help="The HTTP server replaces a file in one step when it is PUT: overwrite by PUT and "
            "never by MOVE.",
        ),
        click.option(
            "--replace-other",
            is_flag=True,
            help="Publish though another model or channel is published there.",
        ),
        click.option(
            "--not-newer",
            is_flag=True,
            help="Publish though its number is not higher than the published one.",
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("what", type=click.Path(path_type=Path), metavar="ARCHIVE|DIR")
@click.option("--to", required=True, metavar="DESTINATION", help="Where; see above.")
@click.option(
    "--model-name",
    "archives",
    multiple=True,
    metavar="NAME",
    help="What the archive is called there (default: MODEL.tar.gz or how it ends); given more "
    "than once, it is put there under each of them, and the donefile names the first.",
)
@click.option(
    "--donefile",
    "last",
    default="donefile",
    show_default=True,
    metavar="NAME",
    help="What the donefile is called there.",
)
@_word_options
@_trust_options
@_access_options
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMS),
    default="tar.gz",
    show_default=True,
    help="Of the archive that is made of DIR.",
)
@click.option(
    "--top", default="", metavar="NAME", help="The folder in the archive that is the model."
)
@click.option("--dry-run", is_flag=True, help="Check everything, send nothing.")
@json_option
@click.pass_context
def publish(
    context: click.Context,
    /,
    *,
    what: Path,
    to: str,
    archives: tuple[str, ...],
    last: str,
    form: str,
    top: str,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Publish a release so that no reader ever catches it half-way.

    It is verified as its readers would, held against the number that is published, brought there
    under a name of its own, and then renamed: the archive, its manifest (NAME.sig), and the
    donefile last. Ctrl-C leaves the old release whole. A DIR is packed first; one that holds the
    members of a group, a folder for each, is published as that group.

    \b
    DESTINATION is one of
      DIR, file:///DIR                      a folder of this machine
      https://HOST/DIR                      a server that takes PUT
      ftp://HOST/DIR, ftpes://, ftps://     FTP; TLS explicit, implicit
      webhdfs://HOST:PORT/DIR, swebhdfs://  HDFS by HTTP; several hosts with commas
      hdfs://HOST:PORT/DIR, afs://          HDFS, AFS by the hadoop program
      oci://HOST/REPOSITORY[:TAG]           a registry (default tag: the channel)

    Secrets come from files, variables or netrc, never from here.

    \b
    hps model publish ocr-7.tar.gz --key models.pub --to /srv/models/ocr
    hps model publish ocr-7.tar.gz --key models.pub --to ftpes://models.example.org/ocr
    hps model publish ocr --to webhdfs://name.example.org:9870/ocr --user loader --dry-run
    """
    del as_json
    from hps.model.archive import Form
    from hps.publish.interrupts import tidily
    from hps.publish.prepare import prepared

    rules = None if given["unsigned"] else _rules(context, what, given)
    if rules is None and (given["policy_file"] or given["keys"] or given["name"]):
        raise UsageError("--unsigned asks for nothing that is signed: no --policy, --key, --name")
    with tidily(), prepared(what, rules, form=Form(form), top=top) as release:
        names = _names(archives, last, release, what)
        done = _publish(to, release, names, given, dry_run=dry_run)
    _tell(context, to, release, names, done)


def _publish(
    to: str, release: "Release", names: "Names", given: dict[str, Any], *, dry_run: bool
) -> "Published | None":
    import contextlib

    from hps.publish.open import Access, open_destination
    from hps.publish.precedence import Waived
    from hps.publish.publish import Effort, may_follow, publish

    access = Access(
        user=given["user"],
        password_file=given["password_file"],
        token_file=given["token_file"],
        ugi_file=given["ugi_file"],
        kerberos=given["kerberos"],
        authority=given["ca"],
        hadoop=given["hadoop"],
        plain_http=True if given["plain_http"] else None,
        in_place=given["in_place"],
    )
    names.check()
    with (
        _Shown() as shown,
        contextlib.closing(open_destination(to, access, release, names)) as destination,
    ):
        waived = Waived(order=given["not_newer"], model=given["replace_other"])
        effort = Effort(waived=waived, progress=shown.progress)
        if dry_run:
            may_follow(destination, release, effort)
            return None
        return publish(destination, release, names, effort)


def _rules(context: click.Context, what: Path, given: dict[str, Any]) -> "Rules":
    from hps.model.policy import ModelPolicy
    from hps.model.verify import Rules

    policy, _ = chosen_policy(context, given["policy_file"], given["keys"], (str(what),))
    model = replace(ModelPolicy.of(policy), name=given["name"], channel=given["channel"])
    return Rules(model, datetime.now(UTC))


def _names(archives: tuple[str, ...], last: str, release: "Release", what: Path) -> "Names":
    from hps.publish.publish import Names

    model = what.name.partition(".")[0] if release.signed is None else release.signed.name
    return Names(archives or (f"{model}.{release.form}",), last)


def _tell(
    context: click.Context,
    to: str,
    release: "Release",
    names: "Names",
    done: "Published | None",
) -> None:
    blob, signed = release.archive.blob, release.signed
    if wants_json(context):
        report(
            {
                "destination": to,
                "model": None if signed is None else signed.name,
                "channel": None if signed is None else signed.channel,
                "sequence": None if signed is None else signed.sequence,
                "archive": {
                    "names": list(names.archives),
                    "sha256": blob.digest.hex,
                    "size": blob.size,
                },
                "donefile": names.donefile,
                "published": done is not None and not done.overtaken,
                "dry_run": done is None,
                "overtaken": done is not None and done.overtaken,
                "left": [] if done is None else list(done.left),
                "notes": list(release.notes),
            }
        )
        return
    for note in release.notes:
        click.echo(f"note: {note}", err=True)
    what = names.archives[0] if signed is None else f"{signed.name} {signed.sequence}"
    if done is None:
        click.echo(f"would publish {what} ({size(blob.size)}) to {to}")
        return
    for name in done.left:
        click.echo(f"note: {name} could not be removed from {to}; no reader takes it", err=True)
    if done.overtaken:
        click.echo(f"{what} was published to {to}, and another release right after it", err=True)
        return
    click.echo(f"published {what} ({size(blob.size)}) to {to}")


class _Shown:
    """A bar on a terminal, a line now and then elsewhere, on stderr."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def progress(self, name: str, sent: int, total: int) -> None:
        """Show how far a file is."""
        if self._bars is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total)
            self._bars.update(self._tasks[name], completed=sent)
        elif time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            click.echo(f"sent {size(sent)} of {size(total)} of {name}", err=True)
