"""in-toto statements: what is said (a predicate) about which bytes (subjects).

in-toto attestation framework, spec/v1/statement.md and resource_descriptor.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hps import canonical
from hps.digest import Digest
from hps.errors import MalformedError
from hps.oci.shape import fields, items, text
from hps.trust.predicates import OLDER_STATEMENT_TYPE, STATEMENT_TYPE

_MOST_SUBJECTS = 10_000
_LARGEST = 64 << 20  # bytes; a large SBOM has a few
_DESCRIPTOR = ("name", "uri", "content", "downloadLocation", "mediaType", "annotations")


@dataclass(frozen=True, slots=True)
class About:
    """One subject: its name, and the sha256 by which it is known."""

    name: str
    digest: Digest
    annotations: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about which bytes.

    Args:
        subjects: at least one; matched by digest, never by name.
        predicate_type: a URI.
        predicate: a JSON object.
    """

    subjects: tuple[About, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a statement whose signature has been verified.

        Raises:
            MalformedError: it is no statement of version 1 or 0.1.
        """
        try:
            found = fields(
                canonical.loads(data, max_bytes=_LARGEST),
                "statement",
                ("_type", "subject", "predicateType"),
                ("predicate",),
            )
            if found["_type"] not in (STATEMENT_TYPE, OLDER_STATEMENT_TYPE):
                raise ValueError(f"another type of statement: {found['_type']!r}")  # noqa: TRY301
            subjects = items(found["subject"], "subject", least=1, most=_MOST_SUBJECTS)
            predicate = found.get("predicate", {})
            if not isinstance(predicate, dict):
                raise ValueError("predicate is not an object")  # noqa: TRY301, TRY004
            return cls(
                tuple(_about(one) for one in subjects),
                text(found["predicateType"], "predicateType"),
                predicate,
            )
        except ValueError as error:
            raise MalformedError("a statement cannot be read", got=error) from error

    def as_bytes(self) -> bytes:
        """The one form in which hps signs it."""
        return canonical.dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [_descriptor(one) for one in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )


def _about(value: object) -> About:
    found = fields(value, "subject", ("digest",), _DESCRIPTOR)
    digests = found["digest"]
    if not isinstance(digests, dict) or not digests:
        raise ValueError("a subject has no digests")
    for algorithm, hexadecimal in digests.items():
        if text(hexadecimal, algorithm) != hexadecimal.lower():
            raise ValueError(f"the digest {algorithm} is not in lower case")
    if "sha256" not in digests:
        raise ValueError("a subject has no sha256")
    annotations = found.get("annotations", {})
    if not isinstance(annotations, dict):
        raise ValueError("annotations is not an object")  # noqa: TRY004 - one kind of fault
    return About(text(found.get("name", ""), "name"), Digest(digests["sha256"]), annotations)


def _descriptor(about: About) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": {"sha256": about.digest.hex}}
    if about.name:
        found["name"] = about.name
    if about.annotations:
        found["annotations"] = dict(about.annotations)
    return found
