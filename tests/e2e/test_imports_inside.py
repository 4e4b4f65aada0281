"""What waits for its use in the PaddleX of the built image, works when it is used."""

import pytest

from tests.e2e import inside_image

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_paddlex_uses_nothing_of_it_at_import_and_all_of_it_later() -> None:
    """A PaddleX that needs one of the modules at import makes the list useless: it is told here."""
    said = inside_image.told("tests/e2e/imports_inside.py")
    names = ["matplotlib.pyplot", "sklearn", "sklearn.cluster", "sklearn.preprocessing"]
    assert said["first"] == names
    assert said["deferred"] == [True, True]
    assert said["scaled"] == [-1.0, 1.0]
    assert said["groups"] == 2
    assert said["figure"] == "Figure"
    assert said["last"] == []
    assert said["frozen"] > 100_000
