"""Publishing to a real registry, where the tag is the donefile."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hps import canonical
from hps.errors import HpsError, UsageError
from hps.model import artifact
from hps.model.donefile import Hint
from hps.monitor.sources.oci import OciPlace, OciSource
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.publish.open import Access, open_destination
from hps.publish.prepare import Release
from hps.publish.publish import publish
from hps.publish.registry import RegistryDestination, hint_of
from tests.oci.registry_server import Authority, RegistryServer, docker_config
from tests.publish.contract import NAMES, DestinationContract, Shop
from tests.publish.releases import made

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path_factory.mktemp("registry")) as running:
        yield running


def reference(server: RegistryServer) -> Reference:
    return Reference.parse(f"{server.host}/models/ocr-{next(NUMBERS)}:live")


@pytest.fixture
def shop(server: RegistryServer) -> Shop:
    place = reference(server)
    environment: Mapping[str, str] = {}
    return Shop(
        lambda release, names: RegistryDestination(
            RegistryClient(place, environment=environment), "live", release, names
        ),
        lambda: OciSource(OciPlace(reference=place, environment=environment)),
        set,
        tells_pair=False,
        stages=False,
    )


class TestRegistry(DestinationContract):
    """The contract."""


def test_people_and_oras_see_what_it_is(server: RegistryServer, tmp_path: Path) -> None:
    place, release = reference(server), made(tmp_path, 7)
    client = RegistryClient(place)
    destination = RegistryDestination(client, "live", release, NAMES)
    assert destination.published() is None
    publish(destination, release, NAMES)
    document = RegistryClient(place).manifest("live")
    value = document.as_json()
    assert value["artifactType"] == artifact.ARTIFACT_TYPE
    assert value["annotations"] == {
        artifact.NAME: "ocr",
        artifact.CHANNEL: "stable",
        artifact.SEQUENCE: "7",
    }
    (layer,) = value["layers"]
    assert layer["annotations"] == {artifact.TITLE: "ocr.tar.gz"}
    assert layer["digest"] == str(release.archive.blob.digest)
    hint = hint_of(document)
    assert (hint.model, hint.channel, hint.sequence) == ("ocr", "stable", 7)
    assert hint.archive is not None
    assert hint.archive.blob == release.archive.blob


def note(**changes: object) -> ManifestDocument:
    layer = {"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 1}
    names = {artifact.NAME: "ocr", artifact.CHANNEL: "stable", artifact.SEQUENCE: "7"}
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": layer,
        "layers": [{**layer, "annotations": {artifact.TITLE: "m.tar"}}],
        "annotations": {**names, **changes},
    }
    return ManifestDocument(MANIFEST_TYPE, canonical.dumps(value))


def test_what_others_pushed_is_a_hint_or_none() -> None:
    assert hint_of(note()).sequence == 7
    for wrong in (
        {artifact.SEQUENCE: "7" * 40},
        {artifact.SEQUENCE: "-7"},
        {artifact.SEQUENCE: "x"},
        {artifact.NAME: 7},
        {artifact.CHANNEL: None},
    ):
        assert hint_of(note(**wrong)) == Hint()
    assert hint_of(ManifestDocument(INDEX_TYPE, b"{}")) == Hint()
    empty = canonical.dumps({"schemaVersion": 2, "annotations": "none", "layers": []})
    assert hint_of(ManifestDocument(MANIFEST_TYPE, empty)) == Hint()


def test_an_archive_of_another_form_is_refused(server: RegistryServer, tmp_path: Path) -> None:
    release = made(tmp_path, 1)
    other = Release(release.archive, "tar.bz2", release.signed, release.manifest)
    with pytest.raises(UsageError, match="registry"):
        RegistryDestination(RegistryClient(reference(server)), "live", other, NAMES)


@pytest.mark.parametrize("password", ["hidden", "wrong", None])
def test_users_are_let_in_as_docker_lets_them_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    """Over TLS, with what `docker login` left; for the publisher, and for the monitor."""
    authority = Authority.make(tmp_path)
    users = {"ann": "hidden"}
    with RegistryServer.start(tmp_path / "registry", authority=authority, users=users) as server:
        folder = tmp_path / "docker"
        if password is not None:
            docker_config(folder, server.host, "ann", password)
        monkeypatch.setenv("DOCKER_CONFIG", str(folder))
        release = made(tmp_path, 7)
        to = f"oci://{server.host}/models/ocr:live"
        destination = open_destination(to, Access(authority=authority.path), release, NAMES)
        if password != "hidden":
            with pytest.raises(HpsError) as caught:
                publish(destination, release, NAMES)
            assert "hidden" not in str(caught.value)
            assert "login" in str(caught.value)
            return
        publish(destination, release, NAMES)
        place = OciPlace(
            reference=Reference.parse(to.removeprefix("oci://")),
            environment={"DOCKER_CONFIG": str(folder)},
            authority=authority.path,
        )
        (found,) = OciSource(place).model()
        assert found.size == release.archive.blob.size
