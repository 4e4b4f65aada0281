"""Verification of a whole store: every blob is hashed again, whatever was known about it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hps.digest import Blob, Digest
from hps.errors import BlobMissingError, HpsError, StoreCorruptError
from hps.store.blobs import Store


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found.

    Args:
        blobs: how many were hashed.
        size: bytes that were hashed.
        damaged: blobs that are not what their name says; they have been set aside.
        repaired: those of them that are whole again.
        missing: what living roots name and the store does not have; builds get it when needed.
        traces: damaged traces; they count as missing.
        errors: why blobs are damaged or could not be repaired, one text each.
    """

    blobs: int
    size: int
    damaged: tuple[Digest, ...]
    repaired: tuple[Digest, ...]
    missing: tuple[Digest, ...]
    traces: int
    errors: tuple[str, ...]

    @property
    def unrepaired(self) -> tuple[Digest, ...]:
        """Blobs that are lost."""
        return tuple(digest for digest in self.damaged if digest not in self.repaired)


def verify(
    store: Store,
    repair: Callable[[Digest], object] | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Hash every blob, on all cores, and set damaged ones aside.

    Args:
        store: the store; no collection runs meanwhile.
        repair: gets one damaged blob again, for instance from where it was fetched.
        progress: called with a number of bytes after each piece, from several threads.

    Raises:
        StoreError: a blob cannot be read.
    """
    if not (store.root / "version").exists():
        return VerifyReport(0, 0, (), (), (), 0, ())
    with store.session():
        blobs = sorted((it.blob for it in store.list_blobs()), key=lambda blob: blob.digest)
        damaged: dict[Digest, str] = {}

        def check(blob: Blob) -> int | None:
            try:
                return store.check(blob.digest, progress)
            except BlobMissingError:
                return None  # set aside by somebody else since it was listed
            except StoreCorruptError as error:
                damaged[blob.digest] = "; ".join(
                    (error.message, f"got {error.got}", *error.details)
                )
                return blob.size

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing frees the interpreter's lock
            sizes = [size for size in pool.map(check, blobs) if size is not None]
        errors = {digest: damaged[digest] for digest in sorted(damaged)}
        repaired = [
            digest for digest in errors if repair and _repair(store, digest, repair, errors)
        ]
        traces = sum(1 for trace in store.traces.all() if isinstance(trace, Path))
        return VerifyReport(
            blobs=len(sizes),
            size=sum(sizes),
            damaged=tuple(errors),
            repaired=tuple(repaired),
            missing=_missing(store),
            traces=traces,
            errors=tuple(errors.values()),
        )


def _repair(
    store: Store,
    digest: Digest,
    repair: Callable[[Digest], object],
    errors: dict[Digest, str],
) -> bool:
    try:
        repair(digest)
        store.check(digest)
    except HpsError as error:
        errors[digest] = f"{digest} could not be repaired: {error.message}"
        return False
    return True


def _missing(store: Store) -> tuple[Digest, ...]:
    named = {digest for root in store.roots.all() if root.alive for digest in root.digests}
    return tuple(
        sorted(digest for digest in named if not store.has(digest) and store.tree(digest) is None)
    )
