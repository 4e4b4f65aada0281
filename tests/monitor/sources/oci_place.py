"""The publisher's side of models in a registry."""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.digest import Blob, Digest
from hps.model import artifact
from hps.model.archive import Form
from hps.monitor.source import Caps, Patience, Source
from hps.monitor.sources.oci import OciPlace, OciSource
from hps.oci.attachment import EMPTY
from hps.oci.image import MANIFEST_TYPE
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from tests.monitor.sources.contract import LARGE
from tests.monitor.sources.frozen import frozen
from tests.oci.registry_server import RegistryServer

TAG = "live"


@dataclass
class RegistryPlace:
    """See `tests.monitor.sources.contract.Place`; each model is a repository.

    Args:
        server: shared by many tests.
        group: the part of names that is this test's own.
    """

    server: RegistryServer
    group: str
    carries_on: bool = True
    tells: bool = True
    large: int = LARGE
    slow: float = 2.0
    files: dict[str, bytes] = field(default_factory=dict)
    opened: list[Source] = field(default_factory=list)
    kept: set[Path] = field(default_factory=set)

    @classmethod
    @contextlib.contextmanager
    def made(cls, server: RegistryServer, group: str) -> "Iterator[RegistryPlace]":
        place = cls(server, group)
        try:
            yield place
        finally:
            for source in place.opened:
                source.close()
            for blob in place.kept:  # repositories share blobs, and this test may have damaged some
                blob.unlink(missing_ok=True)

    def put(self, path: str, data: bytes, *, ago: float = 0.0) -> None:  # noqa: ARG002 - no dates
        self.files[path] = data
        self._push(path.partition("/")[0])

    def remove(self, path: str) -> None:
        for each in [each for each in self.files if each == path or each.startswith(f"{path}/")]:
            self.blob(self.files.pop(each)).unlink()
        self._push(path.partition("/")[0])

    def truncate(self, path: str, size: int) -> None:
        with self.blob(self.files[path]).open("r+b") as file:
            file.truncate(size)

    def source(
        self,
        model: str = "model",
        *,
        packed: bool = True,  # noqa: ARG002 - the manifest tells
        caps: Caps | None = None,
        patience: Patience | None = None,
    ) -> Source:
        place = OciPlace(
            reference=self.reference(model), environment={"DOCKER_CONFIG": "/nonexistent"}
        )
        self.opened.append(OciSource(place, patience, caps))
        return self.opened[-1]

    def silent(self) -> contextlib.AbstractContextManager[None]:
        return frozen(int(self.server.host.rpartition(":")[2]))

    def reference(self, model: str = "model") -> Reference:
        """Where a model is; names of models may hold what names of repositories may not."""
        name = model if model == "model" else f"model-{model.encode().hex()}"
        return Reference.parse(f"{self.server.host}/{self.group}/{name}:{TAG}")

    def blob(self, data: bytes) -> Path:
        """Where the registry keeps these bytes."""
        return self.server.blob_path(Digest.of(data).hex)

    def push(
        self, manifest: bytes, media_type: str = MANIFEST_TYPE, *, model: str = "model"
    ) -> None:
        """Put a manifest at the tag; its blobs must be there."""
        with self.client(model) as registry:
            registry.put(ManifestDocument(media_type, manifest), TAG)

    def upload(self, *blobs: bytes, model: str = "model") -> None:
        """Put blobs there."""
        with self.client(model) as registry:
            for data in blobs:
                self.kept.add(self.blob(data))
                registry.upload(blob_of(data), lambda data=data: io.BytesIO(data))  # type: ignore[misc] # mypy infers no type for a default of a lambda

    def client(self, model: str = "model") -> RegistryClient:
        """A client that writes."""
        return RegistryClient(self.reference(model), environment={})

    def _push(self, model: str) -> None:
        inside = {
            path.partition("/")[2]: data
            for path, data in self.files.items()
            if path.partition("/")[0] == model
        }
        if not inside:
            return  # a tag stays with what it named
        self.upload(EMPTY, *inside.values(), model=model)
        if set(inside) == {""}:
            manifest = artifact.write_packed(Form.TAR, "m", blob_of(inside[""]), {})
        else:
            manifest = folder_manifest(inside)
        self.push(manifest, model=model)


def folder_manifest(files: Mapping[str, bytes]) -> bytes:
    """As `artifact.write`, also with names that no model may have."""
    titles = {f"file-{number}": path for number, path in enumerate(files)}
    layers = [artifact.Layer(name, blob_of(files[path])) for name, path in titles.items()]
    document = json.loads(artifact.write(layers, {}))
    for layer in document["layers"]:
        layer["annotations"][artifact.TITLE] = titles[layer["annotations"][artifact.TITLE]]
    return json.dumps(document).encode()


def blob_of(data: bytes) -> Blob:
    return Blob(Digest.of(data), len(data))
