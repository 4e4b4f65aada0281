"""Traces: the first writer wins, and what is not whole is not there."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.errors import NotReproducibleError
from hps.store.blobs import Store
from hps.store.traces import Trace

STEP = Digest.of(b"step")
RECORD = {"kind": "wheel-layer/1", "inputs": {"wheel": str(Digest.of(b"wheel"))}, "parameters": {}}
OUTPUTS = {"layer": Blob(Digest.of(b"layer"), 5), "index": Blob(Digest.of(b"index"), 0)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_is_put_is_got_by_everybody(store: Store) -> None:
    assert store.traces.get(STEP) is None
    store.traces.put(STEP, RECORD, OUTPUTS)
    assert Store(store.root).traces.get(STEP) == OUTPUTS
    assert Store(store.root).traces.find(STEP) == Trace(STEP, RECORD, OUTPUTS)
    assert list(store.traces.all()) == [Trace(STEP, RECORD, OUTPUTS)]


def test_a_trace_is_canonical_json_below_its_first_two_digits(store: Store) -> None:
    store.traces.put(STEP, RECORD, OUTPUTS)
    store.traces.put(STEP, dict(reversed(RECORD.items())), dict(reversed(OUTPUTS.items())))
    path = store.root / "traces" / STEP.hex[:2] / STEP.hex
    data = path.read_bytes()
    value = json.loads(data)
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"
    assert data == text.encode()
    assert value["outputs"]["layer"] == {"digest": str(OUTPUTS["layer"].digest), "size": 5}


@pytest.mark.parametrize(
    "other",
    [
        {"layer": OUTPUTS["layer"]},
        {**OUTPUTS, "more": OUTPUTS["layer"]},
        {**OUTPUTS, "layer": Blob(Digest.of(b"other"), 5)},
        {**OUTPUTS, "layer": Blob(Digest.of(b"layer"), 6)},
    ],
)
def test_other_outputs_are_refused_naming_both(store: Store, other: Mapping[str, Blob]) -> None:
    store.traces.put(STEP, RECORD, OUTPUTS)
    with pytest.raises(NotReproducibleError, match="wheel-layer/1") as caught:
        store.traces.put(STEP, RECORD, other)
    assert str(OUTPUTS["index"].digest) in (caught.value.expected or "")
    assert str(other["layer"].digest) in (caught.value.got or "")
    assert str(store.traces.path(STEP)) in (caught.value.hint or "")
    assert store.traces.get(STEP) == OUTPUTS


def test_a_forgotten_trace_can_be_put_anew(store: Store) -> None:
    store.traces.put(STEP, RECORD, OUTPUTS)
    store.traces.remove(STEP)
    store.traces.remove(STEP)
    store.traces.put(STEP, RECORD, {"layer": OUTPUTS["index"]})
    assert store.traces.get(STEP) == {"layer": OUTPUTS["index"]}


def test_no_outputs_is_no_trace(store: Store) -> None:
    with pytest.raises(ValueError, match="no outputs"):
        store.traces.put(STEP, RECORD, {})


def whole(store: Store) -> bytes:
    store.traces.put(STEP, RECORD, OUTPUTS)
    return store.traces.path(STEP).read_bytes()


def write(store: Store, data: bytes) -> None:
    path = store.traces.path(STEP)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_changed_byte_or_missing_end_counts_as_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("trace"))
    text = whole(store)
    at = data.draw(st.integers(0, len(text) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    changed = {
        "flip": text[:at] + bytes([text[at] ^ 1 << data.draw(st.integers(0, 7))]) + text[at + 1 :],
        "cut": text[:at],
        "grow": text[:at] + b" " + text[at:],
    }[kind]
    write(store, changed)
    assert [type(trace) for trace in store.traces.all()] != [Trace]
    assert store.traces.get(STEP) is None
    assert not store.traces.path(STEP).exists()
    store.traces.put(STEP, RECORD, OUTPUTS)
    assert store.traces.get(STEP) == OUTPUTS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b'{"record":{},"outputs":[]}',
        b'{"record":{},"outputs":{}}',
        b'{"record":{"x":1.5},"outputs":{"a":{"digest":"sha256:' + b"0" * 64 + b'","size":1}}}',
        b'{"record":{},"outputs":{"a":{"digest":"sha256:' + b"0" * 64 + b'","size":true}}}',
        b'{"record":{},"outputs":{"a":{"digest":"sha256:' + b"0" * 64 + b'","size":"1"}}}',
        b'{"record":{"x":"\\ud800"},"outputs":{"a":{"digest":"sha256:'
        + b"0" * 64
        + b'","size":1}}}',
        b"[" * 100_000,
        b"1" * 10_000,
    ],
)
def test_foreign_content_counts_as_missing_and_put_replaces_it(store: Store, data: bytes) -> None:
    store.workspace.begin()
    write(store, data)
    store.traces.put(STEP, RECORD, OUTPUTS)
    assert store.traces.get(STEP) == OUTPUTS
    write(store, data)
    assert list(store.traces.all()) == [store.traces.path(STEP)]
    assert store.traces.get(STEP) is None
    assert not store.traces.path(STEP).exists()


def test_the_trace_of_another_step_counts_as_missing(store: Store) -> None:
    text = whole(store)
    other = Digest.of(b"other step")
    path = store.traces.path(other)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    assert store.traces.get(other) is None
