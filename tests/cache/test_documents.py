"""Traces and parcels: what is read is what may be believed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.cache.documents import (
    Parcel,
    parcel_name,
    stated_outputs,
    trace_name,
    trace_statement,
)
from hps.digest import Blob, Digest
from hps.errors import MalformedError
from hps.oci.reference import is_tag
from hps.trust.predicates import PROVENANCE, TRACE
from hps.trust.statement import About, Statement
from tests.cache.lab import KEY, blob

PLAIN = blob(b"x" * 5000)
WIRE = blob(b"packed")
PACKED = Parcel("zstd", PLAIN, WIRE)
DERIVATION = Digest.of(b"derivation")


def test_a_parcel_comes_back() -> None:
    assert Parcel.from_bytes(PACKED.as_bytes(), PLAIN) == PACKED
    same = Parcel("identity", PLAIN, PLAIN)
    assert Parcel.from_bytes(same.as_bytes(), PLAIN) == same


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(PACKED.as_bytes()) | fields).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff" * 20,
        b"{" * 10_000,
        b" " * 20_000,
        changed(version=2),
        changed(version="1"),
        changed(encoding="gzip"),
        changed(encoding=["zstd"]),
        changed(encoding="identity"),
        changed(plain={"digest": str(Digest.of(b"other")), "size": 5000}),
        changed(plain={"digest": str(PLAIN.digest), "size": 5001}),
        changed(plain={"digest": str(PLAIN.digest), "size": 5000.0}),
        changed(plain={"digest": str(PLAIN.digest), "size": True}),
        changed(wire={"digest": "sha256:..", "size": 1}),
        changed(wire={"digest": str(WIRE.digest), "size": -1}),
        changed(wire={"digest": str(WIRE.digest), "size": 1 << 39}),
        changed(wire={"digest": str(WIRE.digest)}),
        PACKED.as_bytes() + b"{}",
    ],
)
def test_parcels_that_cannot_be_true(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Parcel.from_bytes(data, PLAIN)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_parcel_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        Parcel.from_bytes(data, PLAIN)


def test_a_trace_is_about_the_derivation_and_never_about_outputs() -> None:
    """An output may be bytes of a stranger's choosing: the manifest of an image, for instance."""
    statement = trace_statement(DERIVATION, "layer numpy", {"wheel": PLAIN})
    assert [one.digest for one in statement.subjects] == [DERIVATION]
    assert stated_outputs(Statement.from_bytes(statement.as_bytes())) == {"wheel": PLAIN}


OUTPUT = {"digest": str(PLAIN.digest), "size": 5000}


@pytest.mark.parametrize(
    "statement",
    [
        Statement((About("", DERIVATION),), PROVENANCE, {"outputs": {"a": OUTPUT}}),
        Statement((About("", DERIVATION),) * 2, TRACE, {"outputs": {"a": OUTPUT}}),
        Statement((About("", DERIVATION),), TRACE, {}),
        Statement((About("", DERIVATION),), TRACE, {"outputs": {}}),
        Statement((About("", DERIVATION),), TRACE, {"outputs": [OUTPUT]}),
        Statement((About("", DERIVATION),), TRACE, {"outputs": {"a": str(PLAIN.digest)}}),
        Statement((About("", DERIVATION),), TRACE, {"outputs": {"a": OUTPUT | {"size": -1}}}),
        Statement((About("", DERIVATION),), TRACE, {"outputs": {"a": OUTPUT | {"size": 1 << 60}}}),
        Statement(
            (About("", DERIVATION),), TRACE, {"outputs": {str(n): OUTPUT for n in range(1001)}}
        ),
    ],
)
def test_statements_that_are_no_traces(statement: Statement) -> None:
    with pytest.raises(MalformedError):
        stated_outputs(statement)


def test_names_fit_every_place() -> None:
    names = [trace_name(DERIVATION, KEY.public.fingerprint), parcel_name(PLAIN.digest)]
    for name in names:
        assert is_tag(name.replace("/", "-"))
        assert ".." not in name
    assert len(set(names)) == 2


def test_parcels_of_the_largest_output() -> None:
    plain = Blob(PLAIN.digest, (1 << 40) - 1)
    parcel = Parcel("zstd", plain, Blob(WIRE.digest, 1 << 39))
    assert Parcel.from_bytes(parcel.as_bytes(), plain) == parcel
