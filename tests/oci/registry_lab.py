"""A repository on a server that does what it is told, and the client that meets it."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hps import canonical
from hps.digest import Blob, Digest
from hps.oci.image import INDEX_TYPE, MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.store.retry import Deadlines
from tests import servers
from tests.servers import Behaviour, HostileServer

PATIENT = Deadlines(first_delay=0.001, longest_delay=0.01)
# Only for servers that are silent: a busy machine can be silent that long as well.
HASTY = replace(PATIENT, idle=0.2, headers=0.4)
KIND = "application/vnd.example.note+json"
BLOB = bytes(range(256)) * 5_000


def descriptor(data: bytes, media_type: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(data)), "size": len(data)}


MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json"),
    "layers": [descriptor(BLOB)],
}
GOOD = canonical.dumps(MANIFEST)
GOOD_DIGEST = Digest.of(GOOD)
BLOB_PATH = f"/v2/team/app/blobs/{Digest.of(BLOB)}"
TAG_PATH = "/v2/team/app/manifests/1.0"
DIGEST_PATH = f"/v2/team/app/manifests/{GOOD_DIGEST}"
REFERRERS_PATH = f"/v2/team/app/referrers/{GOOD_DIGEST}"
FALLBACK_PATH = f"/v2/team/app/manifests/sha256-{GOOD_DIGEST.hex}"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@contextlib.contextmanager
def connect(
    server: HostileServer, deadlines: Deadlines = PATIENT, folder: Path | None = None
) -> Iterator[RegistryClient]:
    with RegistryClient(
        Reference.parse(f"{server.host}/team/app"),
        environment={} if folder is None else {"DOCKER_CONFIG": str(folder)},
        home=Path("/nonexistent"),
        plain_http=True,
        deadlines=deadlines,
    ) as client:
        yield client


@pytest.fixture
def registry(server: HostileServer) -> Iterator[RegistryClient]:
    with connect(server) as client:
        yield client


@pytest.fixture
def hasty(server: HostileServer) -> Iterator[RegistryClient]:
    with connect(server, HASTY) as client:
        yield client


def manifest(
    body: bytes = GOOD, media_type: str = MANIFEST_TYPE, headers: dict[str, str] | None = None
) -> Behaviour:
    return servers.fine(body, media_type=media_type, headers=headers)


def pull(registry: RegistryClient, blob: Blob | None = None) -> bytes:
    taken: list[bytes] = []
    registry.stream(blob or Blob(Digest.of(BLOB), len(BLOB)), taken.append, taken.clear)
    return b"".join(taken)


INDEX = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}


def listed(*entries: object) -> bytes:
    return json.dumps({**INDEX, "manifests": list(entries)}).encode()


def entry(number: int, kind: str | None = KIND, **fields: object) -> dict[str, object]:
    found = {**descriptor(b"%d" % number, MANIFEST_TYPE), "artifactType": kind, **fields}
    return {key: value for key, value in found.items() if value is not None}
