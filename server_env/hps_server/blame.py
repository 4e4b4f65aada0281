"""Tells by PaddleX's words that a request is at fault.

PaddleX raises the same kinds of errors for its own faults and for its clients', and answers 500 to
both. What it says of a client's is listed here; everything else stays a fault of the server.
"""

import re

_SAME = ""  # the client is told what PaddleX says

# What an error says from its beginning, and what the client is told.
_WORDS: "tuple[tuple[str, str], ...]" = (
    (r"Chunk size should be greater than the base prompt length \(\d+\)", _SAME),
    (r"If using dictionary format, please specify default threshold", _SAME),
    (r"Invalid key of threshold: ", _SAME),
    (r"The length of threshold\(\d+\) should be equal to the number of classes", _SAME),
    (r"The value of `layout_merge_bboxes_mode` must be one of ", _SAME),
    (
        r"not support limit type",
        "textDetLimitType and sealDetLimitType must be one of min, max, resize_long",
    ),
    (r"The vector model name \(.{0,200}\) does not match the retriever model name", _SAME),
    (
        r"(normal_text_dict|table_text_list|table_html_list|table_nei_text_list)$",
        "visualInfo is not what the analysis of images has answered",
    ),
    (r"The time column: .{1,200} doesn't exist in the `data`!", _SAME),
    (r"The length of the input data is \d+, but it should be at least \d+", _SAME),
    (r"\W?None of \[.{1,500}\] are in the \[columns\]", _SAME),
    (r"\W?\[.{1,500}\] not in index", _SAME),
    (
        r"the input params for model settings are invalid",
        "The pipeline is configured without what is asked for",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.DOTALL), told) for pattern, told in _WORDS)
_LONGEST = 1000


def blamed(error: BaseException) -> "str | None":
    """What the client is told when PaddleX's error means its request; None when it does not."""
    said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    for pattern, told in _COMPILED:
        if pattern.match(said):
            return told or said[:_LONGEST]
    return None
