"""Rebuilding: somebody else builds an image again, from artifacts alone, and says what came out.

Nothing that was made before counts: every step is made again, also one that a trace knows. The
layout of the rebuilt image lies in the workspace of the store and goes away whatever happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hps.build.image import Built, build
from hps.build.proof import index_lines
from hps.build.workbench import Workbench
from hps.digest import Digest
from hps.errors import LockError
from hps.lock import text
from hps.lock.records import Lock
from hps.oci.attachment import Attachment, Subject
from hps.oci.image import MANIFEST_TYPE
from hps.release.claimed import Claimed
from hps.release.provenance import provenance
from hps.release.rebuild_difference import difference
from hps.trust.attachments import Claim, bundle_referrer
from hps.trust.authorised import AuthorisedSigner
from hps.trust.bundle import Bundle
from hps.trust.dsse import Envelope
from hps.trust.predicates import PROVENANCE
from hps.trust.statement import About, Statement


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An image that was built again, and came out as its lock and its builder say.

    Args:
        built: the image; its layout is gone.
        lock: that it was built from.
        claimed: the image that it was compared with; None when the lock alone was there.
    """

    built: Built
    lock: Lock
    claimed: Claimed | None

    @property
    def digest(self) -> Digest:
        """Of the image."""
        return self.built.image.digest


def lock_digest(lock: Lock) -> Digest:
    """The name of a lock in provenance: the digest of its only form."""
    return Digest.of(text.write(lock))


def rebuild(bench: Workbench, name: str, claimed: Claimed | None = None) -> Rebuilt:
    """Build a target again and compare it.

    Args:
        bench: the tools.
        name: of the target.
        claimed: what somebody else says came out.

    Raises:
        LockError: hps.lock is stale, or was changed meanwhile.
        FetchError, IntegrityError: an artifact is missing or not what the lock says.
        NotReproducibleError: it came out as something else than the lock or the claim says.
    """
    lock = bench.project.require_lock()
    with bench.store.session(), _scratch(bench) as folder:
        built = build(bench, name, again=True, output=folder)
        if bench.project.require_lock() != lock:
            raise LockError(
                "hps.lock was changed during the rebuild", hint="run it again when nobody writes"
            )
        if claimed is not None and claimed.digest != built.image.digest:
            raise difference(built, claimed, lambda one: index_lines(bench, one.index.digest))
    return Rebuilt(built, lock, claimed)


def statement(rebuilt: Rebuilt, builder: str) -> Statement:
    """What a rebuilder can say: the same as the builder did, under another name."""
    claim = _claim(rebuilt, builder)
    return Statement((About("", rebuilt.digest),), claim.predicate_type, claim.predicate)


def is_attested(rebuilt: Rebuilt, signer: AuthorisedSigner) -> bool:
    """Whether this key's statement lies beside the image already.

    The signature is verified, not compared: a key in a token may sign differently each time.
    """
    payload = statement(rebuilt, signer.builder_id).as_bytes()
    return any(
        isinstance(bundle.content, Envelope)
        and bundle.content.payload == payload
        and bundle.content.verified_by(signer.public)
        for bundle in (rebuilt.claimed.bundles if rebuilt.claimed else ())
    )


def sign(rebuilt: Rebuilt, signer: AuthorisedSigner) -> Bundle:
    """The signed statement by itself.

    Raises:
        KeyUnusableError: the key may not sign provenance, or cannot be reached.
    """
    return Bundle.sign(statement(rebuilt, signer.builder_id), signer)


def referrer(rebuilt: Rebuilt, signer: AuthorisedSigner) -> Attachment:
    """The signed statement as a manifest that speaks of the image; raises as `sign`."""
    image = rebuilt.built.image
    subject = Subject(MANIFEST_TYPE, image.digest, len(image.manifest))
    return bundle_referrer(subject, _claim(rebuilt, signer.builder_id), signer)


def _claim(rebuilt: Rebuilt, builder: str) -> Claim:
    target = rebuilt.lock.target(rebuilt.built.target)
    if target is None:
        raise ValueError(f"the lock has no target {rebuilt.built.target}")
    made = provenance(rebuilt.lock, target, rebuilt.built.image, builder=builder)
    return Claim(PROVENANCE, made)


@contextmanager
def _scratch(bench: Workbench) -> Iterator[Path]:
    """An empty folder in the store's workspace, where layers can be linked; gone afterwards."""
    folder = bench.store.workspace.new_path()
    folder.mkdir()
    try:
        yield folder
    finally:
        bench.store.filesystem.remove_tree(folder)
