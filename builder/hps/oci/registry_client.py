"""A repository in a registry: the adapter of the port in `registry`, reading and writing.

OCI distribution specification 1.1. Every byte is compared with its digest as it is read; a body
ends at its announced size or at the limit, whatever the server goes on to send.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import quote, urljoin, urlsplit

import requests

from hps.digest import Blob, Digest
from hps.errors import (
    FetchError,
    IntegrityError,
    MalformedError,
    NotFoundError,
    PublishError,
    UsageError,
)
from hps.oci.attachment import fallback_tag
from hps.oci.blob_upload import CHUNK, BlobUpload, is_there
from hps.oci.documents import DOCUMENT_LIMIT
from hps.oci.image import INDEX_TYPE
from hps.oci.reference import Reference, is_tag
from hps.oci.registry import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    ManifestDocument,
    Placed,
    Referrers,
    check_document,
    check_limit,
    select_referrers,
)
from hps.oci.registry_connection import Connection
from hps.oci.registry_credentials import find_credentials
from hps.store import url as address
from hps.store.cancellation import Cancellation
from hps.store.foreign_text import printable
from hps.store.registry_address import RegistryAddress
from hps.store.retry import Deadlines
from hps.store.sending import publishing
from hps.store.transfer import Transfer
from hps.store.transport import Call, Transport

DOCUMENT_SECONDS = 120.0  # wall time of a manifest or of a list of referrers, with all attempts

_ACCEPT = ", ".join(sorted(MANIFEST_TYPES | INDEX_TYPES))
_PAGES = 20  # of a list of referrers
_UPDATES = 5  # attempts at a tag that others change too
_LINK = re.compile(r'\s*<([^<>]*)>\s*;\s*rel\s*=\s*(?:"next"|next)\s*')
# What registries answer that do not know the referrers API.
_NO_API = frozenset({404, 405, 501})


class RegistryClient:
    """One repository in a registry (see `WritableRegistry`); a context manager.

    Args:
        reference: host and repository count.
        environment: REGISTRY_AUTH_FILE, DOCKER_CONFIG; handed to credential helpers.
        home: where Docker's configuration is looked for.
        authority: a PEM file of certificates, trusted beside those of SSL_CERT_FILE or of
            `requests`.
        plain_http: None: where the host is this machine and does not speak TLS. True: with any
            host; another machine gets no credentials then.
        deadlines: of each call.
        chunk: bytes of a large blob that are sent with one request.
        place: where this machine's settings say that the repository is, see `Connection`.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
        authority: Path | None = None,
        plain_http: bool | None = None,
        deadlines: Deadlines | None = None,
        chunk: int = CHUNK,
        place: RegistryAddress | None = None,
    ) -> None:
        self._chunk = chunk
        further = () if place is None else tuple(map(Path, place.authorities))
        authorities = (*(() if authority is None else (authority,)), *further)
        self._transport = Transport(netrc=False, authority=authorities)
        self._reference = reference
        self._connection = Connection(
            reference,
            lambda: find_credentials(
                reference,
                os.environ if environment is None else environment,
                home or Path.home(),
            ),
            self._transport,
            deadlines or Deadlines(),
            plain_http=plain_http,
            place=place,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """HOST/NAME as the user gave it."""
        return self._reference.name

    def within(self, seconds: float, what: str) -> contextlib.AbstractContextManager[None]:
        """Bound the wall time of all calls in a block, see `Limits.within`."""
        return self._connection.limits.within(seconds, what)

    def under(self, work: Cancellation) -> contextlib.AbstractContextManager[None]:
        """Let `work` call off all calls in a block, see `Limits.under`."""
        return self._connection.limits.under(work)

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._transport.close()

    def abandon(self) -> None:
        """See `Registry.abandon`; those who wait for a silent server are woken."""
        self._connection.limits.abandon()

    def manifest(self, wanted: Digest | str) -> ManifestDocument:
        """See `Registry.manifest`."""
        if isinstance(wanted, str) and not is_tag(wanted):
            raise UsageError(f"{printable(wanted)!r} is no tag of {self.name}")
        name = str(self._reference.at(wanted))
        with self._connection.limits.bounded(DOCUMENT_SECONDS, name):
            data, head = self._document(f"/manifests/{wanted}", _ACCEPT, name)
        expected = wanted if isinstance(wanted, Digest) else None
        _compare(name, Digest.of(data), expected, head.get("Docker-Content-Digest"))
        return check_document(name, head.get("Content-Type", ""), data)

    def announced(self, wanted: Digest | str) -> Digest | None:
        """The digest that the registry tells for a tag: a claim, and not always there."""
        name = str(self._reference.at(wanted))
        url = self._connection.address(f"/manifests/{wanted}")
        call = Call(url=url, name=name, method="HEAD", headers={"Accept": _ACCEPT})
        with self._connection.open(call) as (_, response):
            found = response.headers.get("Docker-Content-Digest", "")
            fine = response.status_code == requests.codes.ok
        with contextlib.suppress(ValueError):
            return Digest.parse(found) if fine else None
        return None

    @contextlib.contextmanager
    def answer(self, blob: Blob, offset: int = 0) -> Iterator[tuple[str, requests.Response]]:
        """Ask once for a blob from `offset` on; nothing of what comes has been verified.

        Raises:
            AgainError: it may be better next time.
            NotFoundError: there is none.
            FetchError: it could not be had.
        """
        name = f"the blob {blob.digest} of {self.name}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._connection.address(f"/blobs/{blob.digest}")
        with self._connection.open(Call(url=url, name=name, headers=headers)) as (at, response):
            if response.status_code not in {200, 206}:
                raise self._connection.refusal(response, Call(url=url, name=name))
            yield at, response

    def stream(
        self, blob: Blob, sink: Callable[[bytes], object], restart: Callable[[], object]
    ) -> None:
        """See `Registry.stream`."""
        name = f"the blob {blob.digest} of {self.name}"
        hasher = hashlib.sha256()

        def take(piece: bytes) -> None:
            hasher.update(piece)
            sink(piece)

        def again() -> None:
            nonlocal hasher
            hasher = hashlib.sha256()
            restart()

        call = Call(url=self._connection.address(f"/blobs/{blob.digest}"), name=name)
        transfer = Transfer(call.url, take, again, blob.size, exact=True, name=name)
        self._connection.receive(call, transfer)
        _compare(name, Digest(hasher.hexdigest()), blob.digest, None)

    def read(self, blob: Blob, limit: int) -> bytes:
        """See `Registry.read`."""
        check_limit(blob, limit, self.name)
        body = bytearray()
        with self._connection.limits.bounded(
            DOCUMENT_SECONDS, f"the blob {blob.digest} of {self.name}"
        ):
            self.stream(blob, body.extend, body.clear)
        return bytes(body)

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Referrers:
        """See `Registry.referrers`.

        The API is asked, whatever headers say about it (registries send OCI-Subject without
        having it); where there is none, the tag of the referrers tag schema is read.
        """
        with self._connection.limits.bounded(
            DOCUMENT_SECONDS, f"the referrers of {self._reference.at(subject)}"
        ):
            listed = self._listed(subject, artifact_type)
            return self._tagged(subject, artifact_type) if listed is None else listed

    def has(self, blob: Blob) -> bool:
        """See `WritableRegistry.has`."""
        call = Call(url=self._connection.address(f"/blobs/{blob.digest}"), name=str(blob.digest))
        return self._connection.persist(call, lambda: is_there(self._connection, blob))

    def upload(
        self,
        blob: Blob,
        content: Callable[[], BinaryIO],
        *,
        mounts: Sequence[str] = (),
        sent: Callable[[int], object] = lambda _: None,
    ) -> Placed:
        """See `WritableRegistry.upload`."""
        failed: list[FetchError] = []

        def opened() -> BinaryIO:
            try:
                return content()
            except FetchError as error:  # the fault of where it comes from, not of this registry
                failed.append(error)
                raise

        upload = BlobUpload(
            self._connection, blob, opened, mounts=mounts, sent=sent, chunk=self._chunk
        )
        try:
            with publishing():
                return upload.run()
        except PublishError:
            if failed:
                raise failed[0] from None
            raise

    def put(self, document: ManifestDocument, tag: str | None = None) -> None:
        """See `WritableRegistry.put`."""
        if tag is not None and not is_tag(tag):
            raise UsageError(f"{printable(tag)!r} is no tag of {self.name}")
        place = self._reference.at(document.digest if tag is None else tag)
        call = Call(
            url=self._connection.address(f"/manifests/{place.wanted}"),
            name=str(place),
            method="PUT",
            headers={"Content-Type": document.media_type},
            body=document.data,
        )

        def attempt() -> None:
            with self._expect(call, 201) as response:
                announced = response.headers.get("Docker-Content-Digest")
                _compare(call.name, document.digest, None, announced)

        with publishing():
            self._connection.persist(call, attempt)

    def update(
        self, tag: str, change: Callable[[ManifestDocument | None], ManifestDocument]
    ) -> ManifestDocument:
        """See `WritableRegistry.update`.

        Registries have no compare-and-swap. The tag is read again just before and just after it
        is written, so only a change within that moment is lost, and the later writer wins.
        """
        for _ in range(_UPDATES):
            before = self._current(tag)
            after = change(before)
            if before is not None and before.digest == after.digest:
                return before
            now = self._current(tag)
            if (now and now.digest) != (before and before.digest):
                continue
            self.put(after, tag)
            kept = self._current(tag)
            if kept is not None and kept.digest == after.digest:
                return kept
        raise PublishError(
            f"{self._reference.at(tag)} cannot be updated: somebody else keeps changing it",
            got=f"{_UPDATES} attempts",
            hint="try again when nobody else pushes to it",
        )

    def _current(self, tag: str) -> ManifestDocument | None:
        try:
            return self.manifest(tag)
        except NotFoundError:
            return None

    def _document(self, path: str, accept: str, name: str) -> tuple[bytes, Mapping[str, str]]:
        body = bytearray()
        url = self._connection.address(path)
        call = Call(url=url, name=name, headers={"Accept": accept})
        transfer = Transfer(url, body.extend, body.clear, DOCUMENT_LIMIT, name=name)
        head = self._connection.receive(call, transfer)
        return bytes(body), head.fields

    def _tagged(self, subject: Digest, artifact_type: str | None) -> Referrers:
        tag = fallback_tag(subject)
        found = self._current(tag)
        if found is None:
            return Referrers()
        if not found.is_index:
            raise MalformedError(
                f"{self._reference.at(tag)} is not an index of referrers",
                expected=INDEX_TYPE,
                got=found.media_type,
            )
        return select_referrers(found.as_json()["manifests"], artifact_type)

    def _listed(self, subject: Digest, artifact_type: str | None) -> Referrers | None:
        """What the API lists, or None where there is no API."""
        query = "" if artifact_type is None else f"?artifactType={quote(artifact_type, safe='')}"
        url: str | None = self._connection.address(f"/referrers/{subject}{query}")
        entries: list[object] = []
        seen: set[str] = set()
        while url is not None and len(seen) < _PAGES:
            seen.add(url)
            page = self._page(url, subject)
            if page is None:
                if len(seen) == 1:
                    return None
                raise self._astray(subject, "a page that does not exist")
            document, link = page
            entries += document.as_json()["manifests"]
            if select_referrers(entries, artifact_type).left_out:
                break
            url = None if link is None else self._next(url, link, subject)
            if url in seen:
                raise self._astray(subject, "pages in a circle")
        chosen = select_referrers(entries, artifact_type)
        return Referrers(chosen.descriptors, left_out=chosen.left_out or url is not None)

    def _page(self, url: str, subject: Digest) -> tuple[ManifestDocument, str | None] | None:
        name = f"the referrers of {self._reference.at(subject)}"
        call = Call(url=url, name=name, headers={"Accept": INDEX_TYPE})
        body = bytearray()
        transfer = Transfer(url, body.extend, body.clear, DOCUMENT_LIMIT, name=name)
        head = self._connection.receive(call, transfer, absent=_NO_API)
        media_type = head.fields.get("Content-Type", "")
        if head.status in _NO_API or media_type.partition(";")[0].strip() != INDEX_TYPE:
            return None  # some servers have a friendly page for every address
        return check_document(name, media_type, bytes(body)), head.fields.get("Link")

    def _next(self, url: str, link: str, subject: Digest) -> str:
        """Where a Link leads (RFC 8288): the same list only, never another host."""
        found = _LINK.fullmatch(link)
        target = urljoin(url, found[1]) if found else ""
        same = found is not None and address.origin(target) == address.origin(url)
        if not same or urlsplit(target).path != urlsplit(url).path:
            raise self._astray(subject, f"Link: {printable(link)}")
        return address.with_credentials_of(url, target)

    def _astray(self, subject: Digest, got: str) -> FetchError:
        return FetchError(
            f"the referrers of {self._reference.at(subject)} cannot be listed",
            expected="pages that lead on within the list",
            got=got,
            hint="tell whoever runs the registry",
        )

    @contextlib.contextmanager
    def _expect(self, call: Call, status: int) -> Iterator[requests.Response]:
        with self._connection.open(call, "pull,push") as (_, response):
            if response.status_code != status:
                raise self._connection.refusal(response, call)
            yield response


def _compare(name: str, got: Digest, expected: Digest | None, announced: str | None) -> None:
    """Compare bytes with what was asked for and with what the registry says that it sent."""
    for promise in (expected, announced):
        if promise is not None and str(promise) != str(got):
            raise IntegrityError(
                f"{name}: the bytes are not what was promised",
                expected=promise if isinstance(promise, Digest) else printable(promise),
                got=got,
                hint="do not use this registry or mirror before somebody knows why",
            )
