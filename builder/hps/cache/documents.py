"""The documents of a shared cache, version 1: what they say, and what they are called. Pure.

A trace says what a derivation came out as, signed. A parcel says under which digest and in which
packing the bytes of an output lie in the cache; nobody signs it, because it proves nothing: what
is unpacked has to have the digest that was asked for. Both formats: docs/reference/cache.md.
"""

from dataclasses import dataclass
from typing import Literal, Self, cast

from hps import canonical
from hps.cache.expectation import Outputs
from hps.digest import Blob, Digest
from hps.errors import MalformedError
from hps.oci.shape import Members
from hps.trust.predicates import TRACE
from hps.trust.statement import About, Statement

TRACE_LIMIT = 1 << 20  # bytes of a signed trace; a thousand outputs take a quarter of it
PARCEL_LIMIT = 1 << 14  # bytes of a parcel's document
LARGEST = 1 << 40  # bytes of an output
_VERSION = 1
_MOST_OUTPUTS = 1000
_HINT = 32  # digits of a fingerprint in a name: tells keys apart, proves nothing
# What zstd adds at most to bytes that it cannot make smaller (ZSTD_COMPRESSBOUND), and its frame.
_SLACK = 1 << 10

Encoding = Literal["identity", "zstd"]


def trace_name(derivation: Digest, fingerprint: str) -> str:
    """Where the trace of a derivation lies that this key has signed.

    Whoever asks knows the keys that it trusts, so a cache needs no lists, and what strangers lay
    there is never looked at.
    """
    return f"v1/traces/{derivation.hex}/{fingerprint[:_HINT]}"


def parcel_name(output: Digest) -> str:
    """Where the document of the parcel lies that holds these bytes."""
    return f"v1/parcels/{output.hex}"


@dataclass(frozen=True, slots=True)
class Parcel:
    """The bytes of an output as they lie in a cache.

    Args:
        encoding: how they are packed.
        plain: the output.
        wire: what lies in the cache.
    """

    encoding: Encoding
    plain: Blob
    wire: Blob

    @classmethod
    def from_bytes(cls, data: bytes, plain: Blob) -> Self:
        """Read the document of a parcel that should hold this output.

        Raises:
            MalformedError: it is none, is about something else, or cannot be true.
        """
        try:
            found = Members(canonical.loads(data, max_bytes=PARCEL_LIMIT), "parcel")
            found.constant("version", _VERSION)
            encoding = found.text("encoding")
            if encoding not in ("identity", "zstd"):
                raise ValueError(f"an encoding that nobody knows: {encoding[:20]!r}")  # noqa: TRY301
            about = found.one("plain", _blob)
            wire = found.one("wire", _blob)
            if about != plain:
                raise ValueError(f"it is about {about.digest} of {about.size} bytes")  # noqa: TRY301
            if encoding == "identity" and wire != plain:
                raise ValueError("what is not packed has another digest or size")  # noqa: TRY301
            if wire.size > plain.size + (plain.size >> 7) + _SLACK:
                raise ValueError(f"packed it has {wire.size} bytes, more than plain")  # noqa: TRY301
        except ValueError as error:
            raise MalformedError(
                f"the document of a parcel for {plain.digest} cannot be used", got=error
            ) from error
        return cls(cast("Encoding", encoding), plain, wire)

    def as_bytes(self) -> bytes:
        """The one form in which hps writes it."""
        return canonical.dumps(
            {
                "version": _VERSION,
                "encoding": self.encoding,
                "plain": _described(self.plain),
                "wire": _described(self.wire),
            }
        )


def trace_statement(derivation: Digest, label: str, outputs: Outputs) -> Statement:
    """What is signed about a derivation.

    The subject is the derivation and not the outputs: an output may be bytes of anybody's choosing
    (a wheel that an sdist became), so that a statement about it could pass for a signature of an
    image. Nothing else has the digest of a derivation.

    Args:
        derivation: the identity of the step.
        label: for people.
        outputs: what it gave, by name.
    """
    said = {name: _described(blob) for name, blob in outputs.items()}
    return Statement((About(label, derivation),), TRACE, {"outputs": said})


def stated_outputs(statement: Statement) -> Outputs:
    """What a verified statement says that its subject came out as.

    Raises:
        MalformedError: it says nothing of the kind.
    """
    try:
        if statement.predicate_type != TRACE or len(statement.subjects) != 1:
            raise ValueError("it is not about one derivation")  # noqa: TRY301
        found = Members(statement.predicate, "predicate").one("outputs", lambda value, _: value)
        if not isinstance(found, dict) or not 1 <= len(found) <= _MOST_OUTPUTS:
            raise ValueError(f"it names none, or more than {_MOST_OUTPUTS} outputs")  # noqa: TRY301
        return {name: _blob(value, f"outputs.{name}") for name, value in found.items()}
    except ValueError as error:
        raise MalformedError("a trace cannot be read", got=error) from error


def _described(blob: Blob) -> dict[str, object]:
    return {"digest": str(blob.digest), "size": blob.size}


def _blob(value: object, where: str) -> Blob:
    found = Members(value, where)
    return Blob(found.digest("digest"), found.whole("size", below=LARGEST))
