"""Whom to trust, as the command line, the project or the user says."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hps.errors import UsageError
from hps.trust.policy_file import POLICY, read_policy, read_small

if TYPE_CHECKING:
    from hps.trust.policy import Policy

F = TypeVar("F", bound=Callable[..., Any])


def policy_options(function: F) -> F:
    """`--policy` and `--key`."""
    key = click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="PUB.pem",
        help="Trust this public key instead of a policy; given more than once, any of them.",
    )
    policy = click.option(
        "--policy",
        "policy_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Whom to trust (default: {POLICY} beside hps.toml, else policy.toml in the user's "
        "configuration folder).",
    )
    return policy(key(function))


def chosen_policy(
    context: click.Context, given: Path | None, keys: tuple[Path, ...], things: tuple[str, ...]
) -> "tuple[Policy, str]":
    """The policy that the options ask for, else the configured one, and what it is called.

    Raises:
        UsageError: they contradict each other, none is configured, it cannot be read, or lies in
            what it should judge.
    """
    found = policy_if_any(context, given, keys, things)
    if found is None:
        raise UsageError(
            "no policy says whom to trust",
            expected=f"--policy FILE, --key PUB.pem, {POLICY} beside hps.toml, or {_of_user()}",
            hint="get the public key from its owner, then try --key PUB.pem; as a policy, that "
            "is:\n"
            '  version = 1\n  [keys.release]\n  public = "PUB.pem"',
        )
    return found


def policy_if_any(
    context: click.Context, given: Path | None, keys: tuple[Path, ...], things: tuple[str, ...] = ()
) -> "tuple[Policy, str] | None":
    """As `chosen_policy`; None when nothing is asked for and none is configured."""
    if given is not None and keys:
        raise UsageError("--policy and --key exclude each other")
    if keys:
        return _policy_of_keys(keys), "--key " + " --key ".join(map(str, keys))
    path = given or _configured(context.find_root().obj["directory"])
    if path is None:
        return None
    for thing in things:
        if Path(thing).is_dir() and path.resolve().is_relative_to(Path(thing).resolve()):
            raise UsageError(
                f"the policy {path} lies in {thing}, which it should judge",
                hint="keep it elsewhere, and name it with --policy",
            )
    return read_policy(path), str(path)


def _policy_of_keys(paths: tuple[Path, ...]) -> "Policy":
    from hps.trust.policy import Policy
    from hps.trust.public_key import PublicKey

    found: dict[str, PublicKey] = {}
    for path in paths:
        key = PublicKey.from_pem(read_small(path))
        if found.setdefault(path.name, key) != key:
            found[str(path)] = key
    return Policy.of_keys(found)


def _configured(project: Path) -> Path | None:
    beside, user = project / POLICY, _of_user()
    if (project / "hps.toml").is_file() and beside.is_file():
        return beside
    return user if user.is_file() else None


def _of_user() -> Path:
    import platformdirs

    return platformdirs.user_config_path("hps") / "policy.toml"
