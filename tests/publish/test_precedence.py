"""What may follow what is published."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from hps.digest import Blob, Digest
from hps.errors import PublishError
from hps.model.donefile import Hint, Packed
from hps.publish.precedence import Waived, check
from tests.model.releases import release

MANIFEST, OTHER = (Blob(Digest.of(data), 1) for data in (b"1", b"2"))
THERE = Hint("ocr", "production", 7, MANIFEST, Packed("ocr.tar.gz", MANIFEST))
IN_REGISTRY = replace(THERE, manifest=None)


@pytest.mark.parametrize(
    ("there", "sequence", "manifest", "waived", "why"),
    [
        (None, 1, OTHER, Waived(), ""),
        (Hint(), 1, OTHER, Waived(), ""),
        (Hint(digest=Digest.of(b"")), 1, OTHER, Waived(), ""),
        (THERE, 8, OTHER, Waived(), ""),
        (THERE, 7, MANIFEST, Waived(), ""),
        (THERE, 7, OTHER, Waived(), "not higher"),
        (THERE, 6, OTHER, Waived(), "not higher"),
        (THERE, 6, MANIFEST, Waived(), "not higher"),
        (THERE, 6, OTHER, Waived(model=True), "not higher"),
        (THERE, 6, OTHER, Waived(order=True), ""),
        (IN_REGISTRY, 7, MANIFEST, Waived(), ""),
        (IN_REGISTRY, 7, OTHER, Waived(), "not higher"),
        (replace(IN_REGISTRY, archive=None), 7, MANIFEST, Waived(), "not higher"),
        (replace(THERE, model="det"), 8, OTHER, Waived(), "another model"),
        (replace(THERE, channel="canary"), 8, OTHER, Waived(order=True), "another model"),
        (replace(THERE, channel="canary"), 1, OTHER, Waived(model=True), ""),
    ],
)
def test_a_release(
    there: Hint | None, sequence: int, manifest: Blob, waived: Waived, why: str
) -> None:
    with pytest.raises(PublishError, match=why) if why else nullcontext():
        # Its archive is as different as its manifest.
        check(there, release(sequence=sequence), manifest, manifest, waived)


def test_a_model_without_a_signature() -> None:
    for there in (None, Hint(), Hint(digest=Digest.of(b"old"))):
        check(there, None, MANIFEST, OTHER, Waived())
    with pytest.raises(PublishError, match="not signed"):
        check(THERE, None, MANIFEST, OTHER, Waived(order=True))
    check(THERE, None, MANIFEST, OTHER, Waived(model=True))
