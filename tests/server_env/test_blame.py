"""PaddleX's errors that mean the request; what PaddleX really says is looked at in the image."""

import pytest

from hps_server.batching import PredictionError
from hps_server.blame import blamed


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ValueError("Chunk size should be greater than the base prompt length (9), but got 1."),
            "Chunk size should be greater than the base prompt length (9), but got 1.",
        ),
        (KeyError("None of [Index(['a'])] are in the [columns]"), "None of [Index(['a'])]"),
        (KeyError("['b'] not in index"), "['b'] not in index"),
        (KeyError("table_html_list"), "visualInfo is not what"),
        (Exception("not support limit type, image "), "one of min, max, resize_long"),
        (PredictionError("the input params for model settings are invalid!"), "without what"),
    ],
)
def test_the_client_is_told(error: Exception, told: str) -> None:
    said = blamed(error)
    assert said is not None
    assert told in said


@pytest.mark.parametrize(
    "error",
    [
        KeyError("boxes"),
        KeyError(),
        KeyError(3),
        RuntimeError(""),
        ValueError("It was said: Chunk size should be greater than the base prompt length (9)"),
        TypeError("predict() got an unexpected keyword argument 'thresholds'"),
        KeyError("a table_html_list"),
        MemoryError(),
    ],
)
def test_everything_else_is_the_servers_fault(error: Exception) -> None:
    assert blamed(error) is None


def test_no_more_is_told_than_can_be_read() -> None:
    said = blamed(ValueError("Invalid key of threshold: " + "x" * 10_000))
    assert said is not None
    assert len(said) == 1000
