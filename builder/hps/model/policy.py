"""The rules for one model on one host, and what the host remembers of its releases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from hps.digest import Digest
from hps.errors import ConfigError
from hps.model.release import LAST_SEQUENCE, read_time, time_text
from hps.oci.shape import fields, items, text
from hps.trust.policy import Policy, TrustedKey
from hps.trust.predicates import MODEL

_MOST_KEYS = 1000


class Trust(StrEnum):
    """What a model must bring along before it goes live."""

    SIGNATURE = "require-signature"
    CHECKSUMS = "checksums"
    OFFERED = "offered"  # whatever checksums it has; those that are there must hold
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """The rules for one model on one host.

    Args:
        name: of the model; a release of another is refused. None takes any.
        channel: likewise.
        trust: what it must bring along.
        keys: public keys, and what they may sign.
        threshold: how many different of them must have signed.
        revoked: fingerprints of keys that count no more, whoever still lists them.
        unsequenced: also take what model_signing signed, which has no name, number or end; until
            a numbered release was accepted.
        grace: for how long after its end a release is still taken.
        skew: by how much clocks may differ.
        leap: by how much a sequence number may grow at once; None: by anything.
        first: the lowest sequence number, for hosts that have seen none yet.
        forget_with_keys: forget the last sequence number when no key that signed it is trusted
            any more. It is how one gets out of a number that was far too high.
        runtime: what this host has, by the keys of `ModelRelease.runtime`; None: not looked at.
    """

    name: str | None = None
    channel: str | None = None
    trust: Trust = Trust.SIGNATURE
    keys: tuple[TrustedKey, ...] = ()
    threshold: int = 1
    revoked: frozenset[str] = frozenset()
    unsequenced: bool = False
    grace: timedelta = timedelta(0)
    skew: timedelta = timedelta(minutes=5)
    leap: int | None = None
    first: int = 1
    forget_with_keys: bool = False
    runtime: Mapping[str, str] | None = None

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """The keys of a policy file, and how many of them it asks for.

        What it requires of model releases (`predicate = "model"`) says which keys count and how
        many; without that any one key counts that may sign them.

        Raises:
            ConfigError: it requires several such things: a release has one set of signers.
        """
        required = [one for one in policy.requirements if one.predicate_type == MODEL]
        if len(required) > 1:
            raise ConfigError("the policy requires more than one thing of model releases")
        if not required:
            return cls(keys=policy.keys)
        keys = tuple(key for key in policy.keys if key.name in required[0].keys)
        return cls(keys=keys, threshold=required[0].threshold)

    def counts(self, key: TrustedKey) -> bool:
        """Whether a signature of this key makes a release good."""
        return MODEL in key.predicates and key.public.fingerprint not in self.revoked

    @property
    def counting(self) -> frozenset[str]:
        """Fingerprints of the keys whose signatures make a release good."""
        return frozenset(key.public.fingerprint for key in self.keys if self.counts(key))


@dataclass(frozen=True, slots=True)
class Known:
    """What a host remembers of the releases of one model that it has accepted.

    Args:
        sequence: the highest; 0 when there was none.
        identity: of that release.
        keys: fingerprints of the keys that signed it.
        floor: the latest time at which one was issued: signed, unlike the time of this host, and
            no clock that is right shows an earlier one.
    """

    sequence: int = 0
    identity: Digest | None = None
    keys: frozenset[str] = frozenset()
    floor: datetime | None = None

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `as_json` gave; raises ValueError."""
        found = fields(value, "known", ("sequence", "identity", "keys", "floor"))
        sequence, identity, floor = found["sequence"], found["identity"], found["floor"]
        if type(sequence) is not int or not 0 <= sequence <= LAST_SEQUENCE:
            raise ValueError("known.sequence is not a sequence number")
        keys = items(found["keys"], "known.keys", most=_MOST_KEYS)
        return cls(
            sequence,
            None if identity is None else Digest.parse(text(identity, "known.identity")),
            frozenset(text(one, "known.keys") for one in keys),
            None if floor is None else read_time(floor, "known.floor"),
        )

    def as_json(self) -> dict[str, Any]:
        """To be kept until the next time."""
        return {
            "sequence": self.sequence,
            "identity": None if self.identity is None else str(self.identity),
            "keys": sorted(self.keys),
            "floor": None if self.floor is None else time_text(self.floor),
        }


@dataclass(frozen=True, slots=True)
class Allowance:
    """An operator's word that one older release may go live.

    It waives the order of releases and their end, and nothing else.

    Args:
        identity: of the release.
        by: who said so.
        why: what for.
    """

    identity: Digest
    by: str
    why: str = ""
