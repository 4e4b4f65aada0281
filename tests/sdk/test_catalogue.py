"""The catalogue says what PaddleX says, and a file that says nonsense is told so, line by line."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import ConfigError, UsageError
from hps.lock.text import read as read_lock
from hps.sdk.catalogue import Pipeline, contradictions, parse
from hps.sdk.catalogue_files import chosen, read_catalogue

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "sdk/schema/paddlex-3.7.2.json").read_text(encoding="utf-8"))
CATALOGUE = read_catalogue(ROOT)
OPERATIONS = [
    pytest.param(name, described, id=f"{name}-{described['id']}")
    for name, pipeline in SCHEMA["pipelines"].items()
    for described in pipeline["operations"]
]
# The one model that PaddleX's HPS calls otherwise than the endpoint of basic serving.
TRAP = {("anomaly_detection", "infer"): "anomaly-detection"}
# Fields of these names hold files: PaddleX reads an address or base64 from them.
FILE_FIELDS = {"file", "image", "video", "audio", "csv", "tar", "image_url"}
GOOD = """\
name = "OCR"
sdk-version = "0.5.0"
devices = ["cpu"]
extras = ["ocr-core"]

[[operations]]
id = "infer"
model = "ocr"
endpoint = "/ocr"
files = ["file"]
media = "document"
"""


def options(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a field may be, references followed."""
    if "$ref" in node:
        yield from options(defs[node["$ref"].removeprefix("#/$defs/")], defs)
    elif "anyOf" in node:
        for one in node["anyOf"]:
            yield from options(one, defs)
    else:
        yield node


def file_fields(schema: Mapping[str, Any]) -> set[str]:
    """Paths of all fields of a request that hold files, as the catalogue writes them."""
    defs = schema.get("$defs", {})

    def walk(node: Mapping[str, Any], path: str) -> Iterator[str]:
        for one in options(node, defs):
            if one.get("type") == "array":
                yield from walk(one.get("items", {}), f"{path}[]")
            for name, field in one.get("properties", {}).items():
                below = f"{path}.{name}" if path else name
                texts = [each for each in options(field, defs) if each.get("type") == "string"]
                if name in FILE_FIELDS and texts:
                    yield below
                elif name == "markdownImages":  # PaddleX fetches those that are URLs
                    yield f"{below}{{}}"
                else:
                    yield from walk(field, below)

    return set(walk(schema, ""))


def test_the_catalogue_holds_every_pipeline_of_paddlex() -> None:
    assert list(CATALOGUE) == sorted(SCHEMA["pipelines"])
    assert len(CATALOGUE) == 37


@pytest.mark.parametrize("name", SCHEMA["pipelines"])
def test_a_pipeline_is_what_paddlex_says(name: str) -> None:
    described, written = SCHEMA["pipelines"][name], CATALOGUE[name]
    assert [one.id for one in written.operations] == [one["id"] for one in described["operations"]]
    assert (written.app or name) == described["app"]


@pytest.mark.parametrize(("name", "described"), OPERATIONS)
def test_an_operation_is_what_paddlex_says(name: str, described: Mapping[str, Any]) -> None:
    written = {one.id: one for one in CATALOGUE[name].operations}[described["id"]]
    assert written.endpoint == described["endpoint"]
    assert written.model == TRAP.get((name, written.id), described["endpoint"][1:])
    # `markdownList[].images` and `pages[]...` are what an earlier operation gave, not files.
    fields = {one for one in file_fields(described["request"]["schema"]) if "images" not in one}
    assert set(written.files) == fields


def test_the_schemas_are_those_of_the_locked_paddlex() -> None:
    lock = read_lock((ROOT / "hps.lock").read_bytes())
    versions = {
        one.version for target in lock.targets for one in target.wheels if one.name == "paddlex"
    }
    assert versions == {SCHEMA["paddlex"]}


def test_mapped_pipelines_have_the_operations_of_their_application() -> None:
    mapped = [one for one in CATALOGUE.values() if one.app]
    assert [one.name for one in mapped] == ["PaddleOCR-VL-1.5", "PaddleOCR-VL-1.6"]
    for one in mapped:
        assert one.app is not None
        assert one.operations == CATALOGUE[one.app].operations


@pytest.mark.parametrize("name", CATALOGUE)
def test_models_of_a_package_never_share_a_name(name: str) -> None:
    pipeline = CATALOGUE[name]
    models = {one.model for one in pipeline.operations} | {pipeline.engine}
    assert len(models) == len(pipeline.operations) + (len(pipeline.operations) > 1)
    assert all(re.fullmatch(r"[a-z0-9-]+", model) for model in models)


def test_what_cannot_be_batched_is_not() -> None:
    batches = {
        f"{one.name}/{each.id}": each.batch for one in CATALOGUE.values() for each in one.operations
    }
    assert set(batches.values()) == {1, 8}
    # PaddleX answers for the first of a list, or for all of them at once, or takes no list.
    for name in ("multilingual_speech_recognition", "3d_bev_detection", "doc_understanding"):
        assert batches[f"{name}/infer"] == 1
    assert batches["OCR/infer"] == batches["PP-ChatOCRv4-doc/analyzeImages"] == 8


def test_operations_that_ask_other_services_are_marked() -> None:
    remote = {f"{p.name}/{o.id}" for p in CATALOGUE.values() for o in p.operations if o.remote}
    assert remote == {
        "PP-ChatOCRv3-doc/buildVectorStore",
        "PP-ChatOCRv3-doc/chat",
        "PP-ChatOCRv4-doc/buildVectorStore",
        "PP-ChatOCRv4-doc/chat",
        "PP-ChatOCRv4-doc/invokeMllm",
        "PP-DocTranslation/translate",
    }


def test_names_that_follow_from_a_pipeline() -> None:
    dotted = CATALOGUE["PaddleOCR-VL-1.5"]
    assert dotted.package == "paddlex_hps_PaddleOCR-VL-1.5_sdk"
    assert dotted.engine == "paddleocr-vl-1-5-pipeline"
    assert dotted.config_file == "PaddleOCR-VL-1.5.yaml"
    assert CATALOGUE["OCR"].engine == "ocr"


def faults(text: str, folder: str = "OCR") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "OCR/pipeline.toml", folder)
    return list(caught.value.details)


def test_a_good_file() -> None:
    pipeline = parse(GOOD, "OCR/pipeline.toml", "OCR")
    assert pipeline.operations[0].batch == 1
    assert not pipeline.operations[0].remote


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('name = "OCR"', 'name = "../OCR"', 1, "name: not allowed here"),
        ('name = "OCR"', 'name = "OCR\\n"', 1, "name: not allowed here"),
        ('name = "OCR"', 'name = "ocr"', 1, "differs from the folder"),
        ('name = "OCR"', "name = 7", 1, "expected a string, got 7"),
        ('"0.5.0"', '"0.5"', 2, "sdk-version: not allowed here"),
        ('["cpu"]', '["tpu"]', 3, "devices[0]"),
        ('["cpu"]', "[]", 3, "expected at least one"),
        ('["cpu"]', '"cpu"', 3, "expected an array"),
        ('devices = ["cpu"]', "", 1, "devices: is missing"),
        ('["cpu"]', '["cpu"]\nap = "x"', 4, 'ap: unknown key; did you mean "app"?'),
        ('"/ocr"', '"ocr"', 9, "endpoint: not allowed here"),
        ('"/ocr"', '"/../etc"', 9, "endpoint: not allowed here"),
        ('model = "ocr"', 'model = "o/cr"', 8, "model: not allowed here"),
        ('model = "ocr"', 'model = "ocr"\nbatch = 0', 9, "batch"),
        ('model = "ocr"', 'model = "ocr"\nbatch = 65', 9, "batch"),
        ('model = "ocr"', 'model = "ocr"\nbatch = true', 9, "batch: wrong type"),
        ('model = "ocr"', 'model = "ocr"\nremote = 1', 9, "expected true or false, got 1"),
        ('model = "ocr"', 'model = "ocr"\nmodle = "x"', 9, "unknown key; did you mean"),
        ('"document"', '"picture"', 11, "media"),
        ('media = "document"', "", 10, "files and media go together"),
        ('["file"]', '["a..b"]', 10, "files[0]: not allowed here"),
        ('["ocr-core"]', '["ocr-core"]\napp = "OCR"', 5, "names the pipeline itself"),
        ('["ocr-core"]', '["ocr-core"]\nconfig = "../x.yaml"', 5, "config: not allowed here"),
    ],
)
def test_each_fault_is_told_with_its_line(old: str, new: str, line: int, words: str) -> None:
    (fault,) = faults(GOOD.replace(old, new, 1))
    assert fault.startswith(f"OCR/pipeline.toml:{line}: ")
    assert words in fault


def test_all_faults_are_told_at_once_in_order() -> None:
    text = GOOD.replace('"0.5.0"', "5").replace('"/ocr"', "true").replace("media", "medium")
    lines = [fault.split(":")[1] for fault in faults(text)]
    assert lines == ["2", "9", "11"]


def test_operations_may_not_share_names() -> None:
    twice = GOOD + GOOD[GOOD.index("[[operations]]") :]
    assert [fault.rsplit(": ", 1)[1] for fault in faults(twice)] == [
        'is used twice (got "infer")',
        'is used twice (got "ocr")',
        'is used twice (got "/ocr")',
    ]


def test_an_operation_may_not_take_the_name_of_the_engine() -> None:
    second = GOOD[GOOD.index("[[operations]]") :].replace("infer", "chat").replace("/ocr", "/chat")
    (fault,) = faults(GOOD + second.replace('"ocr"', '"ocr-pipeline"'))
    assert "is the name of the engine" in fault


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "[[operations]]\n" * 3,
        "operations = 1",
        "name = '''",
        "a." * 5000 + "b = 1",
        "a = " + "[" * 5000,
        "\0",
        "name = 1\nname = 2",
        "operations = [[1]]",
    ],
    ids=range(10),
)
def test_nonsense_is_explained(text: str) -> None:
    assert faults(text)


@given(st.text(max_size=200))
def test_any_text_is_a_pipeline_or_an_error(text: str) -> None:
    for whole in (text, GOOD + text):
        try:
            assert isinstance(parse(whole, "OCR/pipeline.toml", "OCR"), Pipeline)
        except ConfigError as error:
            assert error.details  # noqa: PT017


def test_pipelines_against_each_other() -> None:
    ocr = parse(GOOD, "a", "OCR")
    lower = parse(GOOD.replace('"OCR"', '"ocr"'), "b", "ocr")
    stray = parse(GOOD.replace('"OCR"', '"X"').replace("[[op", 'app = "OCX"\n[[op'), "c", "X")
    assert contradictions([ocr, lower]) == ("ocr and OCR differ only by case",)
    (fault,) = contradictions([ocr, stray])
    assert fault.startswith("X: app: 'OCX' is no pipeline with an application")


def test_faults_of_all_files_are_told_together(tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        (tmp_path / "sdk/pipelines" / name).mkdir(parents=True)
    (tmp_path / "sdk/pipelines/A/pipeline.toml").write_bytes(b"name = 1")
    (tmp_path / "sdk/pipelines/B/pipeline.toml").write_bytes(b"\xff")
    (tmp_path / "sdk/pipelines/.git").mkdir()
    with pytest.raises(ConfigError) as caught:
        read_catalogue(tmp_path)
    text = "\n".join(caught.value.details)
    assert "A/pipeline.toml:1: name: wrong type" in text
    assert "byte 0xff" in text
    assert "there is no" in text


def test_no_catalogue_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no catalogue"):
        read_catalogue(tmp_path)
    (tmp_path / "sdk/pipelines").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is empty"):
        read_catalogue(tmp_path)


def test_choosing() -> None:
    assert [one.name for one in chosen(CATALOGUE, ["ts_forecast", "OCR", "OCR"], every=False)] == [
        "OCR",
        "ts_forecast",
    ]
    assert len(chosen(CATALOGUE, [], every=True)) == 37


def test_choosing_what_is_not_there() -> None:
    with pytest.raises(UsageError, match="contradict each other"):
        chosen(CATALOGUE, ["OCR"], every=True)
    with pytest.raises(UsageError) as nothing:
        chosen(CATALOGUE, [], every=False)
    assert set(" ".join(nothing.value.details).split()) == set(CATALOGUE)
    with pytest.raises(UsageError) as wrong:
        chosen(CATALOGUE, ["ocr", "paddlex_hps_ts_forecast_sdk", "zzz"], every=False)
    assert wrong.value.details == (
        'ocr: did you mean "OCR"?',
        'paddlex_hps_ts_forecast_sdk: did you mean "ts_forecast"?',
        "zzz: nothing is called like it",
    )
