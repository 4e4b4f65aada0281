"""Whose key signs: as the command line, the environment or hps.toml says."""

from collections.abc import Mapping

from hps.errors import KeyUnusableError
from hps.trust.key_store import KeyStore

VARIABLE = "HPS_KEY"


def configured_key(
    keys: KeyStore, *, option: str | None, environment: Mapping[str, str], setting: str | None
) -> str | None:
    """The name of the key that was asked for; None when none was.

    Args:
        keys: where it has to be.
        option: `--key`, which goes first.
        environment: HPS_KEY comes next.
        setting: `key` in `[signing]` of hps.toml.

    Raises:
        KeyUnusableError: one was asked for and is not there. Nothing goes on unsigned because
            of that; HPS_KEY that is set but empty counts as asked for.
    """
    for place, name in (
        ("--key", option),
        (VARIABLE, environment.get(VARIABLE)),
        ("key in [signing] of hps.toml", setting),
    ):
        if name is None:
            continue
        if not name:
            raise KeyUnusableError(f"{place} is empty", hint="name a key, or leave it away")
        try:
            keys.describe(name)
        except KeyUnusableError as error:
            raise KeyUnusableError(
                f"{error.message} ({place} asks for it)",
                expected=error.expected,
                got=error.got,
                hint=error.hint,
                details=error.details,
            ) from error
        return name
    return None
