"""Layouts, archives, files and folders: what is good, and which reason each fault gives."""

import subprocess
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.errors import LimitError, UsageError
from hps.oci.attachment import Attachment
from hps.oci.layout import write_layout
from hps.trust.attachments import sign_image
from hps.trust.predicates import PROVENANCE, SBOM, SIGNATURE
from hps.trust.verdict import Verdict
from hps.trust.verification import (
    verify_archive,
    verify_file,
    verify_folder,
    verify_layout,
)
from tests.trust.signed import (
    KEY,
    NAME,
    SECOND,
    STRANGER,
    Signed,
    check,
    codes,
    policy,
    reindex,
    rewrite,
    sign_bytes,
    signer,
    subject,
    trusting,
)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed.make(tmp_path)


@pytest.fixture
def layout(tmp_path: Path, signed: Signed) -> Path:
    return signed.layout(tmp_path / "layout")


def blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / "sha256" / digest.hex


class TestLayouts:
    def test_good(self, layout: Path, signed: Signed) -> None:
        (found,) = verify_layout(layout, check())
        assert found.good
        assert found.hashed
        assert found.digest == signed.image.digest
        assert found.subject == f"{layout} (demo:cpu)"
        kinds = sorted((one.predicate_type, one.form) for one in found.accepted)
        assert kinds == [
            (SBOM, "bundle"),
            (SIGNATURE, "bundle"),
            (SIGNATURE, "simple-signing"),
            (PROVENANCE, "bundle"),
        ]
        named = {one.document for one in found.accepted}
        held = {Digest.of(data) for each in signed.attachments for data in each.blobs}
        assert named < held

    def test_another_key(self, layout: Path) -> None:
        (found,) = verify_layout(layout, check(trusting(STRANGER)))
        assert {"predicate-missing", "key-untrusted"} == codes([found])
        assert not found.hashed

    def test_unsigned(self, tmp_path: Path) -> None:
        layout = Signed.make(tmp_path, key=None).layout(tmp_path / "layout")
        assert codes(verify_layout(layout, check())) == {"unsigned"}

    def test_unsigned_where_the_policy_allows_it_is_hashed_all_the_same(
        self, tmp_path: Path
    ) -> None:
        layout = Signed.make(tmp_path, key=None).layout(tmp_path / "layout")
        lenient = policy("", one=KEY)
        assert codes(verify_layout(layout, check(lenient))) == {"unsigned"}
        (found,) = verify_layout(layout, check(replace(lenient, allow_unsigned=True)))
        assert found.good
        assert found.hashed

    def test_the_digest_that_was_asked_for(self, layout: Path, signed: Signed) -> None:
        asked = signed.image.digest
        assert not codes(verify_layout(layout, check(), asked=asked))
        (found,) = verify_layout(layout, check(), asked=Digest.of(b"other"))
        assert codes([found]) == {"subject-mismatch"}
        assert not found.hashed

    def test_faults_of_content_come_on_top_of_those_of_signatures(
        self, layout: Path, signed: Signed
    ) -> None:
        blob(layout, signed.image.layers[0].digest).unlink()
        (layout / "extra").write_bytes(b"")
        rewrite(blob(layout, signed.image.layers[1].digest), lambda data: data + b"x")
        found = codes(verify_layout(layout, check(trusting(STRANGER))))
        assert found == {
            "predicate-missing",
            "key-untrusted",
            "blob-missing",
            "blob-extra",
            "blob-damaged",
        }

    def test_layers_that_nobody_trusted_has_signed_are_not_read(
        self, layout: Path, signed: Signed
    ) -> None:
        read: list[int] = []
        verify_layout(layout, check(trusting(STRANGER), watch=read.append))
        assert not read
        verify_layout(layout, check(watch=read.append))
        size = sum(layer.size for layer in signed.image.layers)
        assert sum(read) > size

    def test_blobs_are_hashed_in_threads(self, layout: Path) -> None:
        threads: set[int] = set()
        verify_layout(layout, check(watch=lambda _: threads.add(threading.get_ident())))
        assert threading.get_ident() not in threads

    def test_time_that_is_over(self, layout: Path) -> None:
        def late(_: int) -> None:
            raise LimitError("it took longer than 1 second")

        (found,) = verify_layout(layout, check(watch=late))
        assert codes([found]) == {"limit-exceeded"}

    def test_a_layout_without_images(self, tmp_path: Path) -> None:
        layout = Signed.make(tmp_path).layout(tmp_path / "layout")
        reindex(layout, lambda index: index.update(manifests=[]))
        assert codes(verify_layout(layout, check())) == {"blob-missing"}

    def test_two_images_one_of_them_unsigned(self, tmp_path: Path) -> None:
        one = Signed.make(tmp_path)
        two = Signed.make(tmp_path, key=None, reference="demo:gpu", labels={"a": "b"})
        write_layout(tmp_path / "l", [one.image, two.image], one.blobs.path, one.attachments)
        verdicts = verify_layout(tmp_path / "l", check())
        assert {one.subject.split()[-1]: one.good for one in verdicts} == {
            "(demo:cpu)": True,
            "(demo:gpu)": False,
        }

    def test_no_layout(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            verify_layout(tmp_path / "none", check())

    def test_a_second_signer(self, tmp_path: Path, signed: Signed) -> None:
        more = [
            one
            for one in sign_image(subject(signed.image), NAME, [], signer(SECOND))
            if one.subject is not None
        ]
        layout = signed.layout(tmp_path / "layout", *more)
        two = policy('[[require]]\npredicate = "signature"\nthreshold = 2', a=KEY, b=SECOND)
        assert not codes(verify_layout(layout, check(two)))
        alone = signed.layout(tmp_path / "alone")
        assert codes(verify_layout(alone, check(two))) == {"threshold"}


class TestArchives:
    def test_good(self, tmp_path: Path, signed: Signed) -> None:
        (found,) = verify_archive(signed.archive(tmp_path / "image.tar"), check())
        assert found.good
        assert found.hashed
        assert found.digest == signed.image.digest

    def test_one_that_tar_made_of_a_layout(self, tmp_path: Path, layout: Path) -> None:
        path = tmp_path / "image.tar"
        for words in (
            (".",),
            ("--format=ustar", "."),
            ("--format=posix", "oci-layout", "index.json", "blobs"),
        ):
            subprocess.run(["tar", "-C", layout, "-cf", path, *words], check=True)
            assert not codes(verify_archive(path, check())), words

    def test_a_changed_byte_in_a_layer(self, tmp_path: Path, signed: Signed) -> None:
        path = signed.archive(tmp_path / "image.tar")
        at = path.read_bytes().index(b"demo\n")
        rewrite(path, lambda data: data[:at] + b"Demo\n" + data[at + 5 :])
        assert codes(verify_archive(path, check())) == {"blob-damaged"}

    def test_a_tar_that_is_no_image_is_an_unsigned_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x.tar"
        with tarfile.open(path, "w") as archive:
            archive.add(__file__, "x.py")
        assert codes(verify_archive(path, check())) == {"unsigned"}

    def test_no_archive(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            verify_archive(tmp_path / "none", check())


class TestFiles:
    def test_good(self, tmp_path: Path) -> None:
        found = verify_file(sign_bytes(tmp_path / "x.whl", b"data"), check())
        assert found.good
        assert found.hashed
        assert found.digest == Digest.of(b"data")

    def test_another_place_for_the_bundle(self, tmp_path: Path) -> None:
        path = sign_bytes(tmp_path / "x.whl", b"data")
        elsewhere = (tmp_path / "x.whl.sigstore.json").rename(tmp_path / "elsewhere")
        assert codes([verify_file(path, check())]) == {"unsigned"}
        assert not codes([verify_file(path, check(), bundle=elsewhere)])
        missing = verify_file(path, check(), bundle=tmp_path / "missing")
        assert codes([missing]) == {"blob-damaged"}

    def test_changed(self, tmp_path: Path) -> None:
        path = sign_bytes(tmp_path / "x.whl", b"data")
        path.write_bytes(b"Data")
        assert codes([verify_file(path, check())]) == {"predicate-missing", "subject-mismatch"}

    def test_the_digest_that_was_asked_for(self, tmp_path: Path) -> None:
        path = sign_bytes(tmp_path / "x.whl", b"data")
        assert not codes([verify_file(path, check(), asked=Digest.of(b"data"))])
        assert codes([verify_file(path, check(), asked=Digest.of(b"x"))]) == {"subject-mismatch"}

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(UsageError):
                verify_file(path, check())


class TestFolders:
    def test_good(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "sub").mkdir(parents=True)
        sign_bytes(tmp_path / "in" / "a", b"a")
        sign_bytes(tmp_path / "in" / "sub" / "b", b"b")
        found = verify_folder(tmp_path / "in", check())
        assert not codes(found)
        assert [Path(one.subject).name for one in found] == ["a", "b"]

    def test_layouts_in_it_are_verified_as_layouts(self, tmp_path: Path, signed: Signed) -> None:
        (tmp_path / "in").mkdir()
        sign_bytes(tmp_path / "in" / "a", b"a")
        layout = signed.layout(tmp_path / "in" / "cpu")
        found = verify_folder(tmp_path / "in", check())
        assert [one.good for one in found] == [True, True]
        (layout / "more").write_bytes(b"")
        assert codes(verify_folder(tmp_path / "in", check())) == {"blob-extra"}

    def test_nothing_is_passed_over(self, tmp_path: Path) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        assert codes(verify_folder(folder, check())) == {"blob-missing"}
        sign_bytes(folder / "signed", b"a")
        sign_bytes(folder / "gone", b"a").unlink()
        (folder / "unsigned").write_bytes(b"")
        (folder / "link").symlink_to("signed")
        (folder / "folder-link").symlink_to("/")
        found = verify_folder(folder, check())
        by_name: dict[str, Verdict] = {Path(one.subject).name: one for one in found}
        assert {name: sorted(codes([one])) for name, one in by_name.items()} == {
            "signed": [],
            "gone.sigstore.json": ["blob-missing"],
            "unsigned": ["unsigned"],
            "link": ["blob-extra"],
            "folder-link": ["blob-extra"],
        }


def test_an_attachment_that_speaks_of_nothing_here(tmp_path: Path, signed: Signed) -> None:
    other = Signed.make(tmp_path, reference="demo:gpu", labels={"a": "b"})
    foreign: tuple[Attachment, ...] = tuple(
        one for one in other.attachments if one.subject is not None
    )
    layout = signed.layout(tmp_path / "layout", *foreign)
    assert codes(verify_layout(layout, check())) == {"blob-extra"}
