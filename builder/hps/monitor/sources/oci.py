"""Registries as a place of models: an artifact by its tag, whose manifest is the donefile.

OCI distribution specification 1.1; what the layers mean is in `hps.model.artifact`. The manifest
is compared with its digest here. Layers go by theirs, and whoever pulls one compares it with the
token "digest"; here it ends at the size that the manifest tells, whatever the registry sends on.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import requests

from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, NotFoundError, UsageError
from hps.model import artifact
from hps.monitor.look import too_large
from hps.monitor.source import Caps, Donefile, Found, Patience, Reading, SourceError, Trouble
from hps.monitor.sources import http_faults, http_fields
from hps.monitor.sources.http_body import body, deadlines
from hps.monitor.sources.operation import Operations
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument
from hps.oci.registry_client import RegistryClient
from hps.oci.registry_connection import DeniedError
from hps.store.cancellation import Cancellation
from hps.store.transport import AgainError, SlowError, announced_length

_PARTIAL = 206
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class OciPlace:
    """Where a model is published in a registry.

    Args:
        reference: of the artifact, by tag or digest.
        environment: where Docker's and Podman's configuration is found, with its credentials.
        authority: PEM file of certificates that are trusted beside those of this machine.
        plain_http: with another machine too; that one gets no credentials then.
    """

    reference: Reference
    environment: Mapping[str, str] = field(repr=False)
    authority: Path | None = None
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class _Artifact:
    document: ManifestDocument
    layers: tuple[artifact.Layer, ...]


class OciSource:
    """See `hps.monitor.source.Source`.

    A manifest is asked for when its digest is not the known one, which a HEAD request tells:
    registries count the others. What `donefile` has seen is what the next `model` speaks of, so
    that a tag which moves in between gives no mixture.
    """

    def __init__(
        self, place: OciPlace, patience: Patience | None = None, caps: Caps | None = None
    ) -> None:
        patience = patience or Patience()
        self._place = place
        self._caps = caps or Caps()
        self._deadlines = deadlines(patience)
        self._operations = Operations(self.name, patience.total)
        self._client: RegistryClient | None = None
        self._known: _Artifact | None = None
        self._looked: _Artifact | None = None

    @property
    def name(self) -> str:
        """See `Source`."""
        return str(self._place.reference)

    def close(self) -> None:
        """See `Source`."""
        if not self._operations.close() and self._client is not None:
            self._client.close()

    def donefile(self) -> Donefile | None:
        """See `Source`; its content are the checksums of the layers."""
        self._looked = None
        try:
            with self._operation() as work:
                found = self._looked = self._find(work)
        except SourceError as error:
            if error.trouble is Trouble.MISSING:
                return None
            raise
        tokens = {"digest": str(found.document.digest)}
        content = artifact.checksums(found.layers)[: self._caps.donefile]
        return Donefile(Found("", len(found.document.data), tokens, resolution=0.0), content)

    def model(self) -> tuple[Found, ...]:
        """See `Source`."""
        found, self._looked = self._looked, None
        with self._operation() as work:
            found = found or self._find(work)
        if len(found.layers) > self._caps.files:
            raise too_large("files", self._caps.files, len(found.layers))
        return tuple(
            Found(each.path, each.blob.size, {"digest": str(each.blob.digest)}, resolution=0.0)
            for each in found.layers
        )

    @contextlib.contextmanager
    def read(self, found: Found, offset: int = 0) -> Iterator[Reading]:
        """See `Source`."""
        blob = Blob(Digest.parse(found.tokens["digest"]), found.size or 0)
        if blob.size > self._caps.bytes:
            raise too_large("bytes", self._caps.bytes, blob.size)
        start = offset if offset <= blob.size else 0
        with self._operation() as work:
            if start and start == blob.size:  # nothing that could be asked for
                yield Reading(start, found, iter(()))
                return
            with (
                self._registry().under(work),
                self._registry().answer(blob, start) as (
                    url,
                    response,
                ),
            ):
                work.check()
                start = _check_head(response, blob, start)
                yield Reading(start, found, self._pieces(work, response, url, blob, start))

    def _pieces(
        self, work: Cancellation, response: requests.Response, url: str, blob: Blob, start: int
    ) -> Iterator[bytes]:
        left, most = blob.size - start, self._caps.bytes
        with _explained(self.name):
            for piece in body(work, response, url, self._deadlines, size=left, most=most):
                left -= len(piece)
                if left < 0:
                    raise _longer(blob, f"{blob.size - left} bytes and more")
                yield piece

    @contextlib.contextmanager
    def _operation(self) -> Iterator[Cancellation]:
        try:
            with self._operations.one() as work, _explained(self.name):
                yield work
        finally:
            if self._operations.is_closed and self._client is not None:
                self._client.close()  # a connection was in use when `close` came by

    def _registry(self) -> RegistryClient:
        if self._client is None:
            self._client = RegistryClient(
                self._place.reference,
                environment=self._place.environment,
                authority=self._place.authority,
                plain_http=True if self._place.plain_http else None,
                deadlines=self._deadlines,
            )
        return self._client

    def _find(self, work: Cancellation) -> _Artifact:
        """The artifact that the reference names now."""
        return self._allowed(lambda registry: self._ask(registry, work))

    def _allowed(self, ask: Callable[[RegistryClient], _Result]) -> _Result:
        """Ask; once more with what is in Docker's configuration now, where that was refused.

        Passwords of registries in clouds last for hours, and this object for years.
        """
        known = self._client is not None
        try:
            return ask(self._registry())
        except DeniedError:
            self._registry().close()
            self._client = None
            if not known:
                raise
        return ask(self._registry())

    def _ask(self, registry: RegistryClient, work: Cancellation) -> _Artifact:
        wanted = self._place.reference.wanted
        known = self._known
        with registry.under(work):
            if known is not None and registry.announced(wanted) == known.document.digest:
                return known
            document = registry.manifest(wanted)
        if known is None or known.document.digest != document.digest:
            known = self._known = _Artifact(document, self._layers(document))
        return known

    def _layers(self, document: ManifestDocument) -> tuple[artifact.Layer, ...]:
        if document.is_index:
            raise SourceError(
                Trouble.MALFORMED,
                f"{self.name} is an index",
                expected="the manifest of one model",
                hint="name one of its manifests by digest",
            )
        try:
            return artifact.read(document.as_json())
        except ValueError as error:
            raise SourceError(
                Trouble.MALFORMED,
                f"{self.name} holds no model: {error}",
                hint="publish it with `hps model publish` or `oras push`",
            ) from error


def _check_head(response: requests.Response, blob: Blob, start: int) -> int:
    """Where the answer starts; refuses one that cannot be what the manifest names."""
    if response.status_code == _PARTIAL:
        size = http_fields.rest_size(response.headers, start)
        if size is None:
            raise SourceError(
                Trouble.MALFORMED,
                f"the registry sends another part of {blob.digest} than was asked for",
                expected=f"the rest from byte {start} on",
                got=repr(response.headers.get("Content-Range", "")[:80]),
            )
    else:
        start = 0
        size = announced_length(response)
    if size is not None and size < blob.size:
        raise SourceError(
            Trouble.TRUNCATED,
            f"the registry has less of {blob.digest} than its manifest tells",
            expected=f"{blob.size} bytes",
            got=f"{size} bytes",
        )
    if size is not None and size > blob.size:
        raise _longer(blob, f"{size} bytes")
    return start


def _longer(blob: Blob, got: str) -> SourceError:
    return SourceError(
        Trouble.MALFORMED,
        f"the registry has more of {blob.digest} than its manifest tells",
        expected=f"{blob.size} bytes",
        got=got,
        hint="do not use this registry before somebody knows why",
    )


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the client of registries raises into an error of sources."""
    try:
        yield
    except AgainError as error:
        raise _passing(f"cannot read {name}: {error.cause}", error) from error
    except SlowError as error:
        raise SourceError(Trouble.STALLED, error.message) from error
    except DeniedError as error:
        raise _lasting(Trouble.REFUSED, error) from error
    except NotFoundError as error:
        raise _lasting(Trouble.MISSING, error) from error
    except FetchError as error:
        if isinstance(error.__cause__, AgainError):
            raise _passing(error.message, error.__cause__) from error
        raise http_faults.lasting(error) from error
    except IntegrityError as error:
        raise _lasting(Trouble.MALFORMED, error) from error
    except UsageError as error:  # the authority cannot be used
        raise _lasting(Trouble.UNUSABLE, error) from error


def _passing(message: str, error: AgainError) -> SourceError:
    return SourceError(http_faults.trouble(error), message, after=error.retry_after)


def _lasting(trouble: Trouble, error: FetchError | IntegrityError | UsageError) -> SourceError:
    return SourceError(
        trouble, error.message, expected=error.expected, got=error.got, hint=error.hint
    )
