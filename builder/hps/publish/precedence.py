"""Whether a release may follow the one that is published. Pure."""

from dataclasses import dataclass

from hps.digest import Blob
from hps.errors import PublishError
from hps.model.donefile import Hint
from hps.model.release import ModelRelease


@dataclass(frozen=True, slots=True)
class Waived:
    """What somebody said in so many words.

    Args:
        order: its number need not be higher than that of the published one.
        model: another model, or another channel, may be published there.
    """

    order: bool = False
    model: bool = False


def check(
    there: Hint | None,
    release: ModelRelease | None,
    manifest: Blob,
    archive: Blob,
    waived: Waived,
) -> None:
    """Refuse what monitors would refuse, and what looks like a slip.

    The same release may always be published again: so a publisher that broke off is healed.

    Args:
        there: what the donefile says; None or empty when there is none of hps.
        release: what would be published; None for a model without a signature.
        manifest: of it.
        archive: of it; registries tell this and not the manifest.
        waived: see there.

    Raises:
        PublishError: it may not.
    """
    if there is None or there.sequence is None:
        return
    place = f"{there.model}, channel {there.channel}"
    if release is None:
        if not waived.model:
            raise PublishError(
                "a signed release is published there, and this model is not signed",
                got=f"release {there.sequence} of {place}",
                hint="sign it (hps model pack), or say --replace-other",
            )
        return
    if (there.model, there.channel) != (release.name, release.channel):
        if not waived.model:
            raise PublishError(
                "another model is published there",
                expected=f"{release.name}, channel {release.channel}",
                got=place,
                hint="correct --to or --donefile, or say --replace-other",
            )
        return
    if waived.order or release.sequence is None or release.sequence > there.sequence:
        return
    same = there.manifest == manifest or (
        there.manifest is None and there.archive is not None and there.archive.blob == archive
    )
    if release.sequence == there.sequence and same:
        return
    raise PublishError(
        "the number of the release is not higher than that of the published one",
        expected=f"more than {there.sequence}",
        got=release.sequence,
        hint="hps model pack --next gives the next number; monitors refuse lower ones, so that "
        "going back is a new release with old files; or say --not-newer",
    )
