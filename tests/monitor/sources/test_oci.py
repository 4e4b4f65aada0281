"""Models in a real registry: the contract, and what only a registry can meet."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.model import artifact, donefile
from hps.model.archive import Form
from hps.monitor.look import Look, agree
from hps.monitor.pull import pull
from hps.monitor.source import PIECE, Caps, SourceError, Trouble
from hps.monitor.sources.oci import OciPlace, OciSource
from hps.oci.attachment import EMPTY, EMPTY_TYPE
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from tests.monitor.sources.contract import (
    QUICK,
    ModelContract,
    Place,
    all_of,
    contents,
    noise,
    trouble,
)
from tests.monitor.sources.contract import donefile as donefile_of
from tests.monitor.sources.oci_place import RegistryPlace, blob_of
from tests.oci.registry_server import Authority, RegistryServer, docker_config

INDEX = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % INDEX_TYPE.encode()


@pytest.fixture
def place(
    registry: RegistryServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[RegistryPlace]:
    group = Digest.of(f"{request.node.nodeid}{tmp_path}".encode()).short
    with RegistryPlace.made(registry, group) as made:
        yield made


class TestOci(ModelContract):
    """The contract."""

    def test_nothing_is_carried_on_with_another_file(self, place: Place) -> None:
        """A file is known by its digest: what is read on is what was found, or nothing."""
        place.put("model", b"a" * 1000)
        source = place.source()
        (found,) = source.model()
        place.put("model", b"b" * 1500)
        assert all_of(source, found, 500) == (500, b"a" * 500)
        assert not agree(found, source.model()[0])


class TestManifestAsDonefile:
    """What the contract asks of donefiles, where the manifest is one."""

    def test_no_tag_is_no_donefile(self, place: RegistryPlace) -> None:
        source = place.source()
        assert source.donefile() is None
        place.put("model", b"model")
        assert donefile_of(source).found.tokens.keys() == {"digest"}

    def test_one_that_stays_is_the_same(self, place: RegistryPlace) -> None:
        place.put("model", b"model")
        source = place.source()
        first, second = donefile_of(source), donefile_of(source)
        assert Look(first, ()).is_like(Look(second, ()))
        assert Look(donefile_of(place.source()), ()).is_like(Look(first, ()))

    def test_each_of_three_is_seen_the_last_an_older_one(self, place: RegistryPlace) -> None:
        source = place.source()
        seen = []
        for content in (b"one", b"two", b"one"):
            place.put("model", content)
            seen.append(Look(donefile_of(source), source.model()))
        assert not seen[0].is_like(seen[1])
        assert not seen[1].is_like(seen[2])
        assert seen[0].is_like(seen[2])

    def test_it_gives_the_checksums(self, place: RegistryPlace) -> None:
        place.put("model", b"packed")
        hint = donefile.read(donefile_of(place.source()).content)
        assert hint.archive_digest("") == Digest.of(b"packed")
        place.remove("model")
        place.put("model/a", b"1")
        place.put("model/b/c", b"2")
        hint = donefile.read(donefile_of(place.source()).content)
        assert {each.path for each in hint.checksums} == {"a", "b/c"}

    def test_a_long_one_is_cut_off_at_the_cap(self, place: RegistryPlace) -> None:
        for name in ("a", "b", "c"):
            place.put(f"model/{name}", name.encode())
        content = donefile_of(place.source()).content
        source = place.source(caps=Caps(donefile=70))
        for _ in range(3):
            assert donefile_of(source).content == content[:70]


def test_a_tag_that_moves_between_two_questions_gives_no_mixture(place: RegistryPlace) -> None:
    place.put("model", b"one")
    source = place.source()
    seen = donefile_of(source)
    place.put("model", b"two")
    (found,) = source.model()
    assert all_of(source, found)[1] == b"one"
    assert donefile.read(seen.content).digest == Digest.of(b"one")
    (found,) = source.model()
    assert all_of(source, found)[1] == b"two"


def test_a_tag_that_moves_during_the_pull_makes_it_start_again(
    place: RegistryPlace, tmp_path: Path
) -> None:
    place.put("model", noise(3 * PIECE, 1))
    moved: list[bool] = []

    def move(*_: int) -> None:
        if not moved:
            moved.append(True)
            place.put("model", b"new")

    pulled = pull(place.source(), tmp_path / "pull", effort=QUICK, progress=move)
    assert contents(pulled) == {"": b"new"}
    assert pulled.before.is_like(pulled.after)


def test_a_digest_names_one_artifact_for_ever(place: RegistryPlace) -> None:
    place.put("model", b"one")
    with place.client() as registry:
        digest = registry.manifest("live").digest
    place.put("model", b"two")
    source = OciSource(OciPlace(reference=place.reference().at(digest), environment={}))
    place.opened.append(source)
    assert [all_of(source, found)[1] for found in source.model()] == [b"one"]


def test_damaged_bytes_are_found_and_not_kept(place: RegistryPlace, tmp_path: Path) -> None:
    data = noise(PIECE + 5)
    place.put("model", data)
    place.blob(data).write_bytes(data[:-1] + b"X")
    with pytest.raises(SourceError) as caught:
        pull(place.source(), tmp_path / "pull", effort=QUICK)
    assert "digest" in caught.value.message
    place.blob(data).write_bytes(data)
    assert contents(pull(place.source(), tmp_path / "pull", effort=QUICK)) == {"": data}


@pytest.mark.parametrize(("change", "kind"), [(-1, Trouble.TRUNCATED), (1, Trouble.MALFORMED)])
def test_another_size_than_the_manifest_tells_is_refused(
    place: RegistryPlace, change: int, kind: Trouble
) -> None:
    data = noise(PIECE + 5)
    place.put("model", data)
    place.blob(data).write_bytes(noise(len(data) + change))
    source = place.source()
    (found,) = source.model()
    for offset in (0, 7):
        assert trouble(lambda offset=offset: all_of(source, found, offset)) is kind  # type: ignore[misc] # mypy infers no type for a default of a lambda


def test_an_index_is_no_model(place: RegistryPlace) -> None:
    place.push(INDEX, INDEX_TYPE)
    source = place.source()
    assert trouble(source.donefile) is Trouble.MALFORMED
    assert trouble(source.model) is Trouble.MALFORMED
    place.put("model", b"here")
    assert [all_of(source, found)[1] for found in source.model()] == [b"here"]


def test_what_is_no_model_is_told_until_it_is_one(place: RegistryPlace) -> None:
    place.upload(EMPTY, b"data")
    wrong = artifact.write_packed(Form.TAR, "m", blob_of(b"data"), {}).replace(
        artifact.ARCHIVE_TYPES[Form.TAR].encode() + b'"', b'text/plain"'
    )
    place.push(wrong.replace(b"image.title", b"image.other"))
    source = place.source()
    assert trouble(source.donefile) is Trouble.MALFORMED
    place.put("model", b"here")
    assert donefile_of(source).content


def test_a_name_that_leads_elsewhere_is_not_pulled(place: RegistryPlace, tmp_path: Path) -> None:
    place.upload(EMPTY, b"data")
    manifest = artifact.write([artifact.Layer("a/b", blob_of(b"data"))], {})
    place.push(manifest.replace(b'"a/b"', b'"../b"'))
    with pytest.raises(SourceError) as caught:
        pull(place.source(), tmp_path / "pull", effort=QUICK)
    assert caught.value.trouble is Trouble.MALFORMED


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """A registry that wants a password."""
    folder, users = tmp_path_factory.mktemp("registry"), {"reader": "geheim"}
    with RegistryServer.start(folder, authority=authority, users=users) as running:
        yield running


class TestLogins:
    """A registry that lets some in: with a password, with tokens, behind its own authority."""

    def test_the_password_of_dockers_configuration_lets_in(
        self, server: RegistryServer, authority: Authority, tmp_path: Path
    ) -> None:
        with opened(server, authority.path, tmp_path) as source:
            assert trouble(source.donefile) is Trouble.REFUSED
            docker_config(tmp_path, server.host, "reader", "wrong")
            assert trouble(source.donefile) is Trouble.REFUSED
            docker_config(tmp_path, server.host, "reader", "geheim")
            assert source.donefile() is None
            docker_config(tmp_path, server.host, "reader", "wrong")
            assert source.donefile() is None  # the one that works is kept

    def test_an_authority_that_is_not_trusted_is_refused(
        self, server: RegistryServer, tmp_path: Path
    ) -> None:
        with opened(server, None, tmp_path) as source:
            assert trouble(source.donefile) is Trouble.REFUSED
        with opened(server, tmp_path / "none", tmp_path) as source:
            assert trouble(source.donefile) is Trouble.UNUSABLE


def test_what_oras_pushes_is_read(place: RegistryPlace, tmp_path: Path) -> None:
    """As ORAS 1.2 writes `oras push REFERENCE a/weights.bin b.txt`."""
    files = {"a/weights.bin": b"weights", "b.txt": b"text"}
    empty = {"mediaType": EMPTY_TYPE, "digest": str(Digest.of(EMPTY)), "size": 2, "data": "e30="}
    layers = [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": str(Digest.of(data)),
            "size": len(data),
            "annotations": {"org.opencontainers.image.title": title},
        }
        for title, data in files.items()
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": empty,
        "layers": layers,
        "annotations": {"org.opencontainers.image.created": "2026-11-22T10:00:00Z"},
    }
    place.upload(EMPTY, *files.values())
    place.push(json.dumps(manifest).encode())
    assert contents(pull(place.source(), tmp_path / "pull", effort=QUICK)) == files


@contextlib.contextmanager
def opened(server: RegistryServer, authority: Path | None, folder: Path) -> Iterator[OciSource]:
    source = OciSource(
        OciPlace(
            reference=Reference.parse(f"{server.host}/models/ocr:live"),
            environment={"DOCKER_CONFIG": str(folder)},
            authority=authority,
        )
    )
    try:
        yield source
    finally:
        source.close()
