"""`hps key`: make, import, list and export the keys that sign."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from hps.cli.options import json_option, report, wants_json
from hps.errors import KeyUnusableError, UsageError

if TYPE_CHECKING:
    from hps.trust.key_store import KeyDescription, KeyStore, Purpose
    from hps.trust.pkcs11_uri import KeyUri
    from hps.trust.public_key import PublicKey

F = TypeVar("F", bound=Callable[..., object])


def _purpose_options(function: F) -> F:
    options = (
        click.option(
            "--role",
            type=click.Choice(["build", "rebuild", "file", "model"]),
            default="build",
            show_default=True,
            help="What the key is for.",
        ),
        click.option(
            "--predicate",
            "predicates",
            multiple=True,
            metavar="URI",
            help="A kind of statement that the key may sign, instead of those of its role; "
            "may be repeated.",
        ),
        click.option(
            "--builder",
            default="",
            metavar="URI",
            help="The builder that provenance names (default: one called after the key).",
        ),
        click.option(
            "--token",
            metavar="URI",
            help="The key is in a PKCS#11 token: pkcs11:token=…;object=…?module-path=/….so",
        ),
        click.option(
            "--no-passphrase", is_flag=True, help="Write the private key unencrypted (mode 0600)."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group()
def command() -> None:
    """Make, import, list and export the keys that sign.

    A key has one role and a list of the kinds of statements that it may sign; it signs nothing
    else. `build` signs images, their provenance and SBOM; `rebuild` says that a rebuild gave the
    same image; `file` signs files; `model` signs model releases. All are ECDSA over P-256, which
    cosign, skopeo and openssl take.

    Keys are in $HPS_KEYS, else in the folder `hps/keys` of the user's configuration. A passphrase
    comes from HPS_KEY_PASSPHRASE, from the file that HPS_KEY_PASSPHRASE_FILE names, or from the
    terminal; the PIN of a token from the file of its pin-source, from HPS_KEY_PIN,
    HPS_KEY_PIN_FILE, or the terminal. Neither is ever an argument.

    \b
    hps key generate release                    make a key that signs builds
    hps build --key release                     sign with it
    hps key export release > release.pub        hand out the public half
    cosign verify --key release.pub IMAGE       what others do with it
    """


@command.command()
@click.argument("name", metavar="NAME")
@_purpose_options
@json_option
@click.pass_context
def generate(
    context: click.Context,
    *,
    name: str,
    role: str,
    predicates: tuple[str, ...],
    builder: str,
    token: str | None,
    no_passphrase: bool,
    as_json: bool,
) -> None:
    """Make a key; one that is there is never written over.

    \b
    hps key generate release
    hps key generate ci --no-passphrase
    hps key generate second --role rebuild
    hps key generate hsm --token 'pkcs11:token=release?module-path=/usr/lib/softhsm/libsofthsm2.so'
    """
    del as_json
    from hps.trust.file_key import FileKey

    keys, purpose = _start(name, role, predicates, builder)
    if token is not None:
        made = _in_token(keys, name, purpose, token, no_passphrase=no_passphrase, new=True)
    else:
        passphrase = None if no_passphrase else keys.secrets.new_passphrase(name)
        key = FileKey.generate()
        made = keys.add(name, purpose, key.public, key.pem(passphrase))
    _tell(context, made)


@command.command("import")
@click.argument("name", metavar="NAME")
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@_purpose_options
@json_option
@click.pass_context
def import_(
    context: click.Context,
    *,
    name: str,
    file: Path | None,
    role: str,
    predicates: tuple[str, ...],
    builder: str,
    token: str | None,
    no_passphrase: bool,
    as_json: bool,
) -> None:
    """Take over a key that others made.

    It is in a file (PKCS#8, PEM) that nobody else can read, or in a token. An encrypted key
    keeps its passphrase. Convert other forms with `openssl pkcs8 -topk8`.

    \b
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out old.pem
    hps key import release old.pem
    hps key import hsm --token 'pkcs11:token=release;object=signing?module-path=/….so'
    """
    del as_json
    keys, purpose = _start(name, role, predicates, builder)
    if (file is None) == (token is None):
        raise UsageError("a key is imported from FILE or from --token", got="both or neither")
    if token is not None:
        made = _in_token(keys, name, purpose, token, no_passphrase=no_passphrase, new=False)
    elif file is not None:
        made = _from_file(keys, name, purpose, file, no_passphrase=no_passphrase)
    _tell(context, made)


@command.command("list")
@json_option
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """List the keys.

    A line each: name, role, where the private half is, fingerprint (sha256 of the public half).
    A key that cannot be used is listed with its fault; exit code 2 then.
    """
    del as_json
    keys = _keys()
    found = [_described(keys, name) for name in keys.names()]
    faulty = [error for _, error in found if isinstance(error, KeyUnusableError)]
    if wants_json(context):
        report([_as_json(name, one) for name, one in found])
    else:
        for name, one in found:
            click.echo(_line(name, one))
        if not found:
            click.echo(f"no keys in {keys.folder}; hps key generate NAME makes one", err=True)
    context.exit(faulty[0].exit_code if faulty else 0)


def _described(keys: "KeyStore", name: str) -> "tuple[str, KeyDescription | KeyUnusableError]":
    try:
        return name, keys.describe(name)
    except KeyUnusableError as error:
        return name, error


def _as_json(name: str, one: "KeyDescription | KeyUnusableError") -> Mapping[str, object]:
    if isinstance(one, KeyUnusableError):
        return {"name": name, "fault": one.message}
    return one.as_json()


def _line(name: str, one: "KeyDescription | KeyUnusableError") -> str:
    if isinstance(one, KeyUnusableError):
        return f"{name}  faulty  {one.message}"
    kind = "file" if one.token is None else "token"
    return f"{name}  {one.purpose.role}  {kind}  {one.public.fingerprint}"


@command.command()
@click.argument("name", metavar="NAME")
@json_option
@click.pass_context
def show(context: click.Context, name: str, *, as_json: bool) -> None:
    """Show what a key may sign.

    And its fingerprint, its role, and where its private half is, which is not opened.
    """
    del as_json
    found = _keys().describe(name)
    if wants_json(context):
        report(found.as_json())
        return
    for label, value in found.as_json().items():
        for line in value if isinstance(value, list) else [value]:
            click.echo(f"{label:<12} {line}")


@command.command()
@click.argument("name", metavar="NAME")
@click.option("--der", is_flag=True, help="As DER instead of PEM.")
def export(name: str, *, der: bool) -> None:
    """Print the public half of a key.

    It is what others verify with: SubjectPublicKeyInfo, as PEM.

    \b
    hps key export release > release.pub
    cosign verify --key release.pub IMAGE
    """
    public = _keys().describe(name).public
    click.echo(public.der if der else public.pem, nl=False)


def _keys() -> "KeyStore":
    from hps.trust.key_store import KeyStore

    return KeyStore.default()


def _start(
    name: str, role: str, predicates: tuple[str, ...], builder: str
) -> tuple["KeyStore", "Purpose"]:
    """What needs no secret, before somebody is asked for one."""
    from hps.trust.key_store import Purpose

    keys = _keys()
    purpose = Purpose.of(role, predicates, builder)
    keys.check_free(name)
    return keys, purpose


def _from_file(
    keys: "KeyStore", name: str, purpose: "Purpose", file: Path, *, no_passphrase: bool
) -> "KeyDescription":
    from hps.trust.file_key import FileKey
    from hps.trust.private_file import read_private

    try:
        data = read_private(file)
    except FileNotFoundError as error:
        raise UsageError(f"there is no {file}") from error
    locked = False

    def passphrase() -> bytes:
        nonlocal locked
        locked = True
        return keys.secrets.passphrase(str(file))

    key = FileKey.from_pem(data, passphrase)
    if not locked and not no_passphrase:
        data = key.pem(keys.secrets.new_passphrase(name))
    if locked and no_passphrase:
        raise UsageError(
            f"{file} is encrypted, and stays so",
            hint="leave --no-passphrase away; openssl pkcs8 -topk8 -nocrypt decrypts it",
        )
    return keys.add(name, purpose, key.public, data)


def _in_token(
    keys: "KeyStore", name: str, purpose: "Purpose", uri: str, *, no_passphrase: bool, new: bool
) -> "KeyDescription":
    from hps.trust import pkcs11
    from hps.trust.pkcs11_uri import KeyUri

    if no_passphrase:
        raise UsageError("a token has a PIN of its own: --no-passphrase means nothing to it")
    place = KeyUri.parse(uri)
    pin = keys.secrets.pin(place)

    def make() -> tuple["KeyUri", "PublicKey"]:
        return pkcs11.generate(place, name, pin) if new else pkcs11.find(place, pin)

    return keys.add_token(name, purpose, make)


def _tell(context: click.Context, made: "KeyDescription") -> None:
    if wants_json(context):
        report(made.as_json())
        return
    click.echo(f"{made.name}  {made.purpose.role}  {made.public.fingerprint}")
    if sys.stderr.isatty():
        click.echo(f"hps key export {made.name} prints the public half", err=True)
