"""Which model repositories are refused, and why: each trap of Triton is one line here."""

import pytest

from hps_server.repository import Entry, Kind, Listing, Verdict, inspect, numpy_faults

PYTHON = 'backend: "python"'
BACKENDS = ("python",)


def listing(files: dict[str, str], others: dict[str, Entry] | None = None) -> Listing:
    """A repository of files by path, `MODEL/VERSION/` for an empty folder, and other entries."""
    entries: dict[str, Entry] = {}
    for path, content in files.items():
        parts = path.rstrip("/").split("/")
        for depth in range(1, len(parts)):
            entries["/".join(parts[:depth])] = Entry(Kind.DIRECTORY)
        is_folder = path.endswith("/")
        entries[path.rstrip("/")] = (
            Entry(Kind.DIRECTORY) if is_folder else Entry(Kind.FILE, size=len(content))
        )
    configs = {
        path.split("/")[0]: content
        for path, content in files.items()
        if path.endswith("/config.pbtxt")
    }
    return Listing({**entries, **(others or {})}, configs)


def judge(files: dict[str, str], others: dict[str, Entry] | None = None) -> Verdict:
    return inspect(listing(files, others), BACKENDS)


SOUND = {"m/config.pbtxt": PYTHON, "m/1/model.py": "x"}


ENSEMBLE = """
platform: "ensemble"
ensemble_scheduling { step [ { model_name: "m" model_version: -1 } ] }
"""


@pytest.mark.parametrize(
    ("files", "models"),
    [
        (SOUND, ["m"]),
        ({"m/config.pbtxt": f'name: "m" {PYTHON}', "m/1/model.py": "x"}, ["m"]),
        # Triton completes what is missing from the name of the model file.
        ({"m/1/model.py": "x"}, ["m"]),
        ({"m/config.pbtxt": "max_batch_size: 4", "m/1/model.py": "x"}, ["m"]),
        # What Triton ignores, and places for staging.
        ({**SOUND, "README.md": "x", ".staging/half/1/": "", "lost+found/": ""}, ["m"]),
        ({**SOUND, "m/0/": "", "m/01/": "", "m/notes/": "", "m/labels.txt": ""}, ["m"]),
        # Only the newest version is loaded, by number, unless version_policy says otherwise.
        ({"m/config.pbtxt": PYTHON, "m/9/": "", "m/10/model.py": "x"}, ["m"]),
        (
            {
                "m/config.pbtxt": PYTHON + " version_policy { specific { versions: 1 } }",
                "m/1/model.py": "x",
                "m/2/": "",
            },
            ["m"],
        ),
        (
            {
                "m/config.pbtxt": PYTHON + ' default_model_filename: "serve.py"',
                "m/1/serve.py": "x",
            },
            ["m"],
        ),
        # A backend that the model brings itself decides alone what it needs.
        ({"m/config.pbtxt": 'backend: "mine"', "m/libtriton_mine.so": "x", "m/1/": ""}, ["m"]),
        ({**SOUND, "e/config.pbtxt": ENSEMBLE, "e/1/": ""}, ["e", "m"]),
    ],
)
def test_sound_repositories(files: dict[str, str], models: list[str]) -> None:
    verdict = judge(files)
    assert [str(fault) for fault in verdict.faults] == []
    assert list(verdict.models) == models


@pytest.mark.parametrize(
    ("files", "path", "problem"),
    [
        ({}, ".", "the repository holds no model"),
        ({"README.md": "x"}, ".", "the repository holds no model"),
        ({"1/model.py": "x", "config.pbtxt": PYTHON}, "1", "names no backend"),
        ({"m/config.pbtxt": PYTHON}, "m", "has no version directory"),
        ({"m/config.pbtxt": PYTHON, "m/model.py": "x"}, "m", "has no version directory"),
        ({"m/config.pbtxt": PYTHON, "m/v1/model.py": "x"}, "m", "has no version directory"),
        ({"m/config.pbtxt": PYTHON, "m/01/model.py": "x"}, "m", "has no version directory"),
        ({"m/config.pbtxt": PYTHON, "m/1": "x"}, "m", "has no version directory"),
        ({"m/config.pbtxt": PYTHON, "m/1/": ""}, "m/1", "wait for it for ever"),
        ({"m/config.pbtxt": PYTHON, "m/1/": ""}, "m/1", "the directory holds nothing"),
        ({"m/config.pbtxt": PYTHON, "m/1/Model.py": "x"}, "m/1", "holds Model.py"),
        ({"m/config.pbtxt": PYTHON, "m/1/model.py": ""}, "m/1/model.py", "is empty"),
        ({**SOUND, "m/2/": ""}, "m/2", "model.py is missing"),
        ({"m/1/": ""}, "m", "names no backend"),
        ({"m/config.pbtxt": "", "m/1/weights.bin": "x"}, "m/config.pbtxt", "names no backend"),
        (
            {"m/config.pbtxt": f'name: "n" {PYTHON}', "m/1/model.py": "x"},
            "m/config.pbtxt",
            "the name is 'n', the directory 'm'",
        ),
        (
            {"m/config.pbtxt": 'backend: "onnxruntime"', "m/1/model.onnx": "x"},
            "m/config.pbtxt",
            "no backend 'onnxruntime'",
        ),
        ({"m/1/model.onnx": "x"}, "m/config.pbtxt", "no backend 'onnxruntime'"),
        (
            {"m/config.pbtxt": 'platform: "onnxruntime_onnx"', "m/1/": ""},
            "m/1",
            "model.onnx is missing",
        ),
        (
            {"m/config.pbtxt": f"{PYTHON} input [", "m/1/model.py": "x"},
            "m/config.pbtxt",
            "line 1: expected a value",
        ),
        (
            {
                "m/config.pbtxt": f"{PYTHON} default_model_filename: 'serve.py'",
                "m/1/model.py": "x",
            },
            "m/1",
            "serve.py is missing",
        ),
        (
            {
                "m/config.pbtxt": PYTHON + " version_policy { specific { versions: [ 1, 7 ] } }",
                "m/1/model.py": "x",
            },
            "m/7",
            "version_policy asks for it",
        ),
        (
            {
                "m/config.pbtxt": PYTHON + " version_policy { all { } }",
                "m/1/": "",
                "m/2/model.py": "x",
            },
            "m/1",
            "model.py is missing",
        ),
        (
            {
                "m/config.pbtxt": PYTHON + " version_policy { latest { num_versions: 2 } }",
                "m/1/": "",
                "m/2/": "",
                "m/3/model.py": "x",
            },
            "m/2",
            "model.py is missing",
        ),
        ({"e/config.pbtxt": ENSEMBLE, "e/1/": ""}, "e/config.pbtxt", "needs model 'm'"),
    ],
)
def test_what_triton_cannot_load_is_refused(files: dict[str, str], path: str, problem: str) -> None:
    faults = judge(files).faults
    assert [fault.path for fault in faults if problem in fault.problem] == [path]


@pytest.mark.parametrize("kind", [Kind.OUTSIDE, Kind.LOOP, Kind.DANGLING, Kind.UNREADABLE])
@pytest.mark.parametrize("path", ["m", "m/config.pbtxt", "m/1", "m/1/model.py", "m/1/weights"])
def test_a_path_that_cannot_be_used_is_named(kind: Kind, path: str) -> None:
    (fault,) = judge(SOUND, {path: Entry(kind, target="/elsewhere")}).faults
    assert (fault.path, kind.value in fault.problem) == (path, True)
    assert "/elsewhere" in fault.problem


def test_the_stub_of_another_python_may_lie_outside() -> None:
    outside = {"m/triton_python_backend_stub": Entry(Kind.OUTSIDE, target="/opt/stubs/3.12")}
    assert judge(SOUND, outside).faults == ()


def test_all_faults_are_reported_at_once() -> None:
    faults = judge({"a/config.pbtxt": PYTHON, "b/config.pbtxt": "}", "c/1/": ""}).faults
    assert [fault.path for fault in faults] == ["a", "b/config.pbtxt", "c"]


def test_only_the_wanted_models_are_judged() -> None:
    files = {**SOUND, "broken/config.pbtxt": PYTHON}
    assert inspect(listing(files), BACKENDS, ["m"]) == Verdict(("m",), (), python=True)
    (fault,) = inspect(listing(files), BACKENDS, ["m", "absent"]).faults
    assert (fault.path, fault.problem) == ("absent", "no such model")
    assert "broken, m" in fault.hint


@pytest.mark.parametrize(
    ("numpy", "refused"), [("2.0.0", True), ("10.1", True), ("1.26.4", False), (None, False)]
)
def test_strings_need_numpy_below_2(numpy: str | None, refused: bool) -> None:
    tensors = 'input { name: "x" data_type: TYPE_STRING dims: 1 }'
    verdict = judge({**SOUND, "s/config.pbtxt": f"{PYTHON} {tensors}", "s/1/model.py": "x"})
    assert verdict.faults == ()
    assert [fault.path for fault in numpy_faults(verdict, numpy)] == ["s"] * refused
