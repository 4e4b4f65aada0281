"""`hps pull`: an image of a registry as a layout."""

from pathlib import Path

import click

from hps.cli.options import json_option
from hps.cli.transfers import PLATFORM, STORE, answer, copy_options, transfer


@click.command("pull")
@click.argument("reference", metavar="REF")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the layout (default: the last part of the name, in the current folder).",
)
@PLATFORM
@copy_options
@STORE
@json_option
@click.pass_context
def command(context: click.Context, /, reference: str, *, output: Path | None, **_: object) -> None:
    """Fetch the image REF (HOST/NAME:TAG or HOST/NAME@sha256:HEX) as an OCI image layout.

    Signatures and attestations come along, so `hps verify FOLDER` says whose image it is. Every
    byte is compared with its digest as it is read. Layers that the store has are not fetched, and
    a pull that was interrupted carries on.

    \b
    hps pull registry.example.org/team/app:1.0
    hps pull registry.example.org/team/app@sha256:… -o app
    hps verify app --key release.pub
    hps copy oci:app docker-daemon:app:1.0        hands it to Docker
    """
    from hps.oci.transports import ImagePlace, registry_reference

    wanted = registry_reference(reference)
    origin = ImagePlace("docker", wanted)
    last = wanted.repository.rpartition("/")[2]
    tag = wanted.tag
    name = None if tag is None else f"{last}:{tag}"
    goal = ImagePlace("oci", path=output or Path(last), name=name)
    answer(context, [transfer(context, origin, goal)])
