"""A repository behind several addresses: mirrors first, then the registry itself.

An adapter of the port in `registry`, made of others. What a mirror gives has been compared with
its digest, so one that is dead or lacks something gives way to the next; one that lies ends the
work, and is named together with whoever named it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, LimitError, NotFoundError
from hps.oci.reference import Reference
from hps.oci.registry import ManifestDocument, Referrers, Registry
from hps.oci.registry_client import RegistryClient
from hps.store.cancellation import Cancellation
from hps.store.mirrors import Mirrors
from hps.store.registry_address import RegistryAddress
from hps.store.retry import Deadlines

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Mirror:
    """One place of a repository.

    Args:
        registry: how it is read.
        tags: whether it may say what a tag names.
        digests: whether it may be asked for what a digest names.
        said_by: who named it, for people; empty where nobody has to be told.
    """

    registry: Registry
    tags: bool = True
    digests: bool = True
    said_by: str = ""

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"{self.registry.name} (named by {self.said_by})" if self.said_by else self.name

    @property
    def name(self) -> str:
        """HOST/NAME there."""
        return self.registry.name


class MirroredRegistry:
    """One repository for reading (see `Registry`); safe to use from many threads.

    Args:
        name: of the repository as the user gave it, for messages.
        mirrors: best first, at least one.
        failed: see `Mirrors`.
    """

    def __init__(
        self, name: str, mirrors: Sequence[Mirror], failed: set[int] | None = None
    ) -> None:
        self._name = name
        self._mirrors = Mirrors(mirrors, failed)
        self._abandoned = False

    @property
    def name(self) -> str:
        """See `Registry.name`."""
        return self._name

    def manifest(self, wanted: Digest | str) -> ManifestDocument:
        """See `Registry.manifest`."""
        by_digest = isinstance(wanted, Digest)
        mark = "@" if by_digest else ":"
        return self._first(
            f"{self._name}{mark}{wanted}",
            lambda registry: registry.manifest(wanted),
            lambda mirror: mirror.digests if by_digest else mirror.tags,
        )

    def stream(
        self, blob: Blob, sink: Callable[[bytes], object], restart: Callable[[], object]
    ) -> None:
        """See `Registry.stream`."""
        begun = False

        def take(piece: bytes) -> None:
            nonlocal begun
            begun = True
            sink(piece)

        def attempt(registry: Registry) -> None:
            nonlocal begun
            if begun:  # by the mirror before: nothing of it may stay
                restart()
                begun = False
            registry.stream(blob, take, restart)

        self._first(self._title(blob), attempt, lambda mirror: mirror.digests)

    def read(self, blob: Blob, limit: int) -> bytes:
        """See `Registry.read`."""
        return self._first(
            self._title(blob),
            lambda registry: registry.read(blob, limit),
            lambda mirror: mirror.digests,
        )

    def referrers(self, subject: Digest, artifact_type: str | None = None) -> Referrers:
        """See `Registry.referrers`: the first that knows of any; mirrors may know of none."""
        found = Referrers()

        def attempt(registry: Registry) -> Referrers:
            listed = registry.referrers(subject, artifact_type)
            if not listed.descriptors:
                raise NotFoundError(f"{registry.name} knows of no referrers of {subject}")
            return listed

        with contextlib.suppress(NotFoundError):
            found = self._first(
                f"the referrers of {self._name}@{subject}", attempt, lambda mirror: mirror.digests
            )
        return found

    def abandon(self) -> None:
        """See `Registry.abandon`."""
        self._abandoned = True
        for _, each in self._mirrors.in_order():
            each.registry.abandon()

    def _title(self, blob: Blob) -> str:
        return f"the blob {blob.digest} of {self._name}"

    def _first(
        self,
        what: str,
        attempt: Callable[[Registry], _Result],
        fits: Callable[[Mirror], bool],
    ) -> _Result:
        """What the first mirror gives that can."""
        tried: list[tuple[Mirror, FetchError]] = []
        for number, mirror in self._mirrors.in_order():
            if not fits(mirror):
                continue
            try:
                return attempt(mirror.registry)
            except LimitError:
                raise  # what was asked for is too large, wherever it comes from
            except IntegrityError as error:
                raise self._lies(what, mirror, error) from error
            except FetchError as error:
                if self._abandoned:
                    raise
                tried.append((mirror, error))
                if not isinstance(error, NotFoundError):
                    self._mirrors.failed(number)
        raise self._nowhere(what, tried)

    def _lies(self, what: str, mirror: Mirror, error: IntegrityError) -> IntegrityError:
        if len(self._mirrors) == 1:
            return error
        return type(error)(
            f"{mirror.title} gave something else for {what}: {error.message}",
            expected=error.expected,
            got=error.got,
            details=error.details,
            hint=f"nothing of it was kept; take {mirror.name} out of the mirrors "
            "(docs/how-to/mirrors.md) and tell whoever runs it",
        )

    def _nowhere(self, what: str, tried: Sequence[tuple[Mirror, FetchError]]) -> FetchError:
        if not tried:
            return FetchError(
                f"cannot fetch {what}: none of its mirrors may be asked for that",
                hint="a mirror that resolves tags, or the registry itself, has to be named "
                "(docs/how-to/mirrors.md)",
            )
        if len(self._mirrors) == 1:
            return tried[0][1]
        gone = all(isinstance(error, NotFoundError) for _, error in tried)
        kind: type[FetchError] = NotFoundError if gone else FetchError
        hints = dict.fromkeys(error.hint for _, error in tried if error.hint)
        return kind(
            f"{what} is nowhere to be had" if gone else f"cannot fetch {what}",
            details=tuple(f"{mirror.title}: {error.message}" for mirror, error in tried),
            hint="; or ".join(list(hints)[:2]) or "check the name",
        )


@contextlib.contextmanager
def open_mirrored(
    name: str,
    addresses: Sequence[RegistryAddress],
    *,
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
    deadlines: Deadlines | None = None,
    work: Cancellation | None = None,
    failed: set[int] | None = None,
) -> Iterator[MirroredRegistry]:
    """A repository at the addresses that `Origins.registry` gives.

    Args:
        name: of the repository as the user gave it, for messages.
        addresses: best first, at least one.
        environment: where credentials are looked for, see `RegistryClient`.
        home: likewise.
        deadlines: of each call.
        work: calls off all calls, see `RegistryClient.under`.
        failed: numbers of addresses that have failed before, kept by the caller.
    """
    with contextlib.ExitStack() as stack:
        mirrors = []
        for each in addresses:
            client = RegistryClient(
                Reference(each.host, each.repository),
                environment=os.environ if environment is None else environment,
                home=home,
                plain_http=each.plain_http,
                deadlines=deadlines,
                place=each,
            )
            if work is not None:
                stack.enter_context(client.under(work))
            mirrors.append(
                Mirror(stack.enter_context(client), each.tags, each.digests, each.said_by)
            )
        yield MirroredRegistry(name, mirrors, failed)
