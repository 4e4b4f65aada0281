"""Signed layouts and archives that were tampered with: the reason that `hps verify` gives.

The numbers are those of docs/explanation/attacks.md.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.cli.verify import lines
from hps.digest import Digest
from hps.oci import archive_files
from hps.oci.attachment import Attachment, referrer
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE, REFERENCE_ANNOTATION
from hps.trust.attachments import Claim, bundle_referrer
from hps.trust.bundle import BUNDLE_TYPE, Bundle
from hps.trust.file_key import FileKey
from hps.trust.predicates import SBOM, SIGNATURE
from hps.trust.simple_signing import SimpleSignature, signature_manifest, signature_tag
from hps.trust.statement import About, Statement
from hps.trust.verdict import Verdict
from hps.trust.verification import verify_archive, verify_folder, verify_layout
from tests.layer.packages import Part, folder, hardlink, symlink, tar_bytes
from tests.trust.signed import (
    KEY,
    NAME,
    SECOND,
    STRANGER,
    Signed,
    check,
    codes,
    index_layout,
    policy,
    put_blob,
    reindex,
    rewrite,
    sign_bytes,
    signer,
    subject,
)


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed.make(tmp_path)


@pytest.fixture
def layout(tmp_path: Path, signed: Signed) -> Path:
    return signed.layout(tmp_path / "layout")


@pytest.fixture
def archive(tmp_path: Path, signed: Signed) -> Path:
    return signed.archive(tmp_path / "image.tar")


def found(layout: Path) -> set[str]:
    return codes(verify_layout(layout, check()))


def blob(layout: Path, digest: Digest) -> Path:
    return layout / "blobs" / "sha256" / digest.hex


# 3: mix and match


def beside(signed: Signed, data: bytes) -> Attachment:
    return referrer(subject(signed.image), BUNDLE_TYPE, data, {})


def test_3_the_bill_of_another_image(tmp_path: Path, signed: Signed) -> None:
    other = Statement((About("", Digest.of(b"other image")),), SBOM, {"components": []})
    stolen = beside(signed, Bundle.sign(other, signer()).as_bytes())
    plain = Signed(signed.image, signed.blobs, signed.attachments)
    without = tuple(
        one
        for one in plain.attachments
        if one.annotations.get("dev.sigstore.bundle.predicateType") != SBOM
    )
    layout = Signed(signed.image, signed.blobs, without).layout(tmp_path / "layout", stolen)
    asked = policy('[[require]]\npredicate = "sbom"', release=KEY)
    verdicts = verify_layout(layout, check(asked))
    assert codes(verdicts) == {"predicate-missing", "subject-mismatch"}


def test_3_the_older_signature_of_another_image(tmp_path: Path, signed: Signed) -> None:
    other = SimpleSignature.sign(Digest.of(b"other image"), NAME, signer())
    stolen = signature_manifest(signed.image.digest, [other])
    layout = Signed(signed.image, signed.blobs, (stolen,)).layout(tmp_path / "layout")
    assert found(layout) == {"predicate-missing", "subject-mismatch"}


def test_3_another_image_under_the_name_of_a_signed_one(
    tmp_path: Path, layout: Path, signed: Signed
) -> None:
    """The signatures stay, the entry of the image leads to another manifest."""
    other = Signed.make(tmp_path, key=None, labels={"evil": "yes"})
    entry = put_blob(layout, other.image.manifest)
    put_blob(layout, other.image.config)
    reindex(layout, lambda index: index["manifests"][0].update(entry))
    assert {"unsigned", "blob-extra"} <= found(layout)


def test_3_docker_is_led_to_another_image(tmp_path: Path, layout: Path, signed: Signed) -> None:
    """`docker load` follows manifest.json, everybody else index.json."""
    other = Signed.make(tmp_path, key=None, labels={"evil": "yes"})
    put_blob(layout, other.image.config)
    before, after = signed.image.image_id.hex.encode(), other.image.image_id.hex.encode()
    rewrite(layout / "manifest.json", lambda data: data.replace(before, after))
    assert found(layout) == {"blob-damaged", "blob-extra"}


def test_3_an_image_that_passes_for_an_attachment(
    tmp_path: Path, layout: Path, signed: Signed
) -> None:
    """Nobody judges attachments, and other clients find it by its name."""
    other = Signed.make(tmp_path, key=None, labels={"evil": "yes"})
    put_blob(layout, other.image.config)
    entry = {
        "mediaType": MANIFEST_TYPE,
        **put_blob(layout, other.image.manifest),
        "artifactType": BUNDLE_TYPE,
        "annotations": {REFERENCE_ANNOTATION: "latest"},
    }
    reindex(layout, lambda index: index["manifests"].append(entry))
    assert found(layout) == {"blob-extra"}
    hidden = {**entry, "annotations": {REFERENCE_ANNOTATION: signature_tag(Digest.of(b"x"))}}
    reindex(layout, lambda index: index["manifests"].__setitem__(-1, hidden))
    assert found(layout) == {"blob-extra"}


# 5: endless data


def test_5_a_manifest_of_ten_gigabytes(layout: Path, signed: Signed) -> None:
    rewrite(blob(layout, signed.image.digest), bytes)
    with blob(layout, signed.image.digest).open("r+b") as file:
        file.truncate(10 << 30)
    assert found(layout) == {"limit-exceeded"}


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "manifest.json"])
def test_5_documents_without_end(layout: Path, name: str) -> None:
    with (layout / name).open("r+b") as file:
        file.truncate(10 << 30)
    assert found(layout) == {"limit-exceeded"}


def test_5_an_index_that_lists_too_much(layout: Path) -> None:
    reindex(layout, lambda index: index.update(manifests=index["manifests"] * 100))
    assert found(layout) == {"limit-exceeded"}


def test_5_a_document_that_is_too_deep(layout: Path) -> None:
    (layout / "index.json").write_bytes(b'{"schemaVersion":2,"manifests":' + b"[" * 100_000)
    assert found(layout) == {"document-malformed"}


def test_5_a_bundle_that_says_it_is_larger_than_any(layout: Path) -> None:
    def inflate(index: dict[str, Any]) -> None:
        entry = next(one for one in index["manifests"] if one.get("artifactType"))
        place = blob(layout, Digest.parse(entry["digest"]))
        document = json.loads(place.read_bytes())
        document["layers"][0]["size"] = 1 << 40
        entry.update(put_blob(layout, canonical.dumps(document)))

    reindex(layout, inflate)
    assert found(layout) == {"limit-exceeded"}


def test_5_three_hundred_statements_of_strangers_are_too_many(
    tmp_path: Path, signed: Signed
) -> None:
    junk = [beside(signed, b"%d" % number) for number in range(300)]
    assert found(signed.layout(tmp_path / "layout", *junk)) == {"limit-exceeded"}


# 6: thresholds


def test_6_one_key_that_signs_twice(tmp_path: Path, signed: Signed) -> None:
    again = bundle_referrer(subject(signed.image), Claim(SIGNATURE, {"again": True}), signer())
    layout = signed.layout(tmp_path / "layout", again)
    two = policy('[[require]]\npredicate = "signature"\nthreshold = 2', a=KEY, b=SECOND)
    assert codes(verify_layout(layout, check(two))) == {"threshold"}


# 14, and what cosign lets pass: bytes on disk


def test_14_a_layer_that_was_overwritten(layout: Path, signed: Signed) -> None:
    place = blob(layout, signed.image.layers[0].digest)
    rewrite(place, lambda data: data.replace(b"demo", b"evil"))
    assert found(layout) == {"blob-damaged"}


def test_14_bytes_that_move_from_one_layer_to_the_next(layout: Path, signed: Signed) -> None:
    one, two = (blob(layout, layer.digest) for layer in signed.image.layers)
    moved = one.read_bytes()[-512:]
    rewrite(one, lambda data: data[:-512])
    rewrite(two, lambda data: moved + data)
    assert found(layout) == {"blob-damaged"}


def test_14_layers_that_change_places(layout: Path, signed: Signed) -> None:
    def swap(index: dict[str, Any]) -> None:
        document = json.loads(signed.image.manifest)
        document["layers"].reverse()
        index["manifests"][0].update(put_blob(layout, canonical.dumps(document)))

    reindex(layout, swap)
    assert found(layout), "the configuration gives their order too"


def test_14_a_missing_and_an_extra_blob(layout: Path, signed: Signed) -> None:
    blob(layout, signed.image.layers[0].digest).rename(layout / "blobs" / "sha256" / "away")
    assert found(layout) == {"blob-missing", "blob-extra"}


@pytest.mark.parametrize("name", ["evil.sh", "blobs/sha512/x", "blobs/sha256/x", ".hidden"])
def test_31_something_that_nothing_names(layout: Path, name: str) -> None:
    (layout / name).parent.mkdir(exist_ok=True)
    (layout / name).write_bytes(b"")
    assert found(layout) == {"blob-extra"}


def test_31_an_extra_file_in_a_signed_folder(tmp_path: Path) -> None:
    place = tmp_path / "dist"
    place.mkdir()
    sign_bytes(place / "good.whl", b"good")
    (place / "sitecustomize.py").write_bytes(b"")
    assert codes(verify_folder(place, check())) == {"unsigned"}


# 17, 18: links and devices in the place of files


def test_17_a_layer_that_is_a_link(layout: Path, signed: Signed, tmp_path: Path) -> None:
    place = blob(layout, signed.image.layers[0].digest)
    (tmp_path / "outside").write_bytes(place.read_bytes())
    place.unlink()
    place.symlink_to(tmp_path / "outside")
    assert found(layout) == {"blob-damaged"}


@pytest.mark.parametrize("name", ["index.json", "manifest.json", "oci-layout"])
def test_17_a_document_that_is_a_link(layout: Path, tmp_path: Path, name: str) -> None:
    (layout / name).rename(tmp_path / "outside")
    (layout / name).symlink_to(tmp_path / "outside")
    assert found(layout) == {"blob-damaged"}


def test_17_a_folder_of_blobs_that_is_a_link(layout: Path, tmp_path: Path) -> None:
    (layout / "blobs").rename(tmp_path / "outside")
    (layout / "blobs").symlink_to(tmp_path / "outside")
    assert "blob-extra" in found(layout)


def test_18_a_layer_that_is_a_pipe_blocks_nobody(layout: Path, signed: Signed) -> None:
    place = blob(layout, signed.image.layers[0].digest)
    place.unlink()
    os.mkfifo(place)
    assert found(layout) == {"blob-damaged"}
    (layout / "index.json").unlink()
    os.mkfifo(layout / "index.json")
    assert found(layout) == {"blob-damaged"}


# 16 to 22: archives


def appended(path: Path, *parts: Part) -> set[str]:
    """The codes of an archive with these members behind the others."""
    rewrite(path, lambda data: members_alone(data) + tar_bytes(list(parts)))
    return codes(verify_archive(path, check()))


def members_alone(data: bytes) -> bytes:
    return data[: -2 * tarfile.BLOCKSIZE]


def test_an_honest_archive(archive: Path) -> None:
    assert not codes(verify_archive(archive, check()))


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x", "a/../../x", "./a/../../x", "blobs/sha256/../../index.json",
        "a\\b", "..\\x", "C:x", "a\nb", "a\tb", "a\x1b[2J", "trailing.", "trailing ",
        "", "INDEX.JSON", "index.json ", "nul", "blobs//sha256/x", "\uff49ndex.json", "é", "e\u0301",
    ],
)  # fmt: skip
def test_16_odd_names(archive: Path, name: str) -> None:
    assert appended(archive, Part(name)) == {"blob-extra"}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_16_names_that_are_too_long(archive: Path, form: int) -> None:
    long = "d" * 120 + "/" + "x" * 90
    rewrite(archive, lambda data: members_alone(data) + tar_bytes([Part(long)], form=form))
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


@pytest.mark.parametrize(
    "part",
    [
        symlink("link", "index.json"),
        symlink("link", "/etc/passwd"),
        symlink("blobs/sha256/link", "../../index.json"),
        hardlink("link", "index.json"),
        hardlink("link", "/etc/passwd"),
        symlink("", "index.json"),
    ],
)
def test_17_links(archive: Path, part: Part) -> None:
    assert appended(archive, part) == {"document-malformed"}


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.AREGTYPE,
        tarfile.GNUTYPE_SPARSE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
        tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"D", b"M", b"V", b"Z",
    ],
)  # fmt: skip
def test_18_members_of_odd_kinds(archive: Path, kind: bytes) -> None:
    assert appended(archive, Part("x", b"index.json\0", kind=kind)) == {"document-malformed"}


@pytest.mark.parametrize("key", ["path", "linkpath", "GNU.sparse.name", "GNU.sparse.size"])
def test_18_records_that_override_a_name(archive: Path, key: str) -> None:
    record = f" {key}=index.json\n"
    length = len(record) + 2
    assert appended(archive, Part("x", f"{length}{record}".encode(), kind=tarfile.XHDTYPE)) == {
        "document-malformed"
    }


@pytest.mark.parametrize(
    "part",
    [
        Part("index.json", b"{}"),
        Part("./index.json", b"{}"),
        folder("index.json"),
        Part("manifest.json", b"[]"),
        folder("blobs/sha256/"),
    ],
)
def test_19_a_name_that_is_there_twice(archive: Path, part: Part) -> None:
    assert appended(archive, part) == {"document-malformed"}


def test_19_the_last_one_wins_for_others(archive: Path, signed: Signed, tmp_path: Path) -> None:
    """tar(1) unpacks the second, evil layer over the first, good one."""
    digest = signed.image.layers[0].digest
    evil = Part(f"blobs/sha256/{digest.hex}", b"evil")
    assert appended(archive, evil) == {"document-malformed"}
    subprocess.run(["tar", "-C", tmp_path, "-xf", archive], check=True)
    assert (tmp_path / "blobs" / "sha256" / digest.hex).read_bytes() == b"evil"


def test_19_a_file_that_is_a_folder_too(archive: Path) -> None:
    assert appended(archive, Part("index.json/x")) == {"document-malformed"}


def test_21_a_size_that_is_not_there(archive: Path) -> None:
    part = bytearray(tar_bytes([Part("x")])[:512])
    part[124:136] = b"77777777777\0"
    part[148:156] = b" " * 8
    part[148:156] = b"%06o\0 " % sum(part)
    rewrite(archive, lambda data: members_alone(data) + bytes(part) + bytes(1024))
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


def test_21_more_members_than_any_image_has(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_files, "MOST_FILES", 10)
    assert appended(archive, *(Part(f"x{n}") for n in range(10))) == {"limit-exceeded"}


@pytest.mark.parametrize("left", [0, 1, 100, 512, 513, 5000])
def test_22_a_truncated_archive(archive: Path, left: int) -> None:
    rewrite(archive, lambda data: data[:left])
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


def test_22_a_truncated_last_member(archive: Path) -> None:
    rewrite(archive, lambda data: data[:-1600])
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


@pytest.mark.parametrize("between", [b"", bytes(512), bytes(10240)])
def test_22_two_archives_in_a_row(archive: Path, between: bytes) -> None:
    """Readers that ignore zeros (tar -i) see the second one too."""
    rewrite(archive, lambda data: data + between + tar_bytes([Part("index.json", b"{}")]))
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


def test_22_something_that_is_an_archive_of_another_kind_at_its_end(archive: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("x", b"x")
    rewrite(archive, lambda data: data + out.getvalue())
    assert codes(verify_archive(archive, check())) == {"document-malformed"}


# 24: an index within a layout


@pytest.fixture(params=["folder", "archive"])
def verified(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], list[Verdict]]:
    """Verify a layout as it is, or as an archive of it."""

    def run(layout: Path) -> list[Verdict]:
        if request.param == "folder":
            return verify_layout(layout, check())
        with tarfile.open(tmp_path / "index.tar", "w") as tar:
            tar.add(layout, ".")
        return verify_archive(tmp_path / "index.tar", check())

    return run


Verified = Callable[[Path], list[Verdict]]


def gpu(folder: Path, key: FileKey | None = KEY) -> Signed:
    return Signed.make(folder, key=key, reference="demo:gpu", labels={"a": "b"})


def test_24_a_signed_index_of_signed_images(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    other = gpu(tmp_path)
    place = index_layout(tmp_path / "index", [signed, other])
    index, *images = verified(place)
    assert [one.good and one.hashed for one in (index, *images)] == [True] * 3
    assert [one.digest for one in images] == [signed.image.digest, other.image.digest]
    assert [one.listed_by for one in images] == [index.digest] * 2
    rewrite(blob(place, other.image.layers[1].digest), lambda data: b"x" + data[1:])
    assert codes(verified(place)) == {"blob-damaged"}


def test_24_an_unsigned_image_in_a_signed_index(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    place = index_layout(tmp_path / "index", [signed, gpu(tmp_path, key=None)])
    assert [codes([one]) for one in verified(place)] == [set(), set(), {"unsigned"}]


def test_24_an_image_of_a_stranger_in_a_signed_index(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    place = index_layout(tmp_path / "index", [signed, gpu(tmp_path, key=STRANGER)])
    told = [codes([one]) for one in verified(place)]
    assert told == [set(), set(), {"predicate-missing", "key-untrusted"}]


def test_24_an_unsigned_index_of_signed_images(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    place = index_layout(tmp_path / "index", [signed], key=None)
    assert [codes([one]) for one in verified(place)] == [{"unsigned"}, set()]


def test_24_platforms_that_were_swapped(tmp_path: Path, signed: Signed, verified: Verified) -> None:
    """The swapped index is another one, and nobody has signed that."""
    place = index_layout(tmp_path / "index", [signed, gpu(tmp_path)])

    def swap(index: dict[str, Any]) -> None:
        entry = index["manifests"][0]
        document = json.loads(blob(place, Digest.parse(entry["digest"])).read_bytes())
        one, two = document["manifests"]
        one["platform"], two["platform"] = two["platform"], one["platform"]
        entry.update(put_blob(place, canonical.dumps(document)))

    reindex(place, swap)
    index, *images = verified(place)
    assert "unsigned" in codes([index])
    assert all(codes([one]) == {"blob-extra"} for one in images), "of the index that was"


def listing(place: Path, *children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    document = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": children, **fields}
    return {"mediaType": INDEX_TYPE, **put_blob(place, canonical.dumps(document))}


def child_of(place: Path, signed: Signed) -> dict[str, Any]:
    return {"mediaType": MANIFEST_TYPE, **put_blob(place, signed.image.manifest)}


def test_24_an_index_within_an_index(layout: Path, signed: Signed, verified: Verified) -> None:
    inner = listing(layout, child_of(layout, signed))
    reindex(layout, lambda index: index["manifests"].append(listing(layout, inner)))
    assert codes(verified(layout)) == {"document-malformed"}


@pytest.mark.parametrize(
    "fields",
    [{"config": {}}, {"layers": []}, {"mediaType": MANIFEST_TYPE}, {"manifests": {}}, {"blobs": 1}],
)
def test_24_an_index_that_others_take_for_an_image(
    layout: Path, signed: Signed, fields: dict[str, Any]
) -> None:
    entry = listing(layout, child_of(layout, signed), **fields)
    reindex(layout, lambda index: index["manifests"].append(entry))
    assert found(layout) == {"document-malformed"}


@pytest.mark.parametrize("where", ["in index.json", "in an index"])
def test_24_an_image_that_others_take_for_an_index(
    layout: Path, signed: Signed, where: str
) -> None:
    both = json.loads(signed.image.manifest) | {"manifests": []}
    entry = {"mediaType": MANIFEST_TYPE, **put_blob(layout, canonical.dumps(both))}
    if where == "in an index":
        entry = listing(layout, entry)
    reindex(layout, lambda index: index["manifests"].append(entry))
    assert found(layout) == {"document-malformed"}


def test_24_an_image_with_another_size_than_the_index_says(layout: Path, signed: Signed) -> None:
    child = child_of(layout, signed)
    entry = listing(layout, child, {**child, "size": child["size"] + 1})
    reindex(layout, lambda index: index["manifests"].append(entry))
    assert found(layout) == {"blob-damaged"}


def test_24_an_image_that_the_index_lists_and_the_layout_lacks(layout: Path) -> None:
    absent = {"mediaType": MANIFEST_TYPE, "digest": str(Digest.of(b"absent")), "size": 6}
    reindex(layout, lambda index: index["manifests"].append(listing(layout, absent)))
    assert found(layout) == {"blob-damaged"}


def test_24_a_layer_that_only_the_index_knows(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    other = gpu(tmp_path)
    place = index_layout(tmp_path / "index", [signed, other])
    blob(place, other.image.image_id).unlink()
    assert codes(verified(place)) == {"blob-damaged"}


def test_24_what_the_index_does_not_reach(
    tmp_path: Path, signed: Signed, verified: Verified
) -> None:
    place = index_layout(tmp_path / "index", [signed])
    put_blob(place, gpu(tmp_path).image.manifest)
    assert codes(verified(place)) == {"blob-extra"}


def test_24_indexes_that_list_too_much(layout: Path, signed: Signed) -> None:
    many = listing(layout, *[child_of(layout, signed)] * 101)
    reindex(layout, lambda index: index["manifests"].append(many))
    assert "limit-exceeded" not in found(layout)
    reindex(layout, lambda index: index["manifests"].append(many))
    assert found(layout) == {"limit-exceeded"}


def test_24_an_index_that_passes_for_an_attachment(layout: Path, signed: Signed) -> None:
    entry = listing(layout, child_of(layout, signed))
    entry["annotations"] = {REFERENCE_ANNOTATION: "latest"}
    reindex(layout, lambda index: index["manifests"].append({**entry, "artifactType": BUNDLE_TYPE}))
    assert found(layout) == {"blob-extra"}


def test_24_one_name_for_two_images(layout: Path, signed: Signed) -> None:
    """Which of them others take, nobody knows."""
    entry = listing(layout, child_of(layout, signed))
    entry["annotations"] = {REFERENCE_ANNOTATION: "demo:cpu"}
    reindex(layout, lambda index: index["manifests"].append(entry))
    assert found(layout) == {"document-malformed"}


def test_24_the_digest_that_was_asked_for(tmp_path: Path, signed: Signed) -> None:
    place = index_layout(tmp_path / "index", [signed])
    index, image = verify_layout(place, check())
    assert not codes(verify_layout(place, check(), asked=index.digest))
    assert codes(verify_layout(place, check(), asked=image.digest)) == {"subject-mismatch"}


# 25: signatures that were removed


@pytest.mark.parametrize("blobs_too", [False, True])
def test_25_signatures_that_were_removed(layout: Path, signed: Signed, blobs_too: bool) -> None:
    reindex(layout, lambda index: index.update(manifests=index["manifests"][:1]))
    if blobs_too:
        for one in signed.attachments:
            for data in (one.manifest, *one.blobs):
                blob(layout, Digest.of(data)).unlink(missing_ok=True)
    assert found(layout) == ({"unsigned"} if blobs_too else {"unsigned", "blob-extra"})


# 29: between looking and using


def test_29_a_policy_that_comes_with_what_it_judges(tmp_path: Path, signed: Signed) -> None:
    place = signed.layout(tmp_path / "project")
    (place / "hps.toml").write_text("")
    (place / "hps-policy.toml").write_text("version = 1")
    done = subprocess.run(
        [sys.executable, "-m", "hps", "verify", "."],
        check=False, cwd=place, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "which it should judge" in done.stderr


def test_29_an_archive_that_is_replaced_while_it_is_verified(
    tmp_path: Path, archive: Path, signed: Signed
) -> None:
    other = Signed.make(tmp_path / "other", key=None, labels={"evil": "yes"})
    evil = other.archive(tmp_path / "evil.tar")
    first = threading.Lock()

    def replace(_: int) -> None:
        if first.acquire(blocking=False):
            evil.replace(archive)

    (verdict,) = verify_archive(archive, check(watch=replace))
    assert verdict.good, "what was opened is what was judged"
    assert verdict.digest == signed.image.digest
    assert codes(verify_archive(archive, check())) == {"unsigned"}


# 36: terminals


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;x\x07", "\u202e", "\r", "a\nBAD", "\x9b1m"])
def test_36_names_that_play_with_the_terminal(tmp_path: Path, text: str) -> None:
    layout = Signed.make(tmp_path).layout(tmp_path / "layout")

    def rename(index: dict[str, Any]) -> None:
        index["manifests"][0]["annotations"][REFERENCE_ANNOTATION] = text

    reindex(layout, rename)
    (layout / f"x{text}").write_bytes(b"")
    told = [line for one in verify_layout(layout, check()) for line in lines(one)]
    assert all(line.isprintable() for line in told)
    assert any("blob-extra" in line for line in told)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(digest="sha1:" + "0" * 40),
        lambda entry: entry.update(digest="sha256:" + "A" * 64),
        lambda entry: entry.update(digest="sha256:../../../etc/passwd"),
        lambda entry: entry.update(size=-1),
        lambda entry: entry.update(size=1.5),
        lambda entry: entry.update(size="1"),
        lambda entry: entry.update(size=1 << 60),
        lambda entry: entry.pop("digest"),
        lambda entry: entry.update(annotations=["x"]),
    ],
)
def test_23_descriptors_that_are_none(layout: Path, change: Change) -> None:
    reindex_raw(layout, change)
    assert found(layout) == {"document-malformed"}


def reindex_raw(layout: Path, change: Change) -> None:
    document = json.loads((layout / "index.json").read_bytes())
    change(document["manifests"][0])
    (layout / "index.json").write_text(json.dumps(document))
