"""Downloads that are asked for; the guard itself is shown with real PaddleX in tests/e2e."""

import sys

import pytest

from hps_server.offline import MissingFileError, _refuse_font, _refuse_weights, forbid_downloads


def test_downloads_that_are_asked_for_are_left() -> None:
    before = set(sys.modules)
    assert not forbid_downloads({"HPS_SERVER_DOWNLOADS": "1"})
    assert not {name for name in set(sys.modules) - before if name.startswith("paddlex")}


@pytest.mark.parametrize("models", ["UVDoc", ["UVDoc", "UVDoc_onnx"]])
def test_missing_weights_are_named(models: "str | list[str]") -> None:
    with pytest.raises(MissingFileError, match=r"weights of UVDoc are missing.*\[weights\.UVDoc\]"):
        _refuse_weights([], models)


def test_a_missing_font_is_named() -> None:
    class Font:
        _font_name = "simfang.ttf"

    with pytest.raises(MissingFileError, match=r"font simfang\.ttf is missing"):
        _refuse_font(Font())
