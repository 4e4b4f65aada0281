"""`hps store`: look at, verify, fill, carry and clean the store."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.cli.sizes import size
from hps.cli.store_carry import export, import_
from hps.digest import Digest
from hps.errors import StoreCorruptError, UsageError

if TYPE_CHECKING:
    from hps.store.blobs import Store
    from hps.store.collect import CollectPlan
    from hps.store.verify import VerifyReport

_json = click.option("--json", "as_json", is_flag=True, help="Report as JSON on stdout.")


def _digest(text: str) -> Digest:
    """`sha256:<hex>`, or the 64 digits alone."""
    try:
        return Digest(text.removeprefix("sha256:"))
    except ValueError as error:
        raise click.BadParameter(
            f"expected sha256:<64 hexadecimal digits>, got {text!r}"
        ) from error


@click.group()
@click.option(
    "--store",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the store (default: $HPS_STORE, else the user's cache folder).",
)
@click.pass_context
def command(context: click.Context, folder: Path | None) -> None:
    """Look at, verify, fill, carry and clean the store."""
    from hps.store.blobs import Store
    from hps.store.place import default_root

    context.meta["hps.store"] = Store(folder or default_root(os.environ))


@command.command()
@_json
@click.pass_context
def info(context: click.Context, *, as_json: bool) -> None:
    """Say where the store is, what it holds, and which projects need it."""
    from hps.store.collect import tree_size

    store = _store(context)
    blobs = list(store.list_blobs())
    trees = [path for digest in store.list_trees() if (path := store.tree(digest)) is not None]
    counted: set[tuple[int, int]] = set()
    facts: dict[str, Any] = {
        "path": str(store.root),
        "blobs": len(blobs),
        "blob_bytes": sum(stored.blob.size for stored in blobs),
        "trees": len(trees),
        "tree_bytes": sum(tree_size(tree, counted) for tree in trees),
        "traces": sum(1 for _ in store.traces.all()),
        "roots": [
            {
                "project": str(root.project),
                "name": root.name,
                "digests": len(root.digests),
                "counts": root.alive,
            }
            for root in store.roots.all()
        ],
    }
    if _wants_json(context, as_json=as_json):
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"store   {facts['path']}")
    click.echo(f"blobs   {facts['blobs']}, {size(facts['blob_bytes'])}")
    click.echo(f"trees   {facts['trees']}, {size(facts['tree_bytes'])}")
    click.echo(f"traces  {facts['traces']}")
    for root in store.roots.all():
        gone = "" if root.alive else "  (the folder is gone: no longer counts)"
        click.echo(f"root    {root.name}  {root.project}  {len(root.digests)} digests{gone}")


@command.command()
@_json
@click.pass_context
def verify(context: click.Context, *, as_json: bool) -> None:
    """Hash every blob again; damaged ones are set aside (exit 5)."""
    from hps.store.verify import verify as verify_store

    store = _store(context)
    total = sum(stored.blob.size for stored in store.list_blobs())
    with progress_of("hash", total) as progress:
        report = verify_store(store, progress=progress)
    if _wants_json(context, as_json=as_json):
        click.echo(json.dumps(_verify_facts(report), indent=2))
    else:
        click.echo(f"blobs: {report.blobs}, {size(report.size)}; damaged: {len(report.damaged)}")
    if report.missing:
        click.echo(f"not in the store but named by roots: {len(report.missing)}", err=True)
    if report.traces:
        click.echo(f"damaged traces, which count as missing: {report.traces}", err=True)
    if report.damaged:
        error = StoreCorruptError(
            f"{len(report.damaged)} of {report.blobs} blobs in {store.root} are damaged",
            details=report.errors,
            hint="`hps build` fetches or makes them again",
        )
        if _wants_json(context, as_json=as_json):  # stdout has its one document already
            click.echo(str(error), err=True)
            context.exit(error.exit_code)
        raise error


@command.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="Keep what was written more recently than this.",
)
@click.option("--wait", is_flag=True, help="Wait for running builds instead of giving up.")
@_json
@click.pass_context
def collect(
    context: click.Context, *, dry_run: bool, older_than: float, wait: bool, as_json: bool
) -> None:
    """Remove what no project on this machine needs."""
    from hps.store.collect import collect as collect_store

    done = collect_store(
        _store(context), dry_run=dry_run, older_than=older_than, wait=wait, on_wait=_tell_wait
    )
    if _wants_json(context, as_json=as_json):
        click.echo(json.dumps(_collect_facts(done, dry_run=dry_run), indent=2))
        return
    for root in done.roots:
        click.echo(f"gone: {root.project} ({root.name}) keeps nothing any more", err=True)
    click.echo(
        f"{'would free' if dry_run else 'freed'} {size(done.size)}; blobs: {len(done.blobs)}, "
        f"trees: {len(done.trees)}, traces: {len(done.traces)}, damaged: {len(done.rubbish)}"
    )


@command.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE...",
)
@click.option(
    "--sha256", "expected", type=_digest, metavar="HEX", help="What the one FILE must be."
)
@click.pass_context
def add(context: click.Context, files: tuple[Path, ...], expected: Digest | None) -> None:
    """Keep copies of files, so that builds find them offline; prints a digest each."""
    if expected is not None and len(files) != 1:
        raise UsageError("--sha256 says what one file must be", got=f"{len(files)} files")
    store = _store(context)
    with store.session(_tell_wait):
        for path in files:
            click.echo(str(store.add_file(path, expected).digest))


@command.command()
@click.argument("digest", type=_digest, metavar="DIGEST")
@click.pass_context
def path(context: click.Context, digest: Digest) -> None:
    """Print where a blob is, after hashing it."""
    click.echo(str(_store(context).path(digest)))


command.add_command(export)
command.add_command(import_)


def _store(context: click.Context) -> "Store":
    store: Store = context.meta["hps.store"]
    return store


def _wants_json(context: click.Context, *, as_json: bool) -> bool:
    """`--json` behind the verb, or before it."""
    return as_json or bool((context.find_root().obj or {}).get("json"))


def _tell_wait() -> None:
    click.echo("waiting for others that use the store", err=True)


@contextlib.contextmanager
def progress_of(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; one line elsewhere."""
    if not sys.stderr.isatty():
        click.echo(f"{what}: {size(total)}", err=True)
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def _verify_facts(report: "VerifyReport") -> dict[str, object]:
    return {
        "blobs": report.blobs,
        "bytes": report.size,
        "damaged": [str(digest) for digest in report.damaged],
        "missing": [str(digest) for digest in report.missing],
        "damaged_traces": report.traces,
    }


def _collect_facts(done: "CollectPlan", *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "bytes": done.size,
        "blobs": [str(blob.digest) for blob in done.blobs],
        "trees": [str(tree.digest) for tree in done.trees],
        "traces": [str(derivation) for derivation in done.traces],
        "roots": [{"project": str(root.project), "name": root.name} for root in done.roots],
        "damaged_files": len(done.rubbish),
    }
