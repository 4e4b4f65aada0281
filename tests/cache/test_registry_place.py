"""A real registry as a place of a shared cache."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hps import canonical
from hps.cache.open_place import open_place
from hps.cache.place import Place, ReadOnlyError
from hps.cache.registry_place import DOCUMENT_TYPE
from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, MalformedError, PublishError, UsageError
from hps.oci.image import MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.store.blobs import Store
from tests.cache.lab import Graph
from tests.cache.place_contract import BODY, NAME, PlaceContract, blob
from tests.oci.registry_server import Authority, RegistryServer, docker_config

TAG = NAME.replace("/", "-")


@pytest.fixture
def registry_server(tmp_path: Path) -> Iterator[RegistryServer]:
    """One for each test: repositories share blobs, damaged ones too."""
    with RegistryServer.start(tmp_path / "registry") as running:
        yield running


class TestRegistry(PlaceContract):
    @pytest.fixture
    def repository(self, registry_server: RegistryServer) -> str:
        return f"{registry_server.host}/team/cache"

    @pytest.fixture
    def place(self, repository: str, tmp_path: Path) -> Iterator[Place]:
        place = open_place(f"oci://{repository}", folder=tmp_path, patience=20, environment={})
        with contextlib.closing(place):
            yield place

    @pytest.fixture
    def damage(self, registry_server: RegistryServer) -> Callable[[Blob, bytes], object]:
        def replace(one: Blob, data: bytes) -> None:
            registry_server.blob_path(one.digest.hex).write_bytes(data)

        return replace

    def test_what_was_half_written_is_written_again(
        self,
        place: Place,
        file: Callable[[bytes], Path],
        damage: Callable[[Blob, bytes], object],
    ) -> None:
        """A registry verifies uploads, so this is a damaged disk, and it writes nothing again."""
        place.upload(blob(BODY), file(BODY))
        damage(blob(BODY), BODY[:1000])
        place.upload(blob(BODY), file(BODY))
        assert not place.has(blob(BODY))

    def test_a_push_tells_that_the_registry_keeps_something_else(
        self, place: Place, registry_server: RegistryServer, tmp_path: Path
    ) -> None:
        graph, store = Graph(), Store(tmp_path / "store")
        graph.fill(store)
        done = graph.push(store, place)
        wire = done.sent[graph.outputs(graph.large)["layer"].digest].wire
        registry_server.blob_path(wire.digest.hex).write_bytes(b"damaged")
        with pytest.raises(PublishError, match="keeps something else"):
            graph.push(store, place)

    def test_a_document_takes_one_request_and_names_its_blobs(
        self, place: Place, repository: str, file: Callable[[bytes], Path]
    ) -> None:
        """A registry collects what no manifest names."""
        place.upload(blob(BODY), file(BODY))
        place.write(NAME, b'{"a":1}', (blob(BODY),))
        with RegistryClient(Reference.parse(repository)) as client:
            manifest = client.manifest(TAG).as_json()
        first, second = manifest["layers"]
        assert first["mediaType"] == DOCUMENT_TYPE
        assert first["data"] == "eyJhIjoxfQ=="
        assert second["digest"] == str(blob(BODY).digest)

    def test_a_document_that_is_not_inside_is_fetched(self, place: Place, repository: str) -> None:
        place.write(NAME, b'{"a":1}')
        with RegistryClient(Reference.parse(repository)) as client:
            manifest = client.manifest(TAG).as_json()
            del manifest["layers"][0]["data"]
            client.put(ManifestDocument(MANIFEST_TYPE, canonical.dumps(manifest)), TAG)
        assert place.read(NAME, 100) == b'{"a":1}'
        with pytest.raises(IntegrityError):
            place.read(NAME, 3)

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"data": "eyJhIjoyfQ=="}, IntegrityError),
            ({"data": "!"}, MalformedError),
            ({"data": 7}, MalformedError),
            ({"mediaType": "text/plain"}, MalformedError),
            ({"size": 8}, IntegrityError),
        ],
    )
    def test_manifests_that_lie(
        self, place: Place, repository: str, change: dict[str, object], error: type[Exception]
    ) -> None:
        place.write(NAME, b'{"a":1}')
        with RegistryClient(Reference.parse(repository)) as client:
            manifest = client.manifest(TAG).as_json()
            manifest["layers"][0] |= change
            client.put(ManifestDocument(MANIFEST_TYPE, canonical.dumps(manifest)), TAG)
        with pytest.raises(error):
            place.read(NAME, 100)

    def test_garbage_collection_keeps_what_documents_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "own"
        with RegistryServer.start(folder) as server:
            place = open_place(
                f"oci://{server.host}/cache", folder=tmp_path, patience=20, environment={}
            )
            (tmp_path / "kept").write_bytes(BODY)
            (tmp_path / "stray").write_bytes(b"stray")
            place.upload(blob(BODY), tmp_path / "kept")
            place.upload(blob(b"stray"), tmp_path / "stray")
            place.write(NAME, b"{}", (blob(BODY),))
        subprocess.run(
            ["docker-registry", "garbage-collect", str(folder / "config.json")],
            check=True,
            capture_output=True,
        )
        with RegistryServer.start(folder) as server:
            place = open_place(
                f"oci://{server.host}/cache", folder=tmp_path, patience=20, environment={}
            )
            assert place.read(NAME, 100) == b"{}"
            assert place.has(blob(BODY))
            assert not place.has(blob(b"stray"))


def test_users_and_tls(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    users = {"pusher": "password"}
    with RegistryServer.start(tmp_path / "server", authority=authority, users=users) as server:
        stranger = {"HPS_REGISTRY_CA": str(authority.path), "DOCKER_CONFIG": str(tmp_path)}
        address = f"oci://{server.host}/team/cache"
        place = open_place(address, folder=tmp_path, patience=20, environment=stranger)
        with pytest.raises(ReadOnlyError):
            place.write(NAME, b"{}")
        with pytest.raises(FetchError):
            place.read(NAME, 100)
        config = docker_config(tmp_path / "docker", server.host, "pusher", "password")
        known = {**stranger, "DOCKER_CONFIG": str(config)}
        place = open_place(address, folder=tmp_path, patience=20, environment=known)
        place.write(NAME, b"{}")
        assert place.read(NAME, 100) == b"{}"


@pytest.mark.parametrize(
    "address",
    ["oci://127.0.0.1:1/a:tag", "oci://127.0.0.1:1", f"oci://h.example/a@{Digest.of(b'')}"],
)
def test_addresses_that_are_no_repository(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_place(address, folder=tmp_path, patience=1, environment={})


def test_a_registry_that_is_not_there(tmp_path: Path) -> None:
    place = open_place("oci://127.0.0.1:1/cache", folder=tmp_path, patience=2, environment={})
    with pytest.raises(FetchError):
        place.read(NAME, 100)
    assert json.dumps(place.name)
