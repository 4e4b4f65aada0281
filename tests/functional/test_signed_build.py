"""`hps build` with a key: what is laid beside the image, and what is never unsigned by accident."""

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.oci.layout import check_layout
from hps.oci.layout_reading import open_layout
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.policy import Policy
from hps.trust.predicates import PROVENANCE, SBOM, SIGNATURE
from hps.trust.public_key import PublicKey
from hps.trust.statement import Statement
from hps.trust.verification import Check, verify_layout
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


@pytest.fixture
def keys(lab: Laboratory, tmp_path: Path) -> Path:
    """A key called `release`, without a passphrase."""
    lab.environment["HPS_KEYS"] = str(tmp_path / "keys")
    lab.run("key", "generate", "release", "--no-passphrase")
    return tmp_path / "keys"


def policy(keys: Path, name: str = "release") -> Policy:
    return Policy.of_keys({name: PublicKey.from_pem((keys / f"{name}.pub").read_bytes())})


def reasons(lab: Laboratory, asked: Policy) -> set[str]:
    verdicts = verify_layout(lab.layout, Check(asked, datetime.now(UTC)))
    assert len(verdicts) == 1
    return {reason.code for reason in verdicts[0].reasons}


def predicates(lab: Laboratory) -> dict[str, Statement]:
    found = {}
    for one in open_layout(lab.layout).attachments:
        if one.subject is not None:
            content = Bundle.from_bytes(one.blobs[1]).content
            assert isinstance(content, Envelope)
            statement = Statement.from_bytes(content.payload)
            found[statement.predicate_type] = statement
    return found


def test_a_signed_build(lab: Laboratory, keys: Path) -> None:
    before = lab.image()
    done = lab.run("build", "--key", "release", "--json")
    (told,) = done.json
    assert "not signed" not in done.err
    assert lab.image() == before == told["digest"]  # a signature changes no image
    check_layout(lab.layout)
    assert not reasons(lab, policy(keys))
    assert told["signed_by"]["key"] == "release"
    assert len(told["attachments"]) == 5


def test_what_is_said_is_about_this_image_and_this_lock(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    said = predicates(lab)
    assert set(said) == {SIGNATURE, PROVENANCE, SBOM}
    assert {str(one.subjects[0].digest) for one in said.values()} == {lab.image()}
    named = {
        one["digest"]["sha256"]
        for one in said[PROVENANCE].predicate["buildDefinition"]["resolvedDependencies"]
    }
    locked = {one.sha256 for one in (*lab.target.wheels, *lab.target.debs, *lab.target.archives)}
    assert locked <= named
    assert Digest.of(lab.lock_path.read_bytes()).hex in named
    exported = json.loads(lab.run("export", "sbom").out)
    assert said[SBOM].predicate == exported


def test_a_signed_build_with_nothing_to_do(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    index = lab.layout / "index.json"
    before = index.stat().st_ino, index.stat().st_mtime_ns
    # The private half is not needed: nothing has to be signed.
    (keys / "release.key").rename(keys / "elsewhere")
    told = lab.run("build", "--key", "release", "--json").json[0]
    assert not told["changed"]
    assert (index.stat().st_ino, index.stat().st_mtime_ns) == before


def test_built_again_the_same_bytes_lie_beside_the_image(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    before = (lab.layout / "index.json").read_bytes()
    lab.run("build", "--key", "release", "--check")
    assert (lab.layout / "index.json").read_bytes() == before


def test_who_only_looks_or_runs_takes_no_signature_away(lab: Laboratory, keys: Path) -> None:
    """These build what is not there; the key need not be at hand for them."""
    lab.run("build", "--key", "release")
    index = (lab.layout / "index.json").read_bytes()
    lab.run("why", "/usr/bin/python3.11")
    lab.run("run", "cpu", "--entrypoint", "/usr/bin/python3.11 -c pass")
    assert (lab.layout / "index.json").read_bytes() == index
    lab.edit("print('serving')", "print('new')", lab.folder / "server" / "main.py")
    lab.run("why", "/usr/bin/python3.11")  # another image: nobody has signed that one
    assert not open_layout(lab.layout).attachments
    lab.edit("print('new')", "print('serving')", lab.folder / "server" / "main.py")
    lab.run("build", "--key", "release")
    blob = next((lab.layout / "blobs" / "sha256").iterdir())
    blob.unlink()  # what is not whole is laid out anew
    lab.run("why", "/usr/bin/python3.11")
    check_layout(lab.layout)
    lab.run("build", "--key", "release")
    lab.run("build", "--unsigned")  # who builds says what there shall be
    assert not open_layout(lab.layout).attachments


def test_what_is_mended_stays_signed(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    layer = lab.target.layers[2].digest
    linked = lab.layout / "blobs" / "sha256" / layer.hex
    lab.damage(layer)
    linked.unlink()
    linked.hardlink_to(lab.blob(layer))
    assert "blob-damaged" in reasons(lab, policy(keys))
    lab.environment["DOCKER_HOST"] = "tcp://127.0.0.1:9"
    assert "made tool" in lab.run("load", "cpu", code=8).err  # that engine is not there
    assert not reasons(lab, policy(keys))


def test_another_key_signs_anew(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    lab.run("key", "generate", "other", "--no-passphrase")
    lab.run("build", "--key", "other")
    assert not reasons(lab, policy(keys, "other"))
    assert "key-untrusted" in reasons(lab, policy(keys))


def test_the_environment_and_hps_toml_name_keys_too(lab: Laboratory, keys: Path) -> None:
    lab.edit("[sources.debian.os]", '[signing]\nkey = "release"\n\n[sources.debian.os]')
    lab.run("build")  # the lock is not stale
    assert not reasons(lab, policy(keys))
    lab.run("key", "generate", "other", "--no-passphrase")
    lab.environment["HPS_KEY"] = "other"
    lab.run("build")
    assert not reasons(lab, policy(keys, "other"))


def test_without_a_key_it_says_so(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    done = lab.run("build")
    assert "not signed" in done.err
    assert "hps key generate" in done.err
    assert reasons(lab, policy(keys)) == {"unsigned"}


def test_a_key_that_is_asked_for_and_missing_is_an_error(lab: Laboratory, keys: Path) -> None:
    lab.run("build", "--key", "release")
    before = (lab.layout / "index.json").read_bytes()
    for words in (("build", "--key", "nobody"), ("build", "--key", "")):
        assert "error[key-unusable]" in lab.run(*words, code=2).err
    (keys / "release.key").chmod(0o644)
    lab.edit("print('serving')", "print('changed')", lab.folder / "server" / "main.py")
    assert "error[key-unusable]" in lab.run("build", "--key", "release", code=2).err
    assert (lab.layout / "index.json").read_bytes() == before


def test_unsigned_on_purpose(lab: Laboratory, keys: Path) -> None:
    lab.edit("[sources.debian.os]", '[signing]\nkey = "nobody"\n\n[sources.debian.os]')
    assert "error[key-unusable]" in lab.run("build", code=2).err
    done = lab.run("build", "--unsigned")
    assert "not signed" not in done.err  # who asked for it knows
    assert reasons(lab, policy(keys)) == {"unsigned"}
    lab.run("build", "--unsigned", "--key", "release", code=2)


def test_an_archive_is_signed_too(lab: Laboratory, keys: Path, tmp_path: Path) -> None:
    lab.run("build", "--key", "release", "--output", str(tmp_path / "image.tar"))
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    verdicts = verify_layout(tmp_path / "layout", Check(policy(keys), datetime.now(UTC)))
    assert [one.good for one in verdicts] == [True]


def test_a_signature_over_the_true_name(lab: Laboratory, keys: Path) -> None:
    lab.edit(
        "[sources.debian.os]",
        '[signing]\nkey = "release"\nreference = "registry.example/team/lab"\n\n'
        "[sources.debian.os]",
    )
    lab.run("build")
    (older,) = [
        one for one in open_layout(lab.layout).attachments if (one.tag or "").endswith(".sig")
    ]
    identity = json.loads(older.blobs[1])["critical"]["identity"]
    assert identity == {"docker-reference": "registry.example/team/lab:cpu"}


def test_docker_gets_the_image_alone(lab: Laboratory, keys: Path) -> None:
    """`manifest.json`, by which Docker loads, names images only."""
    lab.run("build", "--key", "release")
    assert len(json.loads((lab.layout / "manifest.json").read_bytes())) == 1


def test_the_signer_keeps_to_its_role(lab: Laboratory, keys: Path) -> None:
    lab.run("key", "generate", "packages", "--role", "file", "--no-passphrase")
    done = lab.run("build", "--key", "packages", code=2)
    assert "may not sign" in done.err
