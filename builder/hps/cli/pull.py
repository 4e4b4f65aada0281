"""`hps pull`: an image of a registry as a layout."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hps.cli.options import json_option
from hps.cli.policy import policy_if_any, policy_options
from hps.cli.transfers import PLATFORM, STORE, answer, copy_options, transfer
from hps.cli.verify import escaped, lines
from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.oci.registry import Registry
    from hps.oci.shipment import Shipment
    from hps.trust.policy import Policy
    from hps.trust.verdict import Verdict


@click.command("pull")
@click.argument("reference", metavar="REF")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the layout (default: the last part of the name, in the current folder).",
)
@policy_options
@click.option(
    "--unverified", is_flag=True, help="Ask for no signature, even where a policy is configured."
)
@PLATFORM
@copy_options
@STORE
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    reference: str,
    *,
    output: Path | None,
    policy_file: Path | None,
    keys: tuple[Path, ...],
    unverified: bool,
    **_: object,
) -> None:
    """Fetch the image REF (HOST/NAME:TAG or HOST/NAME@sha256:HEX) as an OCI image layout.

    With a policy (--policy, --key, or one that is configured, as for `hps verify`) the signatures
    are verified before a layer is fetched, and what nobody trusted has signed is refused: code 5.
    Without one every image is taken. Every byte is compared with its digest as it is read; so what
    comes is what was signed.

    Signatures and attestations come along. Layers that the store has are not fetched, and a pull
    that was interrupted carries on.

    \b
    hps pull registry.example.org/team/app:1.0
    hps pull registry.example.org/team/app:1.0 --key release.pub
    hps pull registry.example.org/team/app@sha256:… -o app
    hps verify app --key release.pub
    hps copy oci:app docker-daemon:app:1.0        hands it to Docker
    """
    from hps.oci.transports import ImagePlace, registry_reference

    if unverified and (policy_file is not None or keys):
        raise UsageError("--unverified contradicts --policy and --key")
    chosen = None if unverified else policy_if_any(context, policy_file, keys)
    wanted = registry_reference(reference)
    origin = ImagePlace("docker", wanted)
    last = wanted.repository.rpartition("/")[2]
    tag = wanted.tag
    name = None if tag is None else f"{last}:{tag}"
    goal = ImagePlace("oci", path=output or Path(last), name=name)
    verdicts: list[Verdict] = []
    if chosen is None:
        if not unverified:
            click.echo("not verified: no policy says whom to trust (--key PUB.pem)", err=True)
        moved = transfer(context, origin, goal)
    else:
        policy, policy_name = chosen
        click.echo(f"policy {escaped(policy_name)}", err=True)
        moved = transfer(
            context,
            origin,
            goal,
            lambda registry, shipment: verdicts.extend(_verified(registry, shipment, policy)),
        )
    facts = {"policy": chosen and chosen[1], "verdicts": [one.as_json() for one in verdicts]}
    answer(context, [moved], facts)


def _verified(registry: "Registry", shipment: "Shipment", policy: "Policy") -> "list[Verdict]":
    """Verify the image by its signatures; its bytes are compared with their digests as they come.

    Raises:
        UntrustedError: it, or an image of the index, is not what the policy trusts.
    """
    from hps.trust.registry_verification import verify_registry
    from hps.trust.verdict import require_good
    from hps.trust.verification import Check

    check = Check(policy, datetime.now(UTC))
    verdicts = verify_registry(registry, shipment.root.digest, check, signatures_only=True)
    require_good(verdicts, f"the image {registry.name}@{shipment.root.digest}")
    for verdict in verdicts:
        shown = [line for line in lines(verdict) if "no layer was fetched" not in line]
        click.echo("\n".join(shown), err=True)
    return verdicts
