"""`hps sign`: FILE.sigstore.json beside each file."""

from pathlib import Path
from typing import Any

import click

from hps.cli.options import configured_signer, json_option, key_option, report, wants_json
from hps.errors import KeyUnusableError, UsageError

_LARGEST = 16 << 20  # bytes of a predicate


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
@key_option
@click.option(
    "--predicate-type", metavar="URI", help="Kind of the statement (default: a plain signature)."
)
@click.option(
    "--predicate",
    "predicate_file",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="What the statement says: a JSON object.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the bundle of the one FILE goes (default: FILE.sigstore.json).",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    files: tuple[Path, ...],
    key: str | None,
    predicate_type: str | None,
    predicate_file: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Sign files, each with a Sigstore bundle beside it.

    The bundle holds a signed statement: the file's name, its sha256, and that the owner of the key
    signed it, or with --predicate-type and --predicate whatever is to be said of it. The same file
    and key give the same bundle, unless the key is in a token.

    \b
    hps sign dist/demo-1.0-py3-none-any.whl --key packages
    cosign verify-blob-attestation --key packages.pub --insecure-ignore-tlog \\
        --bundle demo-1.0-py3-none-any.whl.sigstore.json \\
        --type https://sigstore.dev/cosign/sign/v1 demo-1.0-py3-none-any.whl
    """
    del key, as_json
    from hps.release.file_signing import BUNDLE_ENDING, sign_file, write_bundle
    from hps.trust.predicates import SIGNATURE

    if (predicate_type is None) != (predicate_file is None):
        raise UsageError("--predicate-type and --predicate go together")
    if output is not None and len(files) != 1:
        raise UsageError("--output is for one file", got=f"{len(files)} files")
    predicate = {} if predicate_file is None else _predicate(predicate_file)
    signer = configured_signer(context)
    if signer is None:
        raise KeyUnusableError(
            "no key is configured",
            expected="--key NAME, HPS_KEY, or `key` in [signing] of hps.toml",
            hint="hps key generate NAME --role file makes a key",
        )
    done = []
    for file in files:
        bundle = sign_file(file, signer, predicate_type or SIGNATURE, predicate)
        place = output or file.with_name(file.name + BUNDLE_ENDING)
        write_bundle(bundle, place)
        done.append({"file": str(file), "bundle": str(place), "key": signer.public.fingerprint})
        if not wants_json(context):
            click.echo(place)
    if wants_json(context):
        report(done)


def _predicate(file: Path) -> dict[str, Any]:
    from hps import canonical

    try:
        with file.open("rb") as stream:
            value = canonical.loads(stream.read(_LARGEST + 1), max_bytes=_LARGEST)
    except (OSError, ValueError) as error:
        raise UsageError(f"the predicate {file} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(
            f"the predicate {file} is no JSON object",
            expected="an object",
            got=type(value).__name__,
        )
    return value
