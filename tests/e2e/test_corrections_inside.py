"""Each correction of PaddleX is still needed in the built image, and does what it says."""

import pytest

from tests.e2e import inside_image

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_paddlex_still_makes_each_mistake_and_each_is_mended() -> None:
    """A failure names the correction that a new PaddleX has made needless: delete it."""
    said = inside_image.told("tests/e2e/corrections_inside.py")
    assert said["well"]
    assert said["run"] >= 12
