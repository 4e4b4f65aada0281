"""`hps model verify`: whether a model is what somebody that is trusted has released."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.cli.options import json_option, report, wants_json
from hps.cli.policy import chosen_policy, policy_options
from hps.cli.verify import escaped
from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.model.policy import ModelPolicy
    from hps.model.verify import ModelVerdict


@click.command()
@click.argument(
    "things", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="WHAT..."
)
@policy_options
@click.option("--name", metavar="NAME", help="The model that it must be.")
@click.option("--channel", metavar="NAME", help="The channel that it must be for.")
@click.option(
    "--sequence", type=click.IntRange(1), metavar="N", help="The lowest number that is good."
)
@click.option(
    "--unsequenced",
    is_flag=True,
    help="Also take what model_signing signed, which has no name, number or end.",
)
@click.option(
    "--checksums",
    is_flag=True,
    help="Ask for no signature, only for SHA256SUMS in the folder.",
)
@click.option("--top", metavar="NAME", help="The folder in an archive that is the model.")
@json_option
@click.pass_context
def verify(
    context: click.Context,
    /,
    *,
    things: tuple[Path, ...],
    policy_file: Path | None,
    keys: tuple[Path, ...],
    checksums: bool,
    top: str | None,
    as_json: bool,
    **expected: Any,
) -> None:
    """Verify releases: folders, archives, or a model.sig alone.

    The manifest is verified first, then every file is hashed and held against it: nothing may be
    missing, changed or too much, no link or device among it. Give all models of a group at once.

    Exit code 0 means that all is good; else the sum of 8 (no manifest that can be read), 16 (no
    good signature), 32 (another model, channel or runtime), 64 (files), 128 (too old).

    \b
    hps model verify ocr --key models.pub
    hps model verify ocr-7.tar.gz --key models.pub --name ocr --channel stable
    """
    del as_json
    from hps.model.verify import Rules, exit_code, verify_models

    policy = _policy(context, policy_file, keys, things, checksums=checksums, **expected)
    verdicts = verify_models(things, Rules(policy, datetime.now(UTC), top))
    code = exit_code(verdicts)
    if wants_json(context):
        report({"verdicts": [one.as_json() for one in verdicts], "exit_code": code})
    else:
        click.echo("\n".join(line for one in verdicts for line in _lines(one)))
    context.exit(code)


def _policy(
    context: click.Context,
    policy_file: Path | None,
    keys: tuple[Path, ...],
    things: tuple[Path, ...],
    *,
    checksums: bool,
    name: str | None,
    channel: str | None,
    sequence: int | None,
    unsequenced: bool,
) -> "ModelPolicy":
    from hps.model.policy import ModelPolicy, Trust

    if checksums:
        if policy_file or keys or name or channel or sequence or unsequenced:
            raise UsageError("--checksums asks for nothing that is signed: it stands alone")
        return ModelPolicy(trust=Trust.CHECKSUMS)
    chosen, _ = chosen_policy(context, policy_file, keys, tuple(map(str, things)))
    return replace(
        ModelPolicy.of(chosen),
        name=name,
        channel=channel,
        first=sequence or 1,
        unsequenced=unsequenced,
    )


def _lines(verdict: "ModelVerdict") -> list[str]:
    """A verdict for people."""
    found = [f"{'good' if verdict.good else 'BAD '}  {escaped(verdict.what)}"]
    release = verdict.release
    if release is not None and release.sequence is not None and release.expires is not None:
        found.append(
            f"      {release.name}, channel {release.channel}, release {release.sequence}"
            f"{f' ({escaped(release.version)})' if release.version else ''}, "
            f"{len(release.files)} files, {release.size} bytes, until {release.expires:%Y-%m-%d}"
        )
    for one in verdict.refusals:
        path = f" ({escaped(one.path)})" if one.path else ""
        found.append(f"      {one.reason}{path}: {escaped(one.text)}")
    found += [f"      note: {escaped(note)}" for note in verdict.notes]
    return found
