"""`hps copy`: an image from one place to another."""

from typing import TYPE_CHECKING

import click

from hps.cli.options import json_option, project_if_any
from hps.cli.transfers import (
    COMPRESS,
    INCLUDE,
    MOUNT,
    PLATFORM,
    STORE,
    answer,
    copy_options,
    transfer,
)

if TYPE_CHECKING:
    from hps.oci.copying import Allow
    from hps.oci.registry import Registry
    from hps.oci.shipment import Shipment
    from hps.oci.transports import ImagePlace


@click.command("copy")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@INCLUDE
@PLATFORM
@MOUNT
@COMPRESS
@copy_options
@STORE
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    source: str,
    destination: str,
    *,
    included: tuple[str, ...],
    **_: object,
) -> None:
    """Copy an image from SRC to DST, with its signatures and attestations.

    Places are spelled as in skopeo:

    \b
    docker://HOST/NAME:TAG       a registry (or @sha256:HEX, which says what must come)
    oci:FOLDER[:NAME]            an OCI image layout; what is in it already stays
    oci-archive:FILE[:NAME]      a layout in a tar
    docker-archive:FILE[:NAME:TAG]  what `docker save` writes and `docker load` reads
    docker-daemon:NAME:TAG       a Docker engine (DOCKER_HOST, else the local socket)

    Manifests and layers are copied byte for byte, so the digest stays and signatures hold. Every
    byte is compared with its digest on the way. Archives and engines of Docker hold no manifest:
    what comes out of them gets the one that hps would have written.

    Nothing shows before it is whole: a tag moves last, a file or folder appears at once. What was
    interrupted carries on when it is run again. Blobs that come from a registry stay in the store
    until `hps store collect`.

    What hps.toml calls not redistributable goes to no registry unless --include names it. Who made
    the image says so in the SBOM beside it; of a project's own images its hps.toml and hps.lock
    say so too. Of an image without hps's SBOM, outside of its project, it cannot be known.

    \b
    hps copy docker://registry.example.org/team/app:1.0 oci:app:1.0
    hps copy oci:.hps/images/cpu docker://registry.example.org/team/app:1.0
    hps copy docker://one.example.org/app:1.0 docker://two.example.org/app:1.0
    hps copy docker-daemon:app:1.0 oci-archive:app.tar:1.0
    hps copy --dry-run oci:app docker://registry.example.org/team/app:1.0
    """
    from hps.oci.transports import parse_place

    origin, goal = parse_place(source), parse_place(destination)
    allow = None
    if goal.reference is not None:
        allow = _licences(context, goal, included)
    elif included:
        raise click.UsageError("--include is for copies to a registry: others stay in your hands")
    answer(context, [transfer(context, origin, goal, allow)])


def _licences(context: click.Context, goal: "ImagePlace", included: tuple[str, ...]) -> "Allow":
    """Refuse to hand on what may not be, unless it was asked for by name."""
    from hps.build.copied import bound_in
    from hps.build.redistribution import copying

    def allow(registry: "Registry", shipment: "Shipment") -> None:
        found = bound_in(registry, shipment, project_if_any(context))
        decided = copying(found, included, "this image")
        decided.require(f"copying the image to {goal}")
        for one in decided.named:
            click.echo(f"{one} leaves this machine, as asked for", err=True)

    return allow
