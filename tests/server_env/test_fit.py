"""Does a package fit an image: one sentence when not."""

import sys
from pathlib import Path

import pytest

from hps_server.fit import Image, compare, this_image
from hps_server.package import Package, read_package
from tests.server_env.packages import ENVIRONMENT, installed_paddlex, make_package

HERE = Image(ENVIRONMENT, "3.7.2", frozenset({"OCR"}))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return read_package(make_package(tmp_path) / "package.json")


def test_it_fits(package: Package) -> None:
    assert compare(package, HERE).misfit == compare(package, HERE).warning == ""


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Image(ENVIRONMENT, None, frozenset()), "made for PaddleX 3.7.2, and this image has no Pa"),
        (Image(ENVIRONMENT, "3.6.0", frozenset({"OCR"})), "3.7.2, and this image has 3.6.0: start"),
        (Image(ENVIRONMENT, "3.7.2", frozenset({"X"})), "the pipeline 'OCR', which PaddleX 3.7.2"),
    ],
)
def test_what_does_not_fit_is_one_sentence(package: Package, image: Image, said: str) -> None:
    misfit = compare(package, image).misfit
    assert said in misfit
    assert misfit.count(". ") == 0


@pytest.mark.parametrize("environment", ["", "sha256:" + "cd" * 32])
def test_another_environment_is_a_warning(package: Package, environment: str) -> None:
    fit = compare(package, Image(environment, "3.7.2", frozenset({"OCR"})))
    assert fit.misfit == ""
    assert "PaddleX is the same" in fit.warning


def test_the_image_is_looked_at_without_importing_paddlex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed_paddlex(tmp_path, "3.7.2")))
    image = this_image({"HPS_ENVIRONMENT": ENVIRONMENT})
    assert image == Image(ENVIRONMENT, "3.7.2", frozenset({"OCR", "PP-ShiTuV2"}))
    assert "paddlex" not in sys.modules
