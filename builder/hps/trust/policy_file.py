"""A policy as it lies on this disk, with the files of the keys that it names."""

from pathlib import Path
from typing import TYPE_CHECKING

from hps.errors import UsageError

if TYPE_CHECKING:
    from hps.trust.policy import Policy

POLICY = "hps-policy.toml"  # beside hps.toml
_LARGEST = 1 << 20  # bytes of a policy, and of a key that it names


def read_policy(path: Path) -> "Policy":
    """Read a policy; files that it names lie relative to it.

    Raises:
        UsageError: the policy cannot be read, or is too large.
        ConfigError: it is none, or a key of it cannot be read.
    """
    from hps.trust.policy import Policy  # noqa: PLC0415 - what knows keys takes time to load

    return Policy.parse(read_small(path), str(path), lambda name: read_small(path.parent / name))


def read_small(path: Path) -> bytes:
    """The bytes of a policy or public key; raises UsageError."""
    try:
        with path.open("rb") as reader:
            data = reader.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{path} is larger than {_LARGEST} bytes")
    return data
