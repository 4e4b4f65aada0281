"""Every parser of signed documents, on what went wrong or was made to go wrong.

Whatever comes in, it is read or refused as malformed. `HPS_FUZZ=20000` runs so many examples.
"""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hps.digest import Digest
from hps.errors import ConfigError, IntegrityError, MalformedError, UsageError
from hps.oci.layout_reading import layout_faults, open_layout
from hps.trust.bundle import Bundle
from hps.trust.encoding import to_base64
from hps.trust.policy import Policy
from hps.trust.predicates import PROVENANCE, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.simple_signing import SimpleSignature
from hps.trust.statement import About, Statement
from hps.trust.verification import verify_layout
from tests.attacks.mutations import mutated
from tests.trust.signed import KEY, NAME, Signed, check, signer

EXAMPLES = int(os.environ.get("HPS_FUZZ") or 200)
STATEMENT = Statement((About("image", Digest.of(b"image")),), PROVENANCE, {"a": [1, "ü", None]})
BUNDLE = Bundle.sign(STATEMENT, signer()).as_bytes()
OLDER = SimpleSignature.sign(Digest.of(b"image"), NAME, signer())
POLICY = (
    "version = 1\nunsigned = 'refuse'\n"
    f"[keys.a]\nrole = 'build'\npublic = '''{KEY.public.pem.decode()}'''\n"
    "[[require]]\npredicate = 'provenance'\nthreshold = 1\nbuilders = ['urn:x']\n"
).encode()

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [so_far]
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += paths(inner, (*so_far, key))
    return found


@st.composite
def misshapen(draw: st.DrawFn, seed: bytes) -> bytes:
    """Proper JSON with another value, or none, at one of its places."""
    document = json.loads(seed)
    place = draw(st.sampled_from(paths(document)))
    value = draw(VALUES)
    if not place:
        return json.dumps(value).encode()
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    if draw(st.booleans()):
        holder[place[-1]] = value
    else:
        del holder[place[-1]]
    return json.dumps(document).encode()


def read_bundle(data: bytes) -> None:
    found = Bundle.from_bytes(data)
    found.verified_by(KEY.public, Digest.of(b""))


def read_statement(data: bytes) -> None:
    Statement.from_bytes(data)


def read_payload(data: bytes) -> None:
    SimpleSignature.read(data, to_base64(OLDER.signature)).verified_by(KEY.public)


def read_annotation(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    SimpleSignature.read(OLDER.payload, text).verified_by(KEY.public)


def read_policy(data: bytes) -> None:
    def missing(name: str) -> bytes:
        raise FileNotFoundError(name)

    Policy.parse(data, "policy.toml", missing)


def read_key(data: bytes) -> None:
    PublicKey.from_pem(data)


Read = Callable[[bytes], None]
READERS: list[tuple[Read, bytes, type[Exception]]] = [
    (read_bundle, BUNDLE, MalformedError),
    (read_statement, STATEMENT.as_bytes(), MalformedError),
    (read_payload, OLDER.payload, MalformedError),
    (read_annotation, to_base64(OLDER.signature).encode(), MalformedError),
    (read_policy, POLICY, ConfigError),
    (read_key, KEY.public.pem, UsageError),
]


@pytest.mark.parametrize(
    ("read", "seed", "refusal"), READERS, ids=[one[0].__name__ for one in READERS]
)
def test_bytes_are_read_or_refused(read: Read, seed: bytes, refusal: type[Exception]) -> None:
    read(seed)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(mutated([seed]))
    def attempt(data: bytes) -> None:
        with contextlib.suppress(refusal):
            read(data)

    attempt()


@pytest.mark.parametrize(
    ("read", "seed"),
    [(read, seed) for read, seed, _ in READERS[:3]],
    ids=[one[0].__name__ for one in READERS[:3]],
)
def test_json_of_another_shape_is_read_or_refused(read: Read, seed: bytes) -> None:
    @settings(max_examples=EXAMPLES, deadline=None)
    @given(misshapen(seed))
    def attempt(data: bytes) -> None:
        with contextlib.suppress(MalformedError):
            read(data)

    attempt()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    return Signed.make(folder).layout(folder / "layout")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.parametrize("name", ["oci-layout", "index.json", "manifest.json"])
def test_a_layout_is_read_or_refused(layout: Path, name: str, data: st.DataObject) -> None:
    good = (layout / name).read_bytes()
    changed = data.draw(mutated([good]) | misshapen(good))
    (layout / name).write_bytes(changed)
    try:
        layout_faults(layout, open_layout(layout), hashed=False)
    except (IntegrityError, UsageError):
        pass  # as it should be
    finally:
        (layout / name).write_bytes(good)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_no_changed_index_makes_another_image_good(layout: Path, data: st.DataObject) -> None:
    """Whatever the index says, what is called good is the image that was signed."""
    good = (layout / "index.json").read_bytes()
    before = {one.digest for one in verify_layout(layout, check())}
    (layout / "index.json").write_bytes(data.draw(misshapen(good)))
    try:
        verdicts = verify_layout(layout, check())
    except UsageError:
        verdicts = []  # it could not be verified
    finally:
        (layout / "index.json").write_bytes(good)
    assert {one.digest for one in verdicts if one.good} <= before
    assert all(
        one.predicate_type == SIGNATURE or one.document
        for each in verdicts
        for one in each.accepted
    )
