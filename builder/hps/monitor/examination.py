"""From what was pulled to a model that may go live: unpacked, judged, and held against its word.

Nothing outside the staging of its own generation is touched. The order is that of section 4 of the
policy: who signed, what they say, and only then what lies there, byte by byte.
"""

from collections.abc import Callable, Sequence
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
from hps.model.policy import Known, ModelPolicy, Trust
from hps.model.refusal import Reason, Refusal
from hps.model.release import ModelRelease, ReleaseFile
from hps.monitor.history import Release
from hps.monitor.pulled import Pulled
from hps.monitor.tree import remove_tree
from hps.oci.documents import read_document

TREE = "model"  # in the staging of a generation: what will be published
NOTHING = "nothing"  # by what a model was let in that nobody said anything of


class RefusedError(HpsError):
    """A model may not go live; `refusals` say why, by code, the first one first of all."""

    reference = "model-refused"
    exit_code = 5

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        first, *others = (f"{one.path}: {one.text}" if one.path else one.text for one in refusals)
        super().__init__(first, details=tuple(others))

    @property
    def reason(self) -> Reason:
        """The code of the first."""
        return self.refusals[0].reason


@dataclass(frozen=True, slots=True)
class Bar:
    """What a model has to pass on this host.

    Args:
        policy: whom to trust, and for what.
        known: what was accepted before.
        now: this machine's clock.
        watch: called with a number of bytes after each piece that was hashed; may raise.
        archive: the name of a packed model at its source, by which a donefile lists it.
    """

    policy: ModelPolicy
    known: Known
    now: datetime
    watch: Callable[[int], object] = lambda _: None
    archive: str = ""

    def judge(self, offer: Offer) -> Judgement:
        """Decide on what is offered; raises RefusedError."""
        decided = judge(offer, self.policy, self.known, now=self.now)
        if decided.refusals:
            raise RefusedError(decided.refusals)
        return decided


@dataclass(frozen=True, slots=True)
class Examined:
    """A model that may go live.

    Args:
        tree: the folder that holds it.
        row: what trusted keys say of it, for the history.
        known: what is to be remembered when it is live.
        notes: for people.
    """

    tree: Path
    row: Release
    known: Known
    notes: tuple[str, ...]


def identity_of(pulled: Pulled, policy: ModelPolicy, members: Sequence[str] = ()) -> str:
    """Content, donefile and policy in one digest: the same bytes under another policy are new.

    Args:
        pulled: the content.
        policy: by which it is judged.
        members: of a group.
    """
    told = {
        "members": list(members),
        "files": [[file.path, str(file.digest)] for file in pulled.files],
        "donefile": str(Digest.of(pulled.donefile or b"")),
        "trust": str(policy.trust),
        "name": policy.name,
        "channel": policy.channel,
        "keys": sorted(policy.counting),
        "revoked": sorted(policy.revoked),
        "threshold": policy.threshold,
        "first": policy.first,
        "leap": policy.leap,
        "grace": int(policy.grace.total_seconds()),
        "unsequenced": policy.unsequenced,
        "runtime": None if policy.runtime is None else dict(policy.runtime),
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
    limits = ModelLimits(size=caps.bytes, files=caps.files, depth=caps.depth, ratio=caps.ratio)
    unpack(
        packed.location,
        tree,
        limits=limits,
        top=None if top is None else Top(top, beside="leave"),
        reserve=caps.spare,
        watch=watch,
    )
    return tree


def examine(tree: Path, pulled: Pulled, bar: Bar) -> Examined:
    """Decide whether a model may go live.

    Raises:
        RefusedError: it may not.
    """
    hinted = _against_donefile(pulled, bar)
    if bar.policy.trust is Trust.SIGNATURE:
        return _signed(tree, bar)
    return _unsigned(tree, bar, hinted=hinted)


def release_in(folder: Path, policy: ModelPolicy) -> ModelRelease | None:
    """What trusted keys say of a generation, which was verified before it became one."""
    if policy.trust is not Trust.SIGNATURE:
        return None  # a manifest that lies there was never looked at, and may be anything
    documents = read_manifests(folder)
    return manifest.read(documents, policy.keys).release if documents else None


def signed_offer(tree: Path, policy: ModelPolicy) -> Offer:
    """What the manifests of a model say, as far as trusted keys signed it."""
    try:
        return Offer(manifest.read(read_manifests(tree), policy.keys))
    except MalformedError as error:
        return Offer(fault=error.message)


def hold(
    tree: Path, files: tuple[ReleaseFile, ...], bar: Bar, beside: tuple[str, ...] = ()
) -> None:
    """Hold a folder against what is said of it, byte by byte; raises RefusedError."""
    refusals = check_folder(tree, files, beside=beside, staged=True, watch=bar.watch)
    if refusals:
        raise RefusedError(refusals)


def hold_again(folder: Path, policy: ModelPolicy, watch: Callable[[int], object]) -> None:
    """Hold a generation, or a member of one, against what was said of it when it was let in.

    Where nobody signed it, against its checksums; without any, there is nothing to be said. Nor is
    there when the keys of that time are trusted no more: it was let in, and users have it.

    Raises:
        RefusedError: it is another one by now.
    """
    if policy.trust is Trust.NONE:
        return
    release = release_in(folder, policy)
    files = _listed(folder)[1] if release is None else release.files
    beside = checksums.NAMES if release is None else ()
    refusals = check_folder(folder, files, beside=beside, watch=watch) if files else ()
    if refusals:
        raise RefusedError(refusals)


def _signed(tree: Path, bar: Bar) -> Examined:
    offer = signed_offer(tree, bar.policy)
    decided = bar.judge(offer)
    release = None if offer.signed is None else offer.signed.release
    if release is None:
        raise RefusedError((Refusal(Reason.UNSIGNED, "no trusted key says what it holds"),))
    hold(tree, release.files, bar)
    row = Release.of(release, str(release.identity), "signature")
    return Examined(tree, row, decided.known, decided.notes)


def _unsigned(tree: Path, bar: Bar, *, hinted: bool) -> Examined:
    if bar.policy.trust is Trust.NONE:
        decided = bar.judge(Offer())
        return Examined(tree, Release(verified=NOTHING), decided.known, decided.notes)
    offer, files, by = _listed(tree)
    if hinted and not offer.listed:
        offer, by = Offer(listed=True, fault=offer.fault), "checksums"
    decided = bar.judge(offer)
    if files:
        hold(tree, files, bar, checksums.NAMES)
    return Examined(tree, Release(verified=by), decided.known, decided.notes)


def _against_donefile(pulled: Pulled, bar: Bar) -> bool:
    """Whether the donefile tells the digest of the archive; refuses another archive."""
    hint = donefile.read(pulled.donefile or b"")
    told = [(file, hint.archive_digest(bar.archive)) for file in pulled.files if not file.path]
    for file, digest in told:
        if digest is not None and digest != file.digest and bar.policy.trust is not Trust.NONE:
            text = f"the archive is {file.digest}, and the donefile says {digest}"
            raise RefusedError((Refusal(Reason.DIGEST_MISMATCH, text),))
    return any(digest is not None for _, digest in told)


def _listed(tree: Path) -> tuple[Offer, tuple[ReleaseFile, ...], str]:
    place = next((tree / name for name in checksums.NAMES if (tree / name).is_file()), None)
    if place is None:
        return Offer(), (), NOTHING
    try:
        files = checksums.parse(read_document(place, limit=checksums.LARGEST))
    except (ValueError, IntegrityError) as error:
        return Offer(fault=f"{place.name}: {error}"), (), NOTHING
    return Offer(listed=True), tuple(files), "checksums"
