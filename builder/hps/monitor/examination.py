"""From what was pulled to a model that may go live: unpacked, judged, and held against its word.

Nothing outside the staging of its own generation is touched. The order is that of section 4 of the
policy: who signed, what they say, and only then what lies there, byte by byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hps import canonical
from hps.config.monitor import Caps
from hps.digest import Digest
from hps.errors import HpsError, IntegrityError, MalformedError
from hps.model import checksums, donefile, manifest
from hps.model.extract import ModelLimits, Top, unpack
from hps.model.folder import check_folder
from hps.model.folder_manifests import read_manifests
from hps.model.judge import Judgement, Offer, judge
from hps.model.policy import Allowance, Known, ModelPolicy, Trust
from hps.model.refusal import Reason, Refusal
from hps.model.release import ModelRelease, ReleaseFile
from hps.monitor.history import Release
from hps.monitor.pulled import Pulled
from hps.monitor.tree import remove_tree
from hps.oci.documents import read_document

TREE = "model"  # in the staging of a generation: what will be published
_NOTHING = "nothing"


class RefusedError(HpsError):
    """A model may not go live; `refusal` says why, by code."""

    reference = "model-refused"
    exit_code = 5

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        first = refusals[0]
        super().__init__(first.text, details=tuple(one.text for one in refusals[1:]))
        self.refusal = first


@dataclass(frozen=True, slots=True)
class Examined:
    """A model that may go live.

    Args:
        tree: the folder that holds it.
        release: what trusted keys say of it; None where nothing was signed.
        row: the same for the history.
        known: what is to be remembered when it is live.
        notes: for people.
    """

    tree: Path
    release: ModelRelease | None
    row: Release
    known: Known
    notes: tuple[str, ...]


def identity_of(pulled: Pulled, policy: ModelPolicy, donefile_content: bytes) -> str:
    """Content, donefile and policy in one digest: the same bytes under another policy are new."""
    told = {
        "files": [[file.path, str(file.digest)] for file in pulled.files],
        "donefile": str(Digest.of(donefile_content)),
        "trust": str(policy.trust),
        "name": policy.name,
        "channel": policy.channel,
        "keys": sorted(policy.counting),
        "revoked": sorted(policy.revoked),
    }
    return str(Digest.of(canonical.dumps(told)))


def lay_out(
    pulled: Pulled, staging: Path, *, top: str | None, caps: Caps, watch: Callable[[int], object]
) -> Path:
    """Make the folder of the model out of what was pulled; a folder of an earlier try goes.

    Raises:
        ArchiveError: the archive is refused.
        StagingError, DiskError: this machine.
    """
    tree = staging / TREE
    (packed,) = pulled.files if len(pulled.files) == 1 else (None,)
    if packed is None or packed.path:
        return pulled.files[0].location.parents[pulled.files[0].path.count("/")]
    remove_tree(tree)
    tree.mkdir(mode=0o700)
    limits = ModelLimits(size=caps.bytes, files=caps.files, depth=caps.depth)
    unpack(
        packed.location,
        tree,
        limits=limits,
        top=None if top is None else Top(top, beside="leave"),
        reserve=caps.spare,
        watch=watch,
    )
    return tree


def examine(
    tree: Path,
    pulled: Pulled,
    policy: ModelPolicy,
    known: Known,
    *,
    now: datetime,
    allowance: Allowance | None = None,
    watch: Callable[[int], object] = lambda _: None,
) -> Examined:
    """Decide whether a model may go live.

    Raises:
        RefusedError: it may not.
    """
    hinted = _against_donefile(pulled, policy)
    if policy.trust is Trust.SIGNATURE:
        return _signed(tree, policy, known, now, allowance, watch)
    offer, files, by = _listed(tree)
    if hinted and not offer.listed:
        offer, by = Offer(listed=True, fault=offer.fault), "checksums"
    if policy.trust is Trust.NONE:
        offer, files, by = Offer(), (), _NOTHING
    decided = _accepted(judge(offer, policy, known, now=now, allowance=allowance))
    refusals = (
        ()
        if not files
        else check_folder(tree, files, beside=checksums.NAMES, staged=True, watch=watch)
    )
    if refusals:
        raise RefusedError(refusals)
    return Examined(tree, None, Release(verified=by), decided.known, decided.notes)


def _signed(
    tree: Path,
    policy: ModelPolicy,
    known: Known,
    now: datetime,
    allowance: Allowance | None,
    watch: Callable[[int], object],
) -> Examined:
    try:
        offer = Offer(manifest.read(read_manifests(tree), policy.keys))
    except MalformedError as error:
        offer = Offer(fault=error.message)
    decided = _accepted(judge(offer, policy, known, now=now, allowance=allowance))
    release = None if offer.signed is None else offer.signed.release
    if release is None:
        raise RefusedError((Refusal(Reason.UNSIGNED, "no trusted key says what it holds"),))
    refusals = check_folder(tree, release.files, staged=True, watch=watch)
    if refusals:
        raise RefusedError(refusals)
    row = Release.of(release, str(release.identity), "signature")
    return Examined(tree, release, row, decided.known, decided.notes)


def _accepted(decided: Judgement) -> Judgement:
    if decided.refusals:
        raise RefusedError(decided.refusals)
    return decided


def _against_donefile(pulled: Pulled, policy: ModelPolicy) -> bool:
    """Whether the donefile tells the digest of the archive; refuses another archive."""
    hint = donefile.read(pulled.donefile or b"")
    told = [(file, hint.archive_digest(file.path)) for file in pulled.files if not file.path]
    for file, digest in told:
        if digest is not None and digest != file.digest and policy.trust is not Trust.NONE:
            text = f"the archive is {file.digest}, and the donefile says {digest}"
            raise RefusedError((Refusal(Reason.DIGEST_MISMATCH, text),))
    return any(digest is not None for _, digest in told)


def _listed(tree: Path) -> tuple[Offer, tuple[ReleaseFile, ...], str]:
    place = next((tree / name for name in checksums.NAMES if (tree / name).is_file()), None)
    if place is None:
        return Offer(), (), _NOTHING
    try:
        files = checksums.parse(read_document(place, limit=checksums.LARGEST))
    except (ValueError, IntegrityError) as error:
        return Offer(fault=f"{place.name}: {error}"), (), _NOTHING
    return Offer(listed=True), tuple(files), "checksums"
