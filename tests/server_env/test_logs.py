"""What the launcher says, as lines and as JSON."""

import json

from hps_server.logs import Log, restated


def test_text() -> None:
    lines: list[str] = []
    log = Log("text", "me", lines.append)
    log("ready")
    log("error: it is broken: twice")
    log.say("warning", "not ready", model="ocr", request_id=None)
    assert lines == [
        "me: ready\n",
        "me: error: it is broken: twice\n",
        "me: warning: not ready model=ocr\n",
    ]


def test_json() -> None:
    lines: list[str] = []
    log = Log("json", "me", lines.append)
    log("error: two\nlines")
    log.say("info", "ready", model="ö", request_id=None)
    first, second = map(json.loads, lines)
    assert [line.count("\n") for line in lines] == [1, 1]
    assert (first["level"], first["message"]) == ("error", "two\nlines")
    assert first["time"].endswith("+00:00")
    assert second.keys() == {"time", "level", "logger", "message", "model"}


def test_lines_of_triton() -> None:
    line = b'E1122 04:00:46.735000 13267 model_lifecycle.cc:472] "loading: ocr:1"'
    assert (
        json.loads(restated(line)).items()
        >= {
            "level": "error",
            "logger": "triton",
            "message": '"loading: ocr:1"',
            "source": "model_lifecycle.cc:472",
        }.items()
    )
    assert restated(b'{"a": 1}') == b'{"a": 1}\n'
    plain = json.loads(restated(b"print of a model \xff"))
    assert plain["message"] == "print of a model \ufffd"
