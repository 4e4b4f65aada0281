"""Bundles of files: what they say, and files that do not hold still."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import IntegrityError, KeyUnusableError, UsageError
from hps.release.file_signing import sign_file, still_digest, write_bundle
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.file_key import FileKey
from hps.trust.predicates import ROLES, SIGNATURE
from hps.trust.statement import About, Statement

KEY = FileKey.generate()
SIGNER = AuthorisedSigner(KEY, (*ROLES["file"], "https://example.org/tested"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path := tmp_path / "demo ü.whl").write_bytes(b"hello")
    return path


def said(bundle: Bundle) -> Statement:
    assert bundle.verified_by(KEY.public)
    assert isinstance(bundle.content, Envelope)
    return Statement.from_bytes(bundle.content.payload)


def test_a_bundle_says_the_name_and_the_digest(file: Path) -> None:
    bundle = sign_file(file, SIGNER)
    about = About("demo ü.whl", Digest.of(b"hello"))
    assert said(bundle) == Statement((about,), SIGNATURE, {})
    assert sign_file(file, SIGNER).as_bytes() == bundle.as_bytes()
    tested = said(sign_file(file, SIGNER, "https://example.org/tested", {"passed": 7}))
    assert (tested.subjects, tested.predicate) == ((about,), {"passed": 7})


def test_what_the_key_may_not_say(file: Path) -> None:
    with pytest.raises(KeyUnusableError, match="may not sign"):
        sign_file(file, SIGNER, "https://example.org/other", {})


@pytest.mark.parametrize("predicate", [{"a": 1.5}, {"ü": 1}, {"a": {1, 2}}])
def test_a_predicate_without_a_canonical_form(file: Path, predicate: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="cannot be signed"):
        sign_file(file, SIGNER, SIGNATURE, predicate)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/dev/zero"),
        lambda _: None,
    ],
    ids=["folder", "fifo", "dangling", "device", "missing"],
)
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(UsageError):
        sign_file(tmp_path / "file", SIGNER)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"demo\xff.whl")
    path.write_bytes(b"hello")
    with pytest.raises(UsageError, match="not UTF-8"):
        sign_file(path, SIGNER)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: os.truncate(path, 1 << 20),
        lambda path: os.utime(path, (1, 1)),
        lambda path: path.replace(path.with_name("moved")) and path.write_bytes(b"hello"),
    ],
    ids=["written", "cut", "touched", "replaced"],
)
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    """The file is a large hole, and is changed when its first piece has been read."""
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 512 << 20)
    digests: list[Digest | IntegrityError] = []

    def read() -> None:
        try:
            digests.append(still_digest(path))
        except IntegrityError as error:
            digests.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while not _read_so_far(path) and reader.is_alive():
        os.sched_yield()
    change(path)
    reader.join()
    assert isinstance(digests[0], IntegrityError), digests
    assert "changed while it was read" in digests[0].message


def _read_so_far(path: Path) -> int:
    """How far this process has read in a file that it has open (proc(5), fdinfo)."""
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            if os.path.samestat(descriptor.stat(), path.stat()):
                told = Path("/proc/self/fdinfo", descriptor.name).read_text()
                return int(told.split()[1])
        except FileNotFoundError:
            continue  # closed meanwhile
    return 0


def test_a_bundle_is_written_over_an_older_one(file: Path) -> None:
    place = file.with_name("bundle")
    place.write_text("older, and longer than what comes" * 1000)
    bundle = sign_file(file, SIGNER)
    write_bundle(bundle, place)
    assert Bundle.from_bytes(place.read_bytes()) == bundle
    assert sorted(path.name for path in file.parent.iterdir()) == ["bundle", file.name]


def test_a_place_that_cannot_be_written(file: Path) -> None:
    for place in (file.parent, file / "bundle", file.parent / "nowhere" / "bundle"):
        with pytest.raises(UsageError, match="cannot write"):
            write_bundle(sign_file(file, SIGNER), place)
    assert [path.name for path in file.parent.iterdir()] == [file.name]
