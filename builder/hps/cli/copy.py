"""`hps copy`: an image from one place to another."""

import click

from hps.cli.options import json_option
from hps.cli.transfers import COMPRESS, MOUNT, PLATFORM, STORE, answer, copy_options, transfer


@click.command("copy")
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@PLATFORM
@MOUNT
@COMPRESS
@copy_options
@STORE
@json_option
@click.pass_context
def command(context: click.Context, /, source: str, destination: str, **_: object) -> None:
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

    \b
    hps copy docker://registry.example.org/team/app:1.0 oci:app:1.0
    hps copy oci:.hps/images/cpu docker://registry.example.org/team/app:1.0
    hps copy docker://one.example.org/app:1.0 docker://two.example.org/app:1.0
    hps copy docker-daemon:app:1.0 oci-archive:app.tar:1.0
    hps copy --dry-run oci:app docker://registry.example.org/team/app:1.0
    """
    from hps.oci.transports import parse_place

    answer(context, [transfer(context, parse_place(source), parse_place(destination))])
