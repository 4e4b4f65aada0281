"""`hps model pack` and `hps model sign`: folders become signed releases."""

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hps.cli.options import configured_signer, json_option, key_option, report, wants_json
from hps.errors import KeyUnusableError, UsageError

if TYPE_CHECKING:
    from hps.model.archive import Form
    from hps.model.probe import Probe
    from hps.model.release import ModelRelease
    from hps.trust.authorised import AuthorisedSigner

_F = TypeVar("_F", bound=Callable[..., Any])
_FORMS = ("tar.gz", "tar", "tar.zst", "zip")
_LIFE = re.compile(r"([1-9][0-9]{0,4})([hd])")
_EPOCH = "SOURCE_DATE_EPOCH"  # reproducible-builds.org, specs/source-date-epoch
_FOLDERS = click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR..."
)


def _archive_options(form: str) -> Callable[[_F], _F]:
    """Where archives go, and what they are unless somebody says so."""

    def decorate(function: _F) -> _F:
        for option in (
            click.option(
                "--top",
                default="",
                metavar="NAME",
                help="A folder in the archive that holds everything: what --unpacked_filename "
                "names.",
            ),
            click.option(
                "-o",
                "--output",
                type=click.Path(file_okay=False, path_type=Path),
                default=Path(),
                metavar="FOLDER",
                help="Where the archives go (default: the current folder).",
            ),
            click.option(
                "--format",
                "form",
                type=click.Choice([*_FORMS, "none"]),
                default=form,
                show_default=True,
                help="Of the archives; none: only write the manifest into DIR.",
            ),
        ):
            function = option(function)
        return function

    return decorate


@click.command()
@_FOLDERS
@click.option("--name", metavar="NAME", help="Of the model (default: the name of DIR).")
@click.option(
    "--channel", default="stable", show_default=True, metavar="NAME", help="For whom it is."
)
@click.option(
    "--sequence",
    type=click.IntRange(1, 2**52),
    metavar="N",
    help="The number of the release; monitors take none that is lower than the last.",
)
@click.option(
    "--next",
    "following",
    is_flag=True,
    help="Instead: one more than in the model.sig of DIR, which is replaced.",
)
@click.option(
    "--expires",
    default="365d",
    show_default=True,
    metavar="WHEN",
    help="After how many hours or days (12h, 90d), or at which time (2027-01-31T00:00:00Z), no "
    "monitor takes it for new any more.",
)
@click.option("--version", default="", metavar="TEXT", help="For people.")
@click.option(
    "--probe",
    "probes",
    multiple=True,
    metavar="[NAME=]FILE",
    help="An inference that it must answer before it goes live: JSON with inputs, outputs and "
    "tolerance. NAME says of which model, with several.",
)
@click.option(
    "--runtime",
    "needed",
    multiple=True,
    metavar="KEY=VERSION",
    help="What it needs of its server, as a version or like '>=3.7,<4'; may be repeated.",
)
@click.option("--group", metavar="NAME", help="Several DIR that go live together or not at all.")
@key_option
@_archive_options("tar.gz")
@json_option
@click.pass_context
def pack(
    context: click.Context,
    *,
    folders: tuple[Path, ...],
    name: str | None,
    channel: str,
    sequence: int | None,
    following: bool,
    expires: str,
    version: str,
    probes: tuple[str, ...],
    needed: tuple[str, ...],
    group: str | None,
    key: str | None,
    form: str,
    output: Path,
    top: str,
    as_json: bool,
) -> None:
    """Make a release of a folder: DIR/model.sig, and an archive NAME-NUMBER.tar.gz.

    The same folder, options and key give the same bytes when SOURCE_DATE_EPOCH says when it was
    issued, unless the key is in a token.

    \b
    hps key generate models --role model
    hps model pack ocr --sequence 1 --key models
    hps model pack ocr --next --key models --probe probe.json --runtime 'paddlex=>=3.7,<4'
    model_signing verify key ocr --signature ocr/model.sig --public_key models.pub
    """
    del key, as_json
    from hps.model.pack import Model, Terms, sign_models

    _check_pack(folders, name=name, group=group, numbered=sequence is not None, next_=following)
    models = [Model(name or one.resolve().name, one) for one in folders]
    given = _probes(probes, [one.name for one in models])
    models = [Model(one.name, one.folder, given.get(one.name)) for one in models]
    issued = _issued()
    terms = Terms(
        channel=channel,
        sequence=sequence or _next(folders),
        issued=issued,
        expires=_expires(expires, issued),
        version=version,
        runtime=_pairs(needed),
    )
    releases = sign_models(models, terms, _signer(context), group=group)
    done = [
        _packed(release, one.folder, form, output, top)
        for release, one in zip(releases, models, strict=True)
    ]
    _tell(context, done)


@click.command()
@_FOLDERS
@key_option
@_archive_options("none")
@json_option
@click.pass_context
def sign(
    context: click.Context,
    *,
    folders: tuple[Path, ...],
    key: str | None,
    form: str,
    output: Path,
    top: str,
    as_json: bool,
) -> None:
    """Sign releases with a further key: DIR/model.KEY.sig.

    For policies that want several keys. Each folder is held against its model.sig first; with
    --format an archive with all signatures is written.

    \b
    hps model pack ocr --next --key models --format none
    hps model sign ocr --key ann --format tar.gz
    """
    del key, as_json
    from hps.model.pack import add_signature

    signer = _signer(context)
    done = []
    for folder in folders:
        release, name = add_signature(folder, signer)
        done.append(_packed(release, folder, form, output, top, manifest=name))
    _tell(context, done)


def _tell(context: click.Context, done: list[dict[str, Any]]) -> None:
    if wants_json(context):
        report(done)
        return
    for one in done:
        click.echo(one["archive"]["path"] if one["archive"] else one["manifest"])


def _check_pack(
    folders: tuple[Path, ...], *, name: str | None, group: str | None, numbered: bool, next_: bool
) -> None:
    if numbered == next_:
        raise UsageError(
            "a release needs its number",
            expected="--sequence N, or --next",
            hint="--sequence 1 for the first, --next for those that follow",
        )
    if len(folders) > 1 and group is None:
        raise UsageError("several models are released together with --group NAME")
    if len(folders) > 1 and name is not None:
        raise UsageError("--name is for one DIR; several are called after their folders")


def _next(folders: tuple[Path, ...]) -> int:
    from hps.model.folder_manifests import next_sequence

    return max(next_sequence(one) for one in folders)


def _signer(context: click.Context) -> "AuthorisedSigner":
    signer = configured_signer(context)
    if signer is None:
        raise KeyUnusableError(
            "no key is configured",
            expected="--key NAME, HPS_KEY, or `key` in [signing] of hps.toml",
            hint="hps key generate NAME --role model makes a key",
        )
    return signer


def _issued() -> datetime:
    epoch = os.environ.get(_EPOCH)
    if epoch is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{_EPOCH} is no time", expected="seconds since 1970", got=epoch
        ) from error


def _expires(text: str, issued: datetime) -> datetime:
    from hps.model.release import read_time

    if life := _LIFE.fullmatch(text):
        unit = timedelta(hours=1) if life[2] == "h" else timedelta(days=1)
        return issued + int(life[1]) * unit
    try:
        return read_time(text, "--expires")
    except ValueError as error:
        raise UsageError(
            "--expires cannot be read", expected="12h, 90d, or 2027-01-31T00:00:00Z", got=text
        ) from error


def _pairs(words: tuple[str, ...]) -> Mapping[str, str]:
    found = {}
    for word in words:
        key, mark, value = word.partition("=")
        if not mark or not key or not value or key in found:
            raise UsageError("--runtime cannot be read", expected="KEY=VERSION, once", got=word)
        found[key] = value
    return found


def _probes(words: tuple[str, ...], names: list[str]) -> "Mapping[str, Probe]":
    from hps.model.probe import LARGEST, Probe

    found: dict[str, Probe] = {}
    for word in words:
        name, mark, file = word.partition("=")
        if not mark or name not in names:
            name, file = names[0], word
            if len(names) > 1:
                raise UsageError("--probe must say of which model", expected="NAME=FILE", got=word)
        try:
            with Path(file).open("rb") as reader:
                found[name] = Probe.from_file(reader.read(LARGEST + 1))
        except (OSError, ValueError) as error:
            raise UsageError(f"the probe {file} cannot be used", got=error) from error
    return found


def _packed(
    release: "ModelRelease",
    folder: Path,
    form: str,
    output: Path,
    top: str,
    *,
    manifest: str = "model.sig",
) -> dict[str, Any]:
    """Write the archive of a signed folder; what is reported about it."""
    done: dict[str, Any] = {
        "model": release.name,
        "sequence": release.sequence,
        "identity": str(release.identity),
        "manifest": str(folder / manifest),
        "archive": None,
    }
    if form != "none":
        from hps.model.archive import Form

        done["archive"] = _archive(release, folder, Form(form), output, top)
    return done


def _archive(
    release: "ModelRelease", folder: Path, form: "Form", output: Path, top: str
) -> dict[str, Any]:
    from hps.model.archive import write_archive
    from hps.model.folder import is_manifest
    from hps.model.pack import check_packed
    from hps.model.release import ReleaseFile

    path = output / f"{release.name}-{release.sequence}.{form}"
    written = write_archive(folder, path, form=form, top=top)
    files = [
        ReleaseFile(one.path, one.digest, one.size, one.mode)
        for one in written.files
        if not is_manifest(one.path)
    ]
    check_packed(release, files, path)
    return {"path": str(path), "sha256": written.digest.hex, "size": written.size}
