"""Policy: whose statements must be there before something is used. Read from a TOML file.

Trusted keys come from here alone, never from what is verified.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hps.config.load import DEEP_KEY
from hps.errors import ConfigError, KeyUnusableError
from hps.trust.predicates import PROVENANCE, ROLES, SBOM, SIGNATURE
from hps.trust.public_key import PublicKey

SHORT = {"provenance": PROVENANCE, "sbom": SBOM, "signature": SIGNATURE}
_LARGEST = 1 << 20  # bytes of a policy file
Name = Annotated[str, Field(min_length=1, max_length=100)]


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
    """Trusted keys, and what must be there."""

    keys: tuple[TrustedKey, ...]
    requirements: tuple[Requirement, ...]
    allow_unsigned: bool = False

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
            if len(data) > _LARGEST:
                raise ValueError(f"longer than {_LARGEST} bytes")  # noqa: TRY301
            text = data.decode("utf-8")
            if DEEP_KEY.search(text):  # tomllib takes quadratic time for it
                raise ValueError("a key has more parts than any honest one")  # noqa: TRY301
            document = _Document.model_validate(tomllib.loads(text))
        except ValidationError as error:
            raise _faulty(where, tuple(_line(fault) for fault in error.errors())) from error
        except (ValueError, RecursionError) as error:
            raise _faulty(where, (str(error),)) from error
        keys, faults = [], []
        for name, key in document.keys.items():
            try:
                public = PublicKey.from_pem(_pem(key.public, read))
            except (OSError, KeyUnusableError) as error:
                text = error.message if isinstance(error, KeyUnusableError) else str(error)
                faults.append(f"keys.{name}.public: {text}")
                continue
            predicates = key.predicates or ROLES[key.role]
            keys.append(TrustedKey(name, public, tuple(_uri(one) for one in predicates)))
        faults += _contradictions(document) + _twice(keys)
        if faults:
            raise _faulty(where, tuple(faults))
        return cls(
            tuple(keys),
            tuple(_requirement(one, keys) for one in document.require),
            document.unsigned == "allow",
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Key(_Strict):
    public: str = Field(min_length=1)
    role: Literal["build", "rebuild", "file"] = "build"
    predicates: list[str] = Field(default_factory=list)


class _Require(_Strict):
    predicate: str = Field(min_length=1)
    keys: list[Name] = Field(default_factory=list)
    threshold: int = Field(1, ge=1, le=100)
    builders: list[str] = Field(default_factory=list)


class _Document(_Strict):
    version: Literal[1]
    unsigned: Literal["refuse", "allow"] = "refuse"
    keys: dict[Name, _Key] = Field(default_factory=dict)
    require: list[_Require] = Field(default_factory=lambda: [_Require(predicate="signature")])


def _pem(text: str, read: Callable[[str], bytes]) -> bytes:
    return text.encode() if "-----BEGIN" in text else read(text)


def _uri(name: str) -> str:
    return SHORT.get(name, name)


def _requirement(one: _Require, keys: list[TrustedKey]) -> Requirement:
    predicate = _uri(one.predicate)
    able = tuple(key.name for key in keys if predicate in key.predicates)
    return Requirement(predicate, tuple(one.keys) or able, one.threshold, tuple(one.builders))


def _contradictions(document: _Document) -> list[str]:
    faults = []
    for number, one in enumerate(document.require):
        where = f"require.{number}"
        faults += [
            f"{where}.keys: there is no key {name}"
            for name in one.keys
            if name not in document.keys
        ]
        possible = len(set(one.keys)) if one.keys else len(document.keys)
        if one.threshold > possible > 0:
            faults.append(f"{where}.threshold: {one.threshold} of {possible} keys can never sign")
        if one.builders and _uri(one.predicate) != PROVENANCE:
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


def _line(fault: object) -> str:
    found = dict(fault) if isinstance(fault, dict) else {}
    where = ".".join(str(part) for part in found.get("loc", ()))
    return f"{where or 'document'}: {found.get('msg')}"


def _faulty(where: str, faults: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        f"the policy {where} cannot be used",
        details=faults,
        hint="docs/reference/policy.md shows every field",
    )
