"""`hps rebuild`: builds an image again from its lock, and signs that it is the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.cli.options import (
    configured_signer,
    json_option,
    key_option,
    platform_option,
    registry_client,
    registry_options,
    report,
    target_names,
    wants_json,
    work_options,
    workbench,
)
from hps.errors import KeyUnusableError, LockError, UsageError

if TYPE_CHECKING:
    from hps.build.workbench import Workbench
    from hps.oci.reference import Reference
    from hps.release.claimed import Claimed
    from hps.release.rebuild import Rebuilt
    from hps.trust.authorised import AuthorisedSigner

_LOCK = "hps.lock"
_LARGEST_LOCK = 64 << 20  # bytes


@click.command()
@click.argument("what", required=False)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Which target of hps.lock (default: what the image's provenance says; all without WHAT).",
)
@click.option("--attest", is_flag=True, help="Sign that it came out the same, and lay that beside.")
@key_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the statement goes when it cannot lie beside the image (default: "
    "TARGET.rebuild.sigstore.json beside hps.lock).",
)
@platform_option
@registry_options
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    what: str | None,
    *,
    targets: tuple[str, ...],
    attest: bool,
    key: str | None,
    output: Path | None,
    **_: object,
) -> None:
    """Build an image again from artifacts alone, and compare it with WHAT.

    Run it in a clone of the project at the commit of the image. WHAT is an image layout, an image
    archive or a name in a registry; its provenance says which target and which lock it was made
    from, and need not be trusted. Of an index in a layout or archive the image for this machine is
    built again, or that of --platform; in a registry each has a digest to name it by. Without WHAT,
    targets are compared with hps.lock alone.

    Everything is made again; nothing that was made before counts. A difference ends it with code 7
    and names the layer. With --attest the key signs provenance of the image: the same as its
    builder's but for the builder. It is laid beside the image in the layout or registry; for an
    archive or without WHAT it is written to a file. The policy of `hps verify` can ask for
    several rebuilders.

    \b
    hps rebuild                                       build all again, compare with hps.lock
    hps rebuild registry.example.org/team/demo:cpu    compare with what was published
    hps rebuild ./image --attest --key rebuilder      and sign that it is the same
    """
    if not attest and (key is not None or output is not None):
        raise click.UsageError("--key and --output belong to --attest")
    signer = _signer(context) if attest else None
    bench = workbench(context)
    if what is None or _is_lock(Path(what)):
        results = _from_lock(context, bench, what, targets, signer=signer, output=output)
    else:
        results = [_image(context, bench, what, targets, signer=signer, output=output)]
    if wants_json(context):
        report(results)
        return
    for one in results:
        click.echo(_told(one), err=True)
        click.echo(f"{one['digest']} {one['target']}")


def _signer(context: click.Context) -> "AuthorisedSigner":
    """The key, before anything is built for nothing."""
    from hps.trust.predicates import PROVENANCE

    signer = configured_signer(context)
    if signer is None:
        raise KeyUnusableError(
            "no key is configured",
            expected="--key NAME, HPS_KEY, or `key` in [signing] of hps.toml",
            hint="hps key generate NAME --role rebuild makes a key",
        )
    signer.signer(PROVENANCE)
    return signer


def _is_lock(path: Path) -> bool:
    from hps.oci.archive_files import is_tar

    return path.is_file() and not is_tar(path)


def _from_lock(
    context: click.Context,
    bench: "Workbench",
    what: str | None,
    targets: tuple[str, ...],
    *,
    signer: "AuthorisedSigner | None",
    output: Path | None,
) -> list[dict[str, Any]]:
    """Rebuild targets; there is no image but the one that the lock predicts."""
    from hps.release.rebuild import rebuild

    _check_same_lock(bench, what)
    names = target_names(context, targets)
    if output is not None and len(names) != 1:
        raise click.UsageError("--output takes one target")
    found = []
    for name in names:
        rebuilt = rebuild(bench, name)
        attested = _written(bench, rebuilt, signer, output) if signer else None
        found.append(_as_json(rebuilt, attested))
    return found


def _check_same_lock(bench: "Workbench", what: str | None) -> None:
    from hps.lock import text
    from hps.oci.documents import read_document
    from hps.release.rebuild import lock_digest

    if what is None:
        return
    here = lock_digest(bench.project.require_lock())
    asked = lock_digest(text.read(read_document(Path(what).resolve(), limit=_LARGEST_LOCK)))
    if asked != here:
        raise LockError(
            f"{what} is another lock than the {bench.project.lock_path} that is built from",
            expected=asked,
            got=here,
            hint="check out the commit that it is of, or name its project: hps -C DIR rebuild",
        )


def _image(
    context: click.Context,
    bench: "Workbench",
    what: str,
    targets: tuple[str, ...],
    *,
    signer: "AuthorisedSigner | None",
    output: Path | None,
) -> dict[str, Any]:
    """Rebuild one image and lay the statement beside it."""
    from hps.release.claimed import claimed_archive

    if len(targets) > 1:
        raise click.UsageError("an image is one target: --target once")
    path = Path(what)
    reference = _reference(path, what)
    if output is not None and (reference or path.is_dir()):
        raise click.UsageError("--output is for archives and locks: the statement lies beside WHAT")
    if reference is not None:
        return _in_registry(context, bench, reference, targets, signer)
    if path.is_dir():
        return _in_layout(context, bench, path, targets, signer)
    rebuilt = _compared(bench, claimed_archive(path, context.params["platform"]), targets)
    return _as_json(rebuilt, _written(bench, rebuilt, signer, output) if signer else None)


def _in_layout(
    context: click.Context,
    bench: "Workbench",
    path: Path,
    targets: tuple[str, ...],
    signer: "AuthorisedSigner | None",
) -> dict[str, Any]:
    from hps.oci.attach import attach
    from hps.release.claimed import claimed_layout
    from hps.release.rebuild import is_attested, referrer

    rebuilt = _compared(bench, claimed_layout(path, context.params["platform"]), targets)
    if signer is None:
        return _as_json(rebuilt, None)
    added = not is_attested(rebuilt, signer)
    if added:  # not if another process with this key was faster
        added = attach(path, rebuilt.digest, [referrer(rebuilt, signer)])
    return _as_json(rebuilt, _attested(signer, str(path), added=added))


def _in_registry(
    context: click.Context,
    bench: "Workbench",
    reference: "Reference",
    targets: tuple[str, ...],
    signer: "AuthorisedSigner | None",
) -> dict[str, Any]:
    from hps.oci.registry_push import push_referrers
    from hps.release.claimed import claimed_in_registry
    from hps.release.rebuild import is_attested, referrer

    with registry_client(context, reference) as registry:
        claimed = claimed_in_registry(registry, reference.wanted)
    rebuilt = _compared(bench, claimed, targets)
    if signer is None:
        return _as_json(rebuilt, None)
    added = not is_attested(rebuilt, signer)
    if added:
        with registry_client(context, reference) as registry:
            push_referrers(registry, rebuilt.digest, [referrer(rebuilt, signer)])
    return _as_json(rebuilt, _attested(signer, str(reference), added=added))


def _compared(bench: "Workbench", claimed: "Claimed", targets: tuple[str, ...]) -> "Rebuilt":
    from hps.release.rebuild import lock_digest, rebuild

    lock = lock_digest(bench.project.require_lock())
    name = claimed.target(lock, targets[0] if targets else None)
    return rebuild(bench, name, claimed)


def _reference(path: Path, what: str) -> "Reference | None":
    """What is no path must be a name in a registry."""
    from hps.oci.reference import Reference

    if path.exists():
        return None
    try:
        reference = Reference.parse(what)
    except UsageError as error:
        raise UsageError(
            f"there is no {what}, and it names nothing in a registry",
            expected="an image layout, an image archive, hps.lock, or HOST/NAME:TAG",
            hint=error.hint,
        ) from error
    _ = reference.wanted  # raises when neither tag nor digest is there
    return reference


def _written(
    bench: "Workbench", rebuilt: "Rebuilt", signer: "AuthorisedSigner", output: Path | None
) -> dict[str, Any]:
    from hps.release.file_signing import BUNDLE_ENDING, write_bundle
    from hps.release.rebuild import sign

    name = f"{rebuilt.built.target}.rebuild{BUNDLE_ENDING}"
    place = output or bench.project.root / name
    write_bundle(sign(rebuilt, signer), place)
    return _attested(signer, str(place), added=True)


def _attested(signer: "AuthorisedSigner", place: str, *, added: bool) -> dict[str, Any]:
    return {
        "key": signer.name,
        "fingerprint": signer.public.fingerprint,
        "builder": signer.builder_id,
        "place": place,
        "added": added,
    }


def _as_json(rebuilt: "Rebuilt", attested: dict[str, Any] | None) -> dict[str, Any]:
    from hps.release.rebuild import lock_digest

    return {
        "target": rebuilt.built.target,
        "digest": str(rebuilt.digest),
        "lock": str(lock_digest(rebuilt.lock)),
        "same_as": rebuilt.claimed.name if rebuilt.claimed else _LOCK,
        "layers": [
            {"name": one.name, "diff_id": str(one.blob.digest), "locked": one.locked}
            for one in rebuilt.built.layers
        ],
        "attested": attested,
    }


def _told(one: dict[str, Any]) -> str:
    text = (
        f"{one['target']}: built again from artifacts, {len(one['layers'])} layers, "
        f"the same as {one['same_as']}"
    )
    attested = one["attested"]
    if attested is None:
        return text
    if not attested["added"]:
        return f"{text}; the key {attested['key']} has said so before"
    return f"{text}; the key {attested['key']} says so in {attested['place']}"
