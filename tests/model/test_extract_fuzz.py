"""Archives with bytes changed at random: the same files come out, or a refusal, and nothing else."""

import bz2
import gzip
import lzma
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hps.archive.refusal import ArchiveError
from hps.digest import Digest
from hps.model.extract import ModelLimits, unpack
from hps.model.staging import StagingError
from tests.attacks.mutations import bounded, mutated
from tests.model.tars import END, extended, folder, member, pax, raw_zip, zip_of

FILES = {
    "m/model": b"model" * 40,
    "m/params": bytes(range(256)),
    "m/" + "l" * 120: b"long",
    "é": b"",
}
LONG = ("m/" + "l" * 120).encode()
TAR = (
    folder(b"./m/")
    + member(b"m/model", FILES["m/model"])
    + pax((b"path", LONG), (b"mtime", b"1.5"))
    + member(LONG[:100], b"long")
    + member(b"./m/params", FILES["m/params"])
    + pax((b"path", "é".encode()))
    + member(b"?", b"")
    + END
)
GNU = extended(LONG + b"\0", b"L") + member(LONG[:100], b"long") + END
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
PAIRS = list(FILES.items())
GOOD = {name: pack(TAR) for name, pack in PACKERS.items()}
GOOD["zip"] = zip_of(PAIRS, method=zipfile.ZIP_DEFLATED)
GOOD["zip-stored"] = raw_zip([(name.encode(), data) for name, data in PAIRS])
# What guards the contents of files: a tar by itself has no checksum of them.
GUARDED = sorted(GOOD.keys() - {"tar"})
LIMITS = ModelLimits(files=100, size=1 << 22, file_size=1 << 22, ratio=500, ratio_from=1 << 20)


def taken(data: bytes) -> dict[str, Digest] | None:
    """What comes out of an archive; None for a refusal. Anything else fails the test."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        archive, staging = top / "a", top / "staging"
        archive.write_bytes(data)
        staging.mkdir(mode=0o700)
        try:
            with bounded():
                found = unpack(archive, staging, limits=LIMITS)
        except ArchiveError:
            return None
        finally:
            assert sorted(one.name for one in top.iterdir()) == ["a", "staging"]
            assert not any(path.is_symlink() for path in staging.rglob("*"))
        disk = {p.relative_to(staging).as_posix(): p for p in staging.rglob("*") if p.is_file()}
        assert {path: Digest.of(one.read_bytes()) for path, one in disk.items()} == {
            one.path: one.digest for one in found
        }
        return {one.path: one.digest for one in found}


HONEST = {path: Digest.of(data) for path, data in FILES.items()}


@pytest.mark.parametrize("form", GOOD)
def test_the_seeds_are_good(form: str) -> None:
    assert taken(GOOD[form]) == HONEST
    assert taken(GNU) == {LONG.decode(): Digest.of(b"long")}


@pytest.mark.parametrize("form", GUARDED)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_one_byte_changed_gives_the_same_files_or_none(form: str, data: st.DataObject) -> None:
    """But for names: zip guards those only by saying them twice, tar by a sum in a guarded stream."""
    good = GOOD[form]
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(1, 255))
    assert taken(good[:at] + bytes([good[at] ^ byte]) + good[at + 1 :]) in (HONEST, None)


@pytest.mark.parametrize("form", sorted(GOOD))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_archive_that_is_cut_off_is_never_taken(form: str, data: st.DataObject) -> None:
    good = GOOD[form]
    size = data.draw(st.integers(0, len(good) - 1))
    assert taken(good[:size]) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_byte_of_a_tar_changed_gives_the_same_names_or_none(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TAR) - 1))
    byte = data.draw(st.integers(1, 255))
    found = taken(TAR[:at] + bytes([TAR[at] ^ byte]) + TAR[at + 1 :])
    if found is not None and found.keys() != HONEST.keys():
        # The content of an extended header has no checksum: only a manifest guards these names.
        assert len(found) == len(HONEST)


@settings(max_examples=150, deadline=None)
@given(mutated([*GOOD.values(), TAR, GNU]))
def test_whatever_is_changed_nothing_escapes(data: bytes) -> None:
    taken(data)


@settings(max_examples=150, deadline=None)
@given(mutated([TAR, GNU]), st.sampled_from(sorted(PACKERS)))
def test_tars_changed_within_their_compression(data: bytes, form: str) -> None:
    taken(PACKERS[form](_summed(data)))


def _summed(data: bytes) -> bytes:
    """The same with right checksums, so that changes get past them."""
    made = b""
    for at in range(0, len(data) - len(data) % 512, 512):
        block = bytearray(data[at : at + 512])
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
        made += bytes(block)
    return made


def test_a_refusal_by_this_machine_is_no_refusal_of_the_archive() -> None:
    assert not issubclass(StagingError, ArchiveError)
