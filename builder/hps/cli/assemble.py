"""`hps assemble`: packages of pipelines, for servers and for those who ask them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.cli.options import (
    configured_signer,
    fetch_options,
    json_option,
    key_option,
    report,
    wants_json,
    workbench,
)
from hps.cli.sizes import size
from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.sdk.assemble import Assembled
    from hps.trust.authorised import AuthorisedSigner


@click.command("assemble")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Every pipeline of the catalogue.")
@click.option("--no-server", is_flag=True, help="Leave out what the server needs.")
@click.option("--no-client", is_flag=True, help="Leave out what those who ask need.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Folder of the packages (default: `output` of the project).",
)
@key_option
@click.option(
    "--unsigned", is_flag=True, help="Do not sign, even where HPS_KEY or hps.toml names a key."
)
@fetch_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    names: tuple[str, ...],
    *,
    every: bool,
    no_server: bool,
    no_client: bool,
    output: Path | None,
    **_: object,
) -> None:
    """Assemble the packages of pipelines: OUTPUT/paddlex_hps_NAME_sdk and its .tar.gz.

    A package holds what serves one pipeline in an image that was built from the same lock
    (`server/`), a client for it (`client/`), and a manifest of every file, of PaddleX's version and
    of the images that it fits. The same catalogue and lock give the same bytes. Docker is not
    needed.

    With a key (--key, HPS_KEY or [signing] of hps.toml) manifest and archive are signed, and `hps
    verify` checks both. Without names, the pipelines are listed.

    \b
    hps assemble OCR ts_forecast        two packages
    hps assemble --all --key release    all of them, signed
    hps assemble OCR --no-server        only the client's part
    hps verify output/paddlex_hps_OCR_sdk
    """
    from hps.sdk.assemble import assemble
    from hps.sdk.catalogue_files import chosen, read_catalogue
    from hps.sdk.ingredients import gather

    if no_server and no_client:
        raise UsageError("--no-server and --no-client together leave nothing to assemble")
    bench = workbench(context)
    root = bench.project.root
    pipelines = chosen(read_catalogue(root), names, every=every)
    signer = _signer(context)
    with bench.store.session():
        made_of = gather(bench, pipelines, server=not no_server, client=not no_client)
    if signer is None and not context.params["unsigned"]:
        bench.note_once("the packages are not signed (`hps key generate NAME` makes a key)")
    target = root / "output" if output is None else output
    done = []
    for pipeline in pipelines:
        one = assemble(pipeline, made_of, target, signer)
        done.append(as_json(one, signer))
        if not wants_json(context):
            told = f"{pipeline.name}: {one.files} files, {size(one.content.size)}, in {one.folder}"
            click.echo(told, err=True)
            click.echo(f"{one.content.digest} {one.archive}")
    if wants_json(context):
        report(done)


def _signer(context: click.Context) -> "AuthorisedSigner | None":
    from hps.trust.predicates import SIGNATURE

    if context.params["unsigned"]:
        if context.params["key"] is not None:
            raise UsageError("--unsigned and --key contradict each other")
        return None
    signer = configured_signer(context)
    if signer is not None:
        signer.signer(SIGNATURE)  # whether it may, before anything is fetched or written
    return signer


def as_json(one: "Assembled", signer: "AuthorisedSigner | None") -> dict[str, Any]:
    """A package for `--json`."""
    return {
        "pipeline": one.pipeline.name,
        "sdk_version": one.pipeline.sdk_version,
        "folder": str(one.folder),
        "archive": str(one.archive),
        "digest": str(one.content.digest),
        "size": one.content.size,
        "files": one.files,
        "manifest": str(one.manifest),
        "signed_by": None
        if signer is None
        else {"key": signer.name, "fingerprint": signer.public.fingerprint},
    }
