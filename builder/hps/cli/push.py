"""`hps push`: the image of a target into registries."""

from typing import TYPE_CHECKING

import click

from hps.cli.options import (
    configured_signer,
    json_option,
    platform_option,
    work_options,
    workbench,
)
from hps.cli.transfers import COMPRESS, INCLUDE, MOUNT, answer, copy_options, transfer
from hps.errors import KeyUnusableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hps.build.platforms import Attesting
    from hps.build.workbench import Workbench


@click.command("push")
@click.argument("target")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@INCLUDE
@click.option(
    "--unsigned", is_flag=True, help="Do not sign, even where HPS_KEY or hps.toml names a key."
)
@MOUNT
@COMPRESS
@platform_option
@copy_options
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    target: str,
    *,
    references: tuple[str, ...],
    included: tuple[str, ...],
    unsigned: bool,
    platform: str | None,
    **_: object,
) -> None:
    """Send the image of TARGET to each REF (HOST/NAME:TAG), built if needed, with its signatures.

    The digest stays the one that was built and signed: layers go as they are. A registry is asked
    first what it has; what another repository of it has is mounted (--mount-from); the rest goes
    in parallel, large layers in chunks that carry on where the registry has stopped. The tag moves
    last. Run it again after an interruption: nothing goes twice.

    An image that nobody has signed is signed first, where HPS_KEY or [signing] of hps.toml names a
    key: as `hps build` does it. Signatures that are there stay, whoever made them.

    \b
    hps build cpu --key release
    hps push cpu registry.example.org/team/app:1.0
    hps push cpu registry.example.org/team/app:1.0 registry.example.org/team/app:stable
    hps push cpu registry.example.org/team/app:1.1 --dry-run
    hps verify registry.example.org/team/app:1.0 --key release.pub

    Credentials are those of `docker login` (REGISTRY_AUTH_FILE, DOCKER_CONFIG, helpers).
    """
    from hps.build.laid_out import laid_out
    from hps.oci.transports import ImagePlace, registry_reference

    goals = [ImagePlace("docker", registry_reference(one)) for one in references]
    bench = workbench(context)
    if platform is None:
        names: Sequence[str] = bench.project.target_names((target,))
    else:
        names = (bench.project.one_target(target, platform),)
    _check_licences(bench, names, included)
    alone = unsigned or context.params["image_only"] or context.params["packing"] is not None
    layout = laid_out(bench, names, attest=lambda: None if alone else _signing(context, bench))
    origin = ImagePlace("oci", path=layout, name=bench.project.reference(names[0]))
    # A platform was chosen above, not from an index.
    context.params["platform"] = None
    results = [transfer(context, origin, goal) for goal in goals]
    if not alone and not any(one.attachments for one in results):
        bench.note_once("the image is not signed (`hps key generate NAME` makes a key)")
    answer(context, results)


def _check_licences(bench: "Workbench", names: "Sequence[str]", included: tuple[str, ...]) -> None:
    """Refuse to hand on what may not be, unless it was asked for by name."""
    from hps.build.redistribution import leaving
    from hps.lock.stale import fresh_target

    lock = bench.project.require_lock()
    for name in names:
        locked = fresh_target(lock, name, bench.project.inputs(name))
        decided = leaving(bench.project.config, locked, included)
        decided.require(f"pushing the image {bench.project.reference(name)}")
        for one in decided.named:
            bench.progress.note(f"{name}: {one} leaves this machine, as asked for")


def _signing(context: click.Context, bench: "Workbench") -> "Attesting | None":
    """Who signs an image without a signature: as `hps build` has it without options."""
    from hps.cli.build import signing_with

    try:
        signer = configured_signer(context)
    except KeyUnusableError as error:
        sign = "--unsigned sends the image without a signature"
        error.hint = f"{error.hint}; {sign}" if error.hint else sign
        raise
    return None if signer is None else signing_with(signer, bench)
