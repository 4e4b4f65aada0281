"""What the verbs share that copy images."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hps.cli.options import registry_client, registry_options, report, wants_json
from hps.cli.sizes import size
from hps.store.place import default_root

if TYPE_CHECKING:
    from hps.oci.copying import Allow, Wishes
    from hps.oci.moving import Moved
    from hps.oci.transports import ImagePlace

F = TypeVar("F", bound=Callable[..., Any])

_JOBS = 6  # hps.oci.moving.JOBS, without importing it for --help

STORE = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store (default: $HPS_STORE, else the user's cache folder).",
)


def copy_options(function: F) -> F:
    """Options of every verb that copies an image."""
    for option in (
        click.option(
            "--image-only",
            is_flag=True,
            help="Leave signatures and attestations behind.",
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Say what would move and how many bytes, and move nothing.",
        ),
        click.option(
            "--blobs",
            type=click.IntRange(1, 32),
            default=_JOBS,
            show_default=True,
            help="Blobs at a time.",
        ),
    ):
        function = option(function)
    return registry_options(function)


MOUNT = click.option(
    "--mount-from",
    "mounts",
    multiple=True,
    metavar="NAME",
    help="A repository of the same registry that may have layers of the image: what it has is "
    "mounted there and not sent. Can be given more than once.",
)
COMPRESS = click.option(
    "--compress",
    "packing",
    type=click.Choice(["gzip", "zstd"]),
    help="Pack plain layers first: fewer bytes. The image gets ANOTHER DIGEST: signatures and "
    "attestations speak of the old one and stay behind. The image ID stays.",
)
INCLUDE = click.option(
    "--include",
    "included",
    multiple=True,
    metavar="NAME",
    help="Hand on this artifact too, which hps.toml calls not redistributable. Can be given more "
    "than once.",
)
PLATFORM = click.option(
    "--platform",
    metavar="OS/ARCH[/VARIANT]",
    help="Of an index this image only, for instance linux/arm64 (default: the whole index; "
    "for Docker the platform that it runs).",
)


def wishes(context: click.Context) -> "Wishes":
    """What the options say."""
    from hps.oci.copying import Wishes

    given = context.params
    return Wishes(
        platform=given.get("platform"),
        attachments=not given["image_only"],
        dry=given["dry_run"],
        mounts=tuple(given.get("mounts", ())),
        jobs=given["blobs"],
        packing=given.get("packing"),
    )


def transfer(
    context: click.Context,
    origin: "ImagePlace",
    goal: "ImagePlace",
    allow: "Allow | None" = None,
) -> "Moved":
    """Copy as the options say, and tell how far it is."""
    from hps.cli.progress import make_progress
    from hps.oci.copying import copy
    from hps.store.blobs import Store

    return copy(
        origin,
        goal,
        store=Store(context.params.get("store") or default_root(os.environ)),
        connect=lambda reference: registry_client(context, reference),
        watch=make_progress(),
        wishes=wishes(context),
        allow=allow,
    )


def answer(
    context: click.Context, results: "list[Moved]", facts: "dict[str, Any] | None" = None
) -> None:
    """Report what was copied: the digest and the place on stdout, all else on stderr.

    Args:
        context: of the verb.
        results: of each copy.
        facts: what the verb adds to each, for `--json`.
    """
    if wants_json(context):
        report([one.as_json() | (facts or {}) for one in results])
        return
    for one in results:
        for note in one.notes:
            click.echo(f"note: {note}", err=True)
        click.echo(summary(one), err=True)
        if one.before is not None:
            moves = "would move" if one.dry else "moved"
            click.echo(f"the name {moves} from {one.before}", err=True)
        click.echo(f"{one.image_id or one.root} {one.place}")


def summary(moved: "Moved") -> str:
    """One line for people."""
    from hps.oci.registry import Placed

    words = {Placed.SENT: "moved", Placed.MOUNTED: "mounted", Placed.THERE: "there already"}
    if moved.dry:
        words[Placed.SENT] = "to move"
    parts = []
    for how, word in words.items():
        count = sum(placed is how for _, placed in moved.parts)
        if count:
            parts.append(f"{count} blob{'s' * (count > 1)} {word} ({size(moved.sum(how))})")
    if moved.attachments:
        parts.append(f"{len(moved.attachments)} signatures and attestations along with it")
    head = "dry run: " if moved.dry else ""
    return head + ", ".join(parts or ["nothing to move"])
