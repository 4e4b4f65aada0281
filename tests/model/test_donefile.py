"""Donefiles: what hps writes, and what it makes of whatever others put there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.digest import Blob, Digest
from hps.model import checksums, donefile
from hps.model.donefile import LARGEST, Hint, Packed
from hps.model.release import LAST_SEQUENCE
from tests.model.releases import files, release

MANIFEST = b"{}"
BLOB = Blob(Digest.of(b"packed"), 6)
PACKED = Packed("ocr-7.tar.gz", BLOB)
WRITTEN = donefile.write(release(), MANIFEST, PACKED)


def test_what_is_written_is_read() -> None:
    manifest = Blob(Digest.of(MANIFEST), 2)
    assert donefile.read(WRITTEN) == Hint("ocr", "production", 7, manifest, PACKED)
    bare = donefile.write(release(), MANIFEST)
    assert donefile.read(bare) == Hint("ocr", "production", 7, manifest)


def test_a_release_without_a_number_has_no_donefile() -> None:
    with pytest.raises(ValueError):
        donefile.write(release(sequence=None), MANIFEST)
    with pytest.raises(ValueError):
        donefile.write(release(), MANIFEST, Packed("../x", BLOB))


def test_checksums_and_bare_digests_of_others_are_read() -> None:
    listed = checksums.text(files()).encode()
    assert [one.path for one in donefile.read(listed).checksums] == [one.path for one in files()]
    for text in (f"{BLOB.digest}", f"{BLOB.digest.hex}\n", f"{BLOB.digest.hex.upper()} \r\n"):
        assert donefile.read(text.encode()) == Hint(digest=BLOB.digest)


def test_what_it_states_for_an_archive() -> None:
    assert donefile.read(WRITTEN).archive_digest("model.tar.gz") == BLOB.digest
    listed = donefile.read(f"{BLOB.digest.hex}  model.tar.gz\n".encode())
    assert listed.archive_digest("model.tar.gz") == BLOB.digest
    assert listed.archive_digest("other.tar.gz") is None
    assert donefile.read(BLOB.digest.hex.encode()).archive_digest("any") == BLOB.digest
    assert donefile.read(b"done").archive_digest("any") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"hps-donefile": 2},
        {"hps-donefile": True},
        {"model": "../x"},
        {"model": None},
        {"channel": ""},
        {"sequence": 0},
        {"sequence": 2**53},
        {"sequence": True},
        {"manifest": None},
        {"manifest": {"sha256": "0", "size": 1}},
        {"manifest": {"sha256": "0" * 64, "size": -1}},
        {"manifest": {"sha256": "0" * 64, "size": 2**40}},
        {"manifest": {"sha256": "0" * 64, "size": 1, "more": 1}},
        {"archive": {"name": "a/b", "sha256": "0" * 64, "size": 1}},
        {"archive": {"name": "..", "sha256": "0" * 64, "size": 1}},
        {"archive": {"name": "a\n", "sha256": "0" * 64, "size": 1}},
        {"archive": {"name": "a", "sha256": "0" * 64, "size": 2**51}},
        {"more": 1},
    ],
)
def test_a_changed_one_is_no_hint(changes: dict[str, Any]) -> None:
    document = {**json.loads(WRITTEN), **changes}
    assert donefile.read(json.dumps(document).encode()) == Hint()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"done\n",
        b"20261122072037",
        b"\x00" * 1000,
        b"\xff\xfe",
        WRITTEN * 2,
        WRITTEN + b"\0",
        WRITTEN.replace(b'"model"', b'"model":"ocr","model"'),
        b"{" * LARGEST,
        b"[" * 1000,
        b" " * LARGEST + b"{",
        b" " + WRITTEN + b" " * LARGEST,
        ("\u0660" * 64).encode(),
    ],
)
def test_donefiles_of_others_are_an_empty_hint(data: bytes) -> None:
    assert donefile.read(data) == Hint()


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda more: WRITTEN[:-2] + more))
def test_any_bytes_are_a_hint(data: bytes) -> None:
    donefile.read(data)


@given(st.data())
def test_one_changed_byte_is_another_hint_or_none(data: st.DataObject) -> None:
    changed = bytearray(WRITTEN)
    place = data.draw(st.integers(0, len(changed) - 2))
    changed[place] ^= data.draw(st.integers(1, 255))
    assert isinstance(donefile.read(bytes(changed)), Hint)


NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,9}[A-Za-z0-9])?", fullmatch=True)
ARCHIVES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,19}", fullmatch=True)


@given(
    st.tuples(NAMES, NAMES),
    st.integers(1, LAST_SEQUENCE),
    st.binary(max_size=100),
    st.none() | ARCHIVES,
    st.integers(0, 2**50),
)
def test_reader_and_writer_agree_on_any_release(
    names: tuple[str, str], sequence: int, document: bytes, archive: str | None, size: int
) -> None:
    name, channel = names
    packed = None if archive is None else Packed(archive, Blob(Digest.of(document), size))
    one = release(name=name, channel=channel, sequence=sequence)
    hint = donefile.read(donefile.write(one, document, packed))
    manifest = Blob(Digest.of(document), len(document))
    assert hint == Hint(name, channel, sequence, manifest, packed)
