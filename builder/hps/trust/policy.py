"""Policy: whose statements must be there before something is used. Read from a TOML file.

Trusted keys come from here alone, never from what is verified.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from hps.config.deep_key import DEEP_KEY
from hps.errors import ConfigError, KeyUnusableError
from hps.trust.json_schema import faults as schema_faults
from hps.trust.policy_schema import SCHEMA
from hps.trust.predicates import MODEL, PROVENANCE, ROLES, SBOM, SIGNATURE, TRACE
from hps.trust.public_key import PublicKey

SHORT = {
    "provenance": PROVENANCE,
    "sbom": SBOM,
    "signature": SIGNATURE,
    "model": MODEL,
    "trace": TRACE,
}
_LARGEST = 1 << 20  # bytes of a policy file
_ANY_SIGNATURE = ({"predicate": "signature"},)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key, and which statements count when it made them."""

    name: str
    public: PublicKey
    predicates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A statement that must be there.

    Args:
        predicate_type: its kind, a URI.
        keys: names of the keys that count.
        threshold: how many of them must have made it, counted by key.
        builders: for provenance: which builders are allowed; empty allows all.
    """

    predicate_type: str
    keys: tuple[str, ...]
    threshold: int = 1
    builders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Trusted keys, and what must be there.

    Args:
        keys: whose statements count.
        requirements: of what is verified.
        allow_unsigned: what lies beside nothing is good.
        traces: what is asked of traces of shared caches, which are about no image or file.
    """

    keys: tuple[TrustedKey, ...]
    requirements: tuple[Requirement, ...]
    allow_unsigned: bool = False
    traces: tuple[Requirement, ...] = ()

    @classmethod
    def of_keys(cls, keys: Mapping[str, PublicKey]) -> Self:
        """Any of these keys must have signed; they may make every statement that hps knows."""
        every = tuple(dict.fromkeys(one for role in ROLES.values() for one in role))
        trusted = tuple(TrustedKey(name, public, every) for name, public in keys.items())
        return cls(trusted, (Requirement(SIGNATURE, tuple(keys)),))

    @classmethod
    def parse(cls, data: bytes, where: str, read: Callable[[str], bytes]) -> Self:
        """Read a policy.

        Args:
            data: the file.
            where: its name, for errors.
            read: gives the bytes of a key file that the policy names.

        Raises:
            ConfigError: it is none; every fault is in `details`.
        """
        try:
            document = _document(data)
        except (ValueError, RecursionError) as error:
            raise _faulty(where, (str(error),)) from error
        if faults := list(schema_faults(document, SCHEMA)):
            raise _faulty(where, tuple(faults))
        keys = []
        for name, key in document.get("keys", {}).items():
            try:
                public = PublicKey.from_pem(_pem(key["public"], read))
            except (OSError, KeyUnusableError) as error:
                text = error.message if isinstance(error, KeyUnusableError) else str(error)
                faults.append(f"keys.{name}.public: {text}")
                continue
            predicates = key.get("predicates") or ROLES[key.get("role", "build")]
            keys.append(TrustedKey(name, public, tuple(_uri(one) for one in predicates)))
        required = [_required(one) for one in document.get("require", _ANY_SIGNATURE)]
        faults += _contradictions(required, document.get("keys", {})) + _twice(keys)
        if faults:
            raise _faulty(where, tuple(faults))
        asked = [_of_able_keys(one, keys) for one in required]
        return cls(
            tuple(keys),
            tuple(one for one in asked if one.predicate_type != TRACE),
            document.get("unsigned") == "allow",
            tuple(one for one in asked if one.predicate_type == TRACE),
        )


def _document(data: bytes) -> dict[str, Any]:
    if len(data) > _LARGEST:
        raise ValueError(f"longer than {_LARGEST} bytes")
    text = data.decode("utf-8")
    if DEEP_KEY.search(text):  # tomllib takes quadratic time for it
        raise ValueError("a key has more parts than any honest one")
    return tomllib.loads(text)


def _pem(text: str, read: Callable[[str], bytes]) -> bytes:
    return text.encode() if "-----BEGIN" in text else read(text)


def _uri(name: str) -> str:
    return SHORT.get(name, name)


def _required(table: Mapping[str, Any]) -> Requirement:
    return Requirement(
        _uri(table["predicate"]),
        tuple(table.get("keys", ())),
        table.get("threshold", 1),
        tuple(table.get("builders", ())),
    )


def _of_able_keys(one: Requirement, keys: list[TrustedKey]) -> Requirement:
    """Without keys of its own, those count that may make such statements."""
    able = tuple(key.name for key in keys if one.predicate_type in key.predicates)
    return replace(one, keys=one.keys or able)


def _contradictions(required: list[Requirement], keys: Mapping[str, object]) -> list[str]:
    faults = []
    for number, one in enumerate(required):
        where = f"require.{number}"
        faults += [f"{where}.keys: there is no key {name}" for name in one.keys if name not in keys]
        possible = len(set(one.keys)) if one.keys else len(keys)
        if one.threshold > possible > 0:
            faults.append(f"{where}.threshold: {one.threshold} of {possible} keys can never sign")
        if one.builders and one.predicate_type != PROVENANCE:
            faults.append(f"{where}.builders: only provenance names a builder")
    return faults


def _twice(keys: list[TrustedKey]) -> list[str]:
    """Keys under two names: a threshold would seem to be met by one person."""
    names: dict[str, str] = {}
    faults = []
    for key in keys:
        other = names.setdefault(key.public.fingerprint, key.name)
        if other != key.name:
            faults.append(f"keys.{key.name}: it is the same key as {other}")
    return faults


def _faulty(where: str, faults: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"the policy {where} cannot be used",
        details=faults,
        hint="docs/reference/policy.md shows every field",
    )
