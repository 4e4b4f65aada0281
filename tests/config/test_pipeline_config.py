"""Configurations of pipelines: their modules, which weights go where, and hostile YAML."""

from collections.abc import Mapping

import pytest

from hps.config.pipeline_config import (
    LIMIT,
    assign,
    modules,
    read,
    read_description,
    with_weights,
    write,
)
from hps.errors import ConfigError
from tests.build.models import DETECTOR, OCR, RECOGNISER

DOCUMENT = read(OCR.encode(), "OCR.yaml")
DETECTION, RECOGNITION = "SubModules.TextDetection", "SubModules.TextRecognition"
UNWARPING = "SubPipelines.DocPreprocessor.SubModules.DocUnwarping"


def given(found: tuple[str, ...] = (), named: Mapping[str, str] = {}) -> dict[str, str]:
    models = {"det": DETECTOR, "rec": RECOGNISER, "det2": DETECTOR, "other": "UVDoc_2"}
    return assign(DOCUMENT, named=named, found=found, models=models)


def test_every_module_is_found() -> None:
    assert {one.path: one.model for one in modules(DOCUMENT)} == {
        UNWARPING: "UVDoc",
        DETECTION: DETECTOR,
        RECOGNITION: RECOGNISER,
    }


def test_weights_find_their_module_by_model() -> None:
    assert given(("rec", "det")) == {DETECTION: "det", RECOGNITION: "rec"}


def test_a_module_is_named_by_the_end_of_its_path() -> None:
    assert given(named={"DocUnwarping": "other"}) == {UNWARPING: "other"}
    assert given(("det",), {DETECTION: "det2"}) == {DETECTION: "det2"}


def test_one_set_serves_every_module_with_its_model() -> None:
    twice = {"SubModules": DOCUMENT["SubModules"], "SubPipelines": {"Again": DOCUMENT}}
    found = assign(twice, named={}, found=["det"], models={"det": DETECTOR})
    assert list(found) == [DETECTION, f"SubPipelines.Again.{DETECTION}"]
    with pytest.raises(ConfigError, match="several modules are called TextDetection") as caught:
        assign(twice, named={"TextDetection": "det"}, found=[], models={"det": DETECTOR})
    assert len(caught.value.details) == 2
    named = assign(twice, named={DETECTION: "det"}, found=[], models={"det": DETECTOR})
    assert list(named) == [DETECTION]


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ConfigError, match="there is no module Nothing") as caught:
        given(named={"Nothing": "det"})
    assert f"{DETECTION}: {DETECTOR}" in caught.value.details
    with pytest.raises(ConfigError, match="no module has the model UVDoc_2"):
        given(("other",))
    with pytest.raises(ConfigError, match="det and det2 are both weights of"):
        given(("det", "det2"))
    with pytest.raises(ConfigError, match="two sets"):
        given(named={"TextDetection": "det", DETECTION: "det2"})


def test_a_copy_says_where_the_files_are() -> None:
    folder = "/opt/hps/weights/det"
    made = with_weights(DOCUMENT, {DETECTION: ("My_det", folder)})
    assert read(write(made), "again") == made
    assert made["SubModules"]["TextDetection"] == {
        "module_name": "text_detection",
        "model_name": "My_det",
        "model_dir": folder,
        "thresholds": {0: 0.3, 1: 0.5},
    }
    assert DOCUMENT["SubModules"]["TextDetection"]["model_dir"] is None
    with pytest.raises(ConfigError, match=r"no module SubModules\.Other"):
        with_weights(DOCUMENT, {"SubModules.Other": ("a", "b")})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"- a",
        b"a: [",
        b"\xff\xfe\xff",
        b"a: !!python/object/apply:os.system [id]",
        b"a: " + b"[" * 5000,
        b"a: 2024-99-99",
        b"x: " + b"a" * LIMIT,
        b"a: &a\n  b: *a\n",
        b"".join(b"%c: &%c [%s]\n" % (c, c, b"*%c," % (c - 1) * 9) for c in b"bcdefghij").replace(
            b"*a", b"x"
        ),
    ],
    ids="empty list cut bytes object deep date huge circle laughs".split(),
)
def test_bad_yaml_is_a_fault(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        read(data, "bad.yaml")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Global:\n  model_name: A\nPostProcess:\n  character_dict:\n  - ''\n", "A"),
        ("Hpi: {}\nGlobal:\n  model_name: B\n\n  other: 1\n# note\nX: [", "B"),
        ("Other: 1\n", None),
        ("", None),
        ("Global: text\n", None),
        ("Global:\n- 1\n", None),
    ],
)
def test_the_name_of_a_model_is_read(text: str, name: str | None) -> None:
    assert read_description(text.encode(), "inference.yml").get("model_name") == name
