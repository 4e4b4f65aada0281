"""Model releases and other programs: model_signing and cosign verify ours, we read model_signing's."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hps.model import manifest
from hps.model.folder import check_folder, read_folder
from hps.model.probe import Probe
from hps.model.release import ModelRelease
from tests.interop.clients import Clients
from tests.interop.commands import MODEL, Command, each
from tests.interop.model_signing import ModelSigning
from tests.interop.site import Site
from tests.model.releases import KEY, SECOND, STRANGER, release, signer, trusted, write

pytestmark = pytest.mark.network

RELEASE = release(
    version="1.0",
    runtime={"paddlex": ">=3.7"},
    probe=Probe({"x": {"datatype": "FP32", "shape": [1], "data": [0.5]}}, {}),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with its manifest, signed by hps."""
    folder = write(tmp_path / "model")
    (folder / "model.sig").write_bytes(manifest.sign(RELEASE, signer()))
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name, key in (("release", KEY), ("stranger", STRANGER)):
        (tmp_path / f"{name}.pub").write_bytes(key.public.pem)
        (tmp_path / f"{name}.key").write_bytes(key.pem(None))
    return tmp_path


def test_model_signing_verifies_ours(model: Path, keys: Path, model_signing: ModelSigning) -> None:
    said = model_signing.verify(model, keys / "release.pub", home=keys)
    assert said is None, said


def test_model_signing_refuses_another_key(
    model: Path, keys: Path, model_signing: ModelSigning
) -> None:
    said = model_signing.verify(model, keys / "stranger.pub", home=keys)
    assert said is not None
    assert "Key mismatch" in said, "the hint names the key as model_signing does"


@pytest.mark.parametrize(
    "change",
    [
        lambda model: (model / "run.sh").write_bytes(b"#!/bin/sh\nrm\n"),
        lambda model: (model / "run.sh").unlink(),
        lambda model: (model / "more").write_bytes(b""),
    ],
)
def test_both_refuse_a_folder_that_was_changed(
    model: Path, keys: Path, model_signing: ModelSigning, change: Callable[[Path], object]
) -> None:
    change(model)
    assert check_folder(model, RELEASE.files)
    assert model_signing.verify(model, keys / "release.pub", home=keys) is not None


def _signed(model: Path, keys: Path, tool: ModelSigning, *more: str) -> ModelRelease:
    tool.sign(model, keys / "release.key", *more, home=keys)
    found = manifest.read([(model / "model.sig").read_bytes()], [trusted()])
    assert [key.name for key in found.keys] == ["release"]
    assert found.release is not None
    return found.release


def test_we_read_what_model_signing_signed(
    model: Path, keys: Path, model_signing: ModelSigning
) -> None:
    (model / "model.sig").unlink()
    found = _signed(model, keys, model_signing)
    assert not found.sequenced
    assert found.name == "model"
    assert check_folder(model, found.files) == ()
    ours = [(one.path, one.digest) for one in RELEASE.files]
    assert [(one.path, one.digest) for one in found.files] == ours, "in the same order"
    (model / "run.sh").write_bytes(b"else")
    assert [one.path for one in check_folder(model, found.files)] == ["run.sh"]


def test_what_model_signing_leaves_unsigned_is_too_much(
    model: Path, keys: Path, model_signing: ModelSigning
) -> None:
    """It passes over .git*, and over what it is told to; a loader would not."""
    write(model, {".gitattributes": b"* -text\n", "9999/model.py": b""})
    found = _signed(model, keys, model_signing, "--ignore-paths", str(model / "9999"))
    assert model_signing.verify(model, keys / "release.pub", home=keys) is None
    paths = [one.path for one in check_folder(model, found.files)]
    assert paths == [".gitattributes", "9999/model.py"]


def test_two_tools_name_the_same_bytes_alike(
    model: Path, keys: Path, model_signing: ModelSigning
) -> None:
    ours = manifest.statement_of(RELEASE).subjects[0].digest
    found = _signed(model, keys, model_signing)
    assert manifest.root_digest(one.digest for one in found.files) == ours
    assert manifest.raw_digests(found) == manifest.raw_digests(RELEASE)


def test_a_second_signature_lies_beside(
    model: Path, keys: Path, model_signing: ModelSigning
) -> None:
    second = manifest.sign(RELEASE, signer(SECOND))
    documents = [(model / "model.sig").read_bytes(), second]
    both = [trusted(), trusted(SECOND, "second")]
    assert manifest.read(documents, both).keys == tuple(both)
    assert read_folder(model).files == RELEASE.files


@each(MODEL)
def test_cosign_verifies_ours(
    command: Command, clients: Clients, site: Site, model: Path, keys: Path
) -> None:
    digests = model.parent / "model.digests"
    digests.write_bytes(manifest.raw_digests(RELEASE))
    things = {"bundle": model / "model.sig", "file": digests, "root": site.root}
    said = command.run(clients, site.home, key=keys / "release.pub", **things)
    assert said is None, said
    assert command.run(clients, site.home, key=keys / "stranger.pub", **things) is not None
    digests.write_bytes(digests.read_bytes()[32:])
    assert command.run(clients, site.home, key=keys / "release.pub", **things) is not None
