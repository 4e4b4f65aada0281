"""`hps build`: images from hps.lock, proved against it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.build import unchanged
from hps.cli.challenge import challenge, challenge_options, check_options
from hps.cli.options import (
    cache_options,
    configured_signer,
    json_option,
    key_option,
    platform_option,
    report,
    target_names,
    wants_json,
    work_options,
    workbench,
)
from hps.cli.sizes import size
from hps.store.place import default_root

if TYPE_CHECKING:
    from hps.build.image import Built, Made
    from hps.build.platforms import Attesting, BuiltIndex
    from hps.build.workbench import Workbench
    from hps.trust.authorised import AuthorisedSigner

_PARSED = ("hps.toml", "hps.lock")


@click.command("build")
@click.argument("targets", nargs=-1)
@click.option(
    "--frozen",
    is_flag=True,
    help="Refuse a stale lock and resolve nothing. It is always so; the word says it to readers.",
)
@click.option("--check", is_flag=True, help="Make every layer again from its artifacts, compare.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the OCI image layout there (default: .hps/images/TARGET); one target only. "
    "A name that ends in .tar gives an archive for `docker load`.",
)
@click.option(
    "--verbose", is_flag=True, help="List each path of other layers that the trees override."
)
@platform_option
@key_option
@click.option(
    "--unsigned", is_flag=True, help="Do not sign, even where HPS_KEY or hps.toml names a key."
)
@challenge_options
@cache_options
@work_options
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    targets: tuple[str, ...],
    *,
    check: bool,
    output: Path | None,
    verbose: bool,
    **_: object,
) -> None:
    """Build TARGETS (default: all, or `default-targets` of hps.toml) from hps.lock.

    Every layer is compared with the digest that the lock predicts; a difference ends the build
    with code 7 and names the layer and the first path. Prints the digest of each image.

    With a key (--key, HPS_KEY or [signing] of hps.toml) the signature that `cosign verify` expects,
    SLSA provenance and an SBOM are laid beside the image, all signed. A key that was asked for and
    cannot be used is an error; --unsigned says that none is wanted.

    \b
    hps build --frozen            build all targets, refuse a stale lock
    hps build cpu --offline       use only what the store has
    hps build cpu --no-cache      make what is missing, ask no shared cache for it
    hps build cpu --check         build again and compare byte for byte
    hps build cpu --platform linux/arm64
                                  of a target for several platforms, the image of this one alone
    hps build cpu --key release   sign the image, its provenance and its SBOM
    hps build cpu --challenge     build again under other conditions and compare
    """
    if check_options(context):
        challenge(context, targets)
        return
    alone = output is not None or context.params["platform"] is not None
    if not check and not alone and not verbose:
        root = unchanged.find_root(context.find_root().obj["directory"])
        store = context.params["store"] or default_root(os.environ)
        known = unchanged.recall(root, store, _asked(context))
        answers = [one for one in known or () if not targets or one["target"] in targets]
        if {one["target"] for one in answers} >= set(targets) and answers:
            _answer(context, answers)
            return
    _answer(context, _build(context, targets, check=check, output=output, verbose=verbose))


def _build(
    context: click.Context,
    targets: tuple[str, ...],
    *,
    check: bool,
    output: Path | None,
    verbose: bool,
) -> list[dict[str, Any]]:
    from hps.build.platforms import build_group, groups

    root = unchanged.find_root(context.find_root().obj["directory"])
    parsed = unchanged.look(root, _PARSED, ())  # before they are
    names = target_names(context, targets)
    asked = groups(names)
    if output is not None and len(asked) != 1:
        raise click.UsageError("--output takes one target")
    bench = workbench(context)
    archive = output if output is not None and output.suffix == ".tar" else None
    layout = None if archive else output
    if context.params["unsigned"] and context.params["key"] is not None:
        raise click.UsageError("--unsigned and --key contradict each other")
    signer = None if context.params["unsigned"] else configured_signer(context)
    attest = signing_with(signer, bench) if signer else None
    before = _look(bench)
    results = [
        build_group(
            bench,
            one,
            again=check,
            verify=bool(archive),
            output=layout,
            attest=attest,
            unsigned=attest is None,
        )
        for one in asked.values()
    ]
    changed = any(one.changed for one in results)
    if signer is None and changed and not context.params["unsigned"]:
        bench.note_once("the image is not signed (`hps key generate NAME` makes a key)")
    for one in results:
        for image in _images(one) if one.changed or verbose else ():
            _tell_overrides(bench, image, verbose=verbose)
    if archive:
        _write_archive(archive, bench, results[0])
    answers = [as_json(one, signer) for one in results]
    whole = output is None and names == bench.project.target_names(())
    if whole and parsed and before and before["files"].items() >= parsed["files"].items():
        rooted = all(one.rooted for one in results)
        _remember(context, bench, before, answers, rooted=rooted)
    return answers


def _images(built: "Built | BuiltIndex") -> "tuple[Built | Made, ...]":
    from hps.build.image import Built

    return (built,) if isinstance(built, Built) else built.images


def _write_archive(archive: Path, bench: "Workbench", built: "Built | BuiltIndex") -> None:
    from hps.build.image import Built
    from hps.oci.archive import write_archive

    write_archive(
        archive,
        [built.image] if isinstance(built, Built) else [],
        bench.store.path,
        epoch=0,
        attachments=built.attachments,
        indexes=[] if isinstance(built, Built) else [built.index],
    )


def signing_with(signer: "AuthorisedSigner", bench: "Workbench") -> "Attesting":
    """Who signs what is built, under the name that hps.toml has for it."""
    from hps.build.platforms import Attesting
    from hps.release.attest import attesting, attesting_index

    reference = bench.project.config.signing.reference
    return Attesting(attesting(signer, reference), attesting_index(signer, reference))


def _asked(context: click.Context) -> tuple[str | None, ...]:
    """Which key the command line and the environment ask for; hps.toml is compared as a file."""
    unsigned = "unsigned" if context.params["unsigned"] else None
    variables = (os.environ.get("HPS_KEY"), os.environ.get("HPS_KEYS"))
    return (context.params["key"], unsigned, *variables)


def _tell_overrides(bench: "Workbench", built: "Built | Made", *, verbose: bool) -> None:
    from hps.build.overrides import find_overrides, summary

    found = find_overrides(bench, built)
    if found:
        more = "" if verbose else " (hps build --verbose lists them)"
        bench.progress.note(f"{built.target}: {summary(found)}{more}")
    for one in found if verbose else ():
        bench.progress.note(f"  /{one.path} of {one.owner}")


def _look(bench: "Workbench") -> dict[str, Any] | None:
    """The digests of all that builds of this project read from it."""
    from hps.config.chosen import WEIGHTS_FOLDER, WEIGHTS_IGNORED

    project = bench.project
    targets = project.config.targets.values()
    files = {*_PARSED} | {file for target in targets for file in target.python.requirements}
    files |= {one.config for one in project.config.pipelines.values() if one.config}
    trees = [(tree.from_, tree.to, tree.exclude) for one in targets for tree in one.trees]
    weights = project.config.weights.items()
    trees += [
        (one.directory, f"{WEIGHTS_FOLDER}/{name}", WEIGHTS_IGNORED)
        for name, one in weights
        if one.directory and (project.root / one.directory).is_dir()
    ]
    return unchanged.look(project.root, sorted(files), trees)


def _remember(
    context: click.Context,
    bench: "Workbench",
    before: dict[str, Any],
    answers: list[dict[str, Any]],
    *,
    rooted: bool,
) -> None:
    """Write down what was built from what, unless that was edited meanwhile."""
    if _look(bench) != before:
        return
    keys = {answer["signed_by"]["file"] for answer in answers if answer["signed_by"]}
    signed_by = unchanged.look(bench.project.root, sorted(keys), ())
    if signed_by is None:
        return
    looked = before | {"files": before["files"] | signed_by["files"]}
    state = unchanged.remember(
        bench.store.root, looked, answers, rooted=rooted, signing=_asked(context)
    )
    unchanged.keep(bench.project.root, state)


def _answer(context: click.Context, answers: list[dict[str, Any]]) -> None:
    if wants_json(context):
        report(answers)
        return
    for one in answers:
        state = "built" if one["changed"] else "up to date"
        images = one.get("images", [one])
        if "images" in one:
            click.echo(
                f"{one['target']}: {state}, {len(images)} platforms, in {one['layout']}", err=True
            )
        for image in images:
            layers = image["layers"]
            told = f"{len(layers)} layers, {size(sum(layer['size'] for layer in layers))}"
            if "images" in one:
                click.echo(f"  {image['platform']}: {image['digest']}, {told}", err=True)
            else:
                click.echo(f"{one['target']}: {state}, {told}, in {one['layout']}", err=True)
        click.echo(f"{one['digest']} {one['target']}")


def as_json(built: "Built | BuiltIndex", signer: "AuthorisedSigner | None") -> dict[str, Any]:
    """What was built, for `--json`: an image, or an index with its `images`."""
    from hps.build.image import Built

    answer = {
        "target": built.target,
        "layout": str(built.layout),
        "changed": built.changed,
        "signed_by": None if signer is None else _signed_by(signer),
        "attachments": [
            {"digest": str(one.digest), "tag": one.tag, "type": one.artifact_type}
            for one in built.attachments
        ],
    }
    if isinstance(built, Built):
        return answer | _image_json(built)
    images = [_image_json(one) | {"platform": one.locked.platform} for one in built.images]
    return answer | {"digest": str(built.index.digest), "images": images}


def _image_json(one: "Built | Made") -> dict[str, Any]:
    return {
        "digest": str(one.image.digest),
        "image_id": str(one.image.image_id),
        "layers": [*_base_json(one), *_layers_json(one)],
    }


def _base_json(one: "Built | Made") -> list[dict[str, Any]]:
    """The layers of a base image, packed as they came: digest and size are those of the blob."""
    layers = one.base.locked.layers if one.base else ()
    return [
        {
            "name": f"base:{number}",
            "diff_id": f"sha256:{layer.diff_id}",
            "digest": str(layer.digest),
            "size": layer.size,
            "locked": True,
        }
        for number, layer in enumerate(layers, start=1)
    ]


def _layers_json(one: "Built | Made") -> list[dict[str, Any]]:
    return [
        {
            "name": layer.name,
            "diff_id": str(layer.blob.digest),
            "size": layer.blob.size,
            "locked": layer.locked,
        }
        for layer in one.layers
    ]


def _signed_by(signer: "AuthorisedSigner") -> dict[str, str]:
    from hps.trust.key_store import KeyStore

    return {
        "key": signer.name,
        "fingerprint": signer.public.fingerprint,
        "file": str(KeyStore.default().public_path(signer.name)),
    }
