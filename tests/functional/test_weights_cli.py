"""Weights and pipelines as a process: locked file by file, built, told about, shown when run."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from hps.build.weights_tree import tree_name
from hps.lock import text
from hps.lock.records import LockedWeights
from hps.sdk.assemble import assemble
from hps.sdk.package import Ingredients
from tests.build.laboratory import Laboratory, wheel
from tests.build.models import (
    DETECTOR,
    OCR,
    RECOGNISER,
    link,
    model,
    official,
    tar,
    write_model,
)
from tests.faults.disks import mounted
from tests.sdk.project import CATALOGUE

pytestmark = pytest.mark.network

ARCHIVE = f"{DETECTOR}_infer.tar"
FOLDER = "/opt/hps/weights"
TABLES = f"""
[weights.{DETECTOR}]
path = "{ARCHIVE}"
licence = "Apache-2.0"

[weights.ours]
directory = "models/rec"
licence = "of the house"

[pipelines.OCR]
weights = ["{DETECTOR}", "ours"]
"""


@pytest.fixture
def ocr(lab: Laboratory) -> Laboratory:
    """The laboratory with PaddleX's configurations, two models and a pipeline; not locked yet."""
    lab.add_wheel("paddlex", "3.7.2", {"paddlex/configs/pipelines/OCR.yaml": OCR.encode()})
    (lab.folder / "app.in").write_text((lab.folder / "app.in").read_text() + "paddlex\n")
    (lab.folder / ARCHIVE).write_bytes(official(DETECTOR))
    write_model(lab.folder / "models" / "rec", RECOGNISER, seed=1)
    lab.config.write_text(lab.config.read_text() + TABLES)
    return lab


def weights(lab: Laboratory, name: str) -> LockedWeights:
    (found,) = (one for one in lab.target.weights if one.name == name)
    return found


def package(folder: Path, configuration: str = OCR) -> Path:
    """What `hps assemble` makes."""
    made_of = Ingredients(
        paddlex="3.7.2",
        environments=(),
        epoch=0,
        start_script=b"#!/bin/sh\n",
        configs={"OCR.yaml": configuration.encode()},
    )
    return assemble(CATALOGUE["OCR"], made_of, folder, None).folder


def test_every_file_is_locked_and_mounted_weights_are_not_in_the_image(ocr: Laboratory) -> None:
    done = ocr.run("lock")
    assert "OCR has no weights for SubPipelines.DocPreprocessor.SubModules.DocUnwarping" in done.err
    target = ocr.target
    assert {file.name: file.size for file in target.weights_files} == {
        f"{name}/{path}": len(data)
        for name, files in ((DETECTOR, model(DETECTOR)), ("ours", model(RECOGNISER, 1)))
        for path, data in files.items()
    }
    detector, ours = weights(ocr, DETECTOR), weights(ocr, "ours")
    assert detector.archive
    assert (detector.root, detector.archive.file) == (f"{DETECTOR}_infer", ARCHIVE)
    assert (ours.model, ours.archive, ours.licence) == (RECOGNISER, None, "of the house")
    (pipeline,) = target.pipelines
    assert dict(pipeline.modules) == {
        "SubModules.TextDetection": DETECTOR,
        "SubModules.TextRecognition": "ours",
    }
    assert not [layer for layer in target.layers if layer.kind == "weights"]
    ocr.run("lock", "--check")
    assert ocr.run("lock").err.splitlines()[-1] == "hps.lock is unchanged"
    image = ocr.run("build", "--frozen", "--json")
    assert not [one for one in image.json[0]["layers"] if "weights" in one["name"]]


def test_a_layer_each_that_the_lock_predicts(ocr: Laboratory) -> None:
    ocr.edit('weights = ["', 'delivery = "layer"\nweights = ["')
    ocr.run("lock")
    locked = {layer.name: layer.diff_id for layer in ocr.target.layers if layer.kind == "weights"}
    assert list(locked) == [f"weights:{DETECTOR}", "weights:ours"]
    done = ocr.run("build", "--frozen", "--json").json[0]
    made = {one["name"]: one["diff_id"].removeprefix("sha256:") for one in done["layers"]}
    assert {name: made[name] for name in locked} == locked
    layer = ocr.layout / "blobs" / "sha256" / locked[f"weights:{DETECTOR}"]
    with tarfile.open(layer) as archive:
        files = {member.name: member for member in archive if member.isfile()}
    assert set(files) == {f"{FOLDER[1:]}/{DETECTOR}/{path}" for path in model(DETECTOR)}
    assert {(member.mode, member.uid) for member in files.values()} == {(0o644, 0)}
    why = ocr.run("why", f"{FOLDER}/{DETECTOR}/inference.json").out
    assert f"weights {DETECTOR} (model {DETECTOR}): {ARCHIVE}, sha256:" in why
    assert "for OCR, module SubModules.TextDetection" in why
    assert "a folder of this project" in ocr.run("why", f"{FOLDER}/ours/inference.yml").out
    target = 'python-version = "3.11"\n'
    ocr.edit(target, f'{target}delivery = "mount"\n')
    assert "targets.cpu.delivery.OCR: changed" in ocr.run("build", code=3).err
    ocr.run("lock")
    assert not [layer for layer in ocr.target.layers if layer.kind == "weights"]


def test_the_bill_names_weights_and_their_licences(ocr: Laboratory) -> None:
    ocr.run("lock")
    bill = ocr.run("export", "sbom").json
    found = {one["name"]: one for one in bill["components"]}
    detector, ours = found[DETECTOR], found["ours"]
    assert detector["type"] == "machine-learning-model"
    assert detector["licenses"][0]["expression"] == "Apache-2.0"
    assert ours["licenses"][0]["license"]["name"] == "of the house"
    assert [one["name"] for one in ours["components"]] == sorted(model(RECOGNISER))
    told = {one["name"]: one["value"] for one in detector["properties"]}
    assert (told["hps:path"], told["hps:delivery"]) == (f"{FOLDER}/{DETECTOR}", "mount")


def test_an_edited_file_of_a_folder_makes_the_lock_stale(ocr: Laboratory, tmp_path: Path) -> None:
    ocr.run("lock")
    ocr.run("build")
    before = tmp_path / "before.lock"
    shutil.copy(ocr.lock_path, before)
    parameters = ocr.folder / "models" / "rec" / "inference.pdiparams"
    parameters.write_bytes(b"other" * 1000)
    (parameters.parent / "notes.txt").write_text("new\n")
    for verb in (("build", "--frozen"), ("lock", "--check")):
        done = ocr.run(*verb, code=3)
        assert 'weights.ours.files."inference.pdiparams": changed since the lock' in done.err
        assert 'weights.ours.files."notes.txt": added since the lock' in done.err
    ocr.run("lock")
    changes = ocr.run("diff", str(before), str(ocr.lock_path), "--json").json["packages"]
    assert {(one["kind"], one["name"], one["change"]) for one in changes} == {
        ("weights", "ours/inference.pdiparams", "changed"),
        ("weights", "ours/notes.txt", "added"),
    }


def test_an_own_configuration_and_a_mapping(ocr: Laboratory) -> None:
    (ocr.folder / "my.yaml").write_text(OCR.replace(RECOGNISER, "another_rec"))
    wanted = f'weights = ["{DETECTOR}", "ours"]'
    ocr.edit(wanted, f'{wanted}\nconfig = "my.yaml"')
    done = ocr.run("lock", code=2)
    assert f"pipelines.OCR: no module has the model {RECOGNISER} of the weights ours" in done.err
    ocr.edit(wanted, f'weights = ["{DETECTOR}"]\nmodules = {{ TextRecognition = "ours" }}')
    ocr.run("lock")
    assert ("SubModules.TextRecognition", "ours") in ocr.target.pipelines[0].modules
    (ocr.folder / "my.yaml").write_text(OCR)
    assert 'pipelines.OCR.config."my.yaml": changed' in ocr.run("build", code=3).err


def test_an_archive_that_means_the_same_is_not_read_again(ocr: Laboratory) -> None:
    """Its place has no digest: what was locked stays until somebody asks for what is there now."""
    ocr.run("lock")
    before = weights(ocr, DETECTOR)
    (ocr.folder / ARCHIVE).write_bytes(official(DETECTOR, seed=7))
    ocr.edit('"Apache-2.0"', '"MIT"')
    ocr.run("lock")
    assert weights(ocr, DETECTOR) == before.model_copy(update={"licence": "MIT"})
    ocr.run("lock", "--upgrade")
    assert weights(ocr, DETECTOR).archive != before.archive


FAULTS = {
    "unknown weights": ('"ours"]', '"oars"]', "there is no [weights.oars]"),
    "unknown module": ('"ours"]', '"ours"]\nmodules = {Nose = "ours"}', "there is no module Nose"),
    "unknown pipeline": ("[pipelines.OCR]", "[pipelines.OCD]", "no pipeline of this name"),
    "two of one name": ("[weights.ours]", f"[weights.{DETECTOR}]", "not TOML"),
    "the same model twice": (
        'directory = "models/rec"',
        'directory = "models/rec"\nmodel = "x"',
        "its inference.yml names another model",
    ),
    "no such folder": ("models/rec", "models/nothing", "there is no folder"),
    "an archive and a folder": (
        'directory = "models/rec"',
        'directory = "models/rec"\nurl = "https://example.org/a.tar"',
        "belongs to an archive only",
    ),
    "nothing at all": ('directory = "models/rec"', "", "nothing says where an archive comes from"),
    "a way out": ("models/rec", "models/../../etc", "leads out of its folder"),
}


def test_a_fault_of_hps_toml_is_told(ocr: Laboratory) -> None:
    ocr.run("lock")  # what is resolved is kept, so that each fault is found soon
    good, lock = ocr.config.read_text(), ocr.lock_path.read_bytes()
    for old, new, told in FAULTS.values():
        ocr.edit(old, new)
        assert told in ocr.run("lock", code=2).err
        ocr.config.write_text(good)
    assert ocr.lock_path.read_bytes() == lock


BAD = {
    "truncated": (official(DETECTOR)[:3000], "damaged"),
    "a link": (tar(model(DETECTOR), "m", [link("m/a", "inference.yml")]), "holds a link"),
    "a way out": (tar(model(DETECTOR), "m", [link("m/a", "../../x")]), "leads out"),
    "half a model": (tar({"m/inference.json": b"{}"}), "half a model"),
    "a web page": (b"<html>" * 200, "is not an archive"),
}


def test_a_bad_archive_is_refused(ocr: Laboratory) -> None:
    ocr.run("lock")
    good, lock = ocr.config.read_text(), ocr.lock_path.read_bytes()
    for number, (data, told) in enumerate(BAD.values()):
        (ocr.folder / f"bad{number}.tar").write_bytes(data)
        ocr.edit(f'path = "{ARCHIVE}"', f'path = "bad{number}.tar"')
        assert told in ocr.run("lock", code=6).err
        ocr.config.write_text(good)
    ocr.edit(f'path = "{ARCHIVE}"', f'path = "{ARCHIVE}"\nsha256 = "{"0" * 64}"')
    assert "is not what was promised" in ocr.run("lock", code=5).err
    assert ocr.lock_path.read_bytes() == lock


def test_a_lock_whose_list_is_another_than_its_layer_is_refused(ocr: Laboratory) -> None:
    """Somebody edits the list of files and seals the lock again."""
    ocr.edit('weights = ["', 'delivery = "layer"\nweights = ["')
    ocr.run("lock")
    lock = ocr.lock
    (target,) = lock.targets
    files = [
        file.model_copy(update={"sha256": "0" * 64}) if file.weights == DETECTOR else file
        for file in target.weights_files
    ]
    forged = target.model_copy(update={"weights_files": tuple(files)})
    ocr.lock_path.write_bytes(text.write(lock.model_copy(update={"targets": (forged,)})))
    done = ocr.run("build", "--frozen", code=3)
    assert f"lists other files of the weights {DETECTOR}" in done.err


INSIDE = """
import json, os, pathlib
found = {}
for top in ("/app", "/opt/hps/weights"):
    for folder, _, files in os.walk(top):
        for file in files:
            path = pathlib.Path(folder) / file
            found[str(path)] = [path.stat().st_size, os.access(path, os.W_OK)]
print(json.dumps({"found": found, "config": open("/app/pipeline_config.yaml").read()}))
"""


@pytest.mark.parametrize(
    ("packed", "engine"),
    [(False, "bubblewrap"), (True, "bubblewrap"), (False, "docker")],
    ids=["folder", "tar.gz", "docker"],
)
def test_a_run_shows_the_weights_and_the_package(
    packed: bool,
    engine: str,
    ocr: Laboratory,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if engine == "docker":
        ocr.environment["DOCKER_HOST"] = request.getfixturevalue("docker_host")
    ocr.run("lock", before=("sh", "-c", 'umask 077; exec "$@"', "sh"))
    made = package(tmp_path)
    if packed:
        made = made.with_suffix(".tar.gz")
    done = shown(ocr, "--package", str(made), "--engine", engine)
    assert {path: facts for path, facts in done["found"].items() if path.startswith(FOLDER)} == {
        f"{FOLDER}/{file.name}": [file.size, False] for file in ocr.target.weights_files
    }
    assert f"model_dir: {FOLDER}/{DETECTOR}\n" in done["config"]
    assert f"model_name: {RECOGNISER}\n    model_dir: {FOLDER}/ours\n" in done["config"]
    assert "model_dir: null" in done["config"]  # nobody gave weights for DocUnwarping
    assert "/app/server.sh" in done["found"]


def shown(lab: Laboratory, *words: str) -> dict[str, dict[str, object]]:
    """What the image sees: its entrypoint is a program that looks around."""
    program = ("--entrypoint", "/usr/bin/python3.11 /srv/inside.py")
    (lab.folder / "server" / "inside.py").write_text(INSIDE)
    done = lab.run("run", "cpu", "--pipeline", "OCR", *words, *program)
    return dict(json.loads(done.out))


def test_changed_weights_in_the_store_are_made_again(ocr: Laboratory, tmp_path: Path) -> None:
    ocr.run("lock")
    made = ("--package", str(package(tmp_path)))
    before = shown(ocr, *made)
    tree = ocr.store / "trees" / tree_name(ocr.target.files_of(DETECTOR)).hex
    assert sorted(path.name for path in tree.iterdir()) == sorted(model(DETECTOR))
    parameters = tree / "inference.pdiparams"
    parameters.unlink()
    parameters.write_bytes(bytes(5000))
    (ocr.folder / ARCHIVE).unlink()  # the store has it
    assert shown(ocr, *made) == before
    assert parameters.read_bytes() == model(DETECTOR)["inference.pdiparams"]
    ocr.run("build")
    ocr.run("store", "collect")
    assert parameters.is_file()


def test_two_first_runs_at_once_show_the_same(ocr: Laboratory, tmp_path: Path) -> None:
    ocr.run("lock")
    ocr.run("build")
    (ocr.folder / "server" / "inside.py").write_text(INSIDE)
    made = package(tmp_path)
    words = ("run", "cpu", "--pipeline", "OCR", "--package", str(made))
    program = ("--entrypoint", "/usr/bin/python3.11 /srv/inside.py")
    started = [ocr.start(*words, *program) for _ in range(2)]
    first, second = (ocr.finish(process).json for process in started)
    assert first == second
    served = [path for path in (made / "server").rglob("*") if path.is_file()]
    assert len(first["found"]) == len(ocr.target.weights_files) + len(served)
    assert not list((ocr.store / "temporary").iterdir())


def test_what_cannot_be_served_is_told(ocr: Laboratory, tmp_path: Path) -> None:
    ocr.run("lock")
    run = ("run", "cpu", "--pipeline")
    assert "no pipeline OCD" in ocr.run(*run, "OCD", code=2).err
    assert "sdk/pipelines" in ocr.run(*run, "OCR", code=2).err  # it has no catalogue
    assert "is no package" in ocr.run(*run, "OCR", "--package", str(tmp_path), code=2).err
    other = package(tmp_path / "other", OCR.replace("TextDetection", "Other"))
    done = ocr.run(*run, "OCR", "--package", str(other), code=2)
    assert "no module SubModules.TextDetection" in done.err
    ocr.run("run", "cpu", "--package", str(other), code=2)


def test_a_package_is_checked_before_anything_starts(ocr: Laboratory, tmp_path: Path) -> None:
    ocr.run("lock")
    made = package(tmp_path)
    run = ("run", "cpu", "--pipeline", "OCR", "--package", str(made), *PROGRAM)
    model = made / "server/model_repo/ocr/1/model.py"
    data = model.read_bytes()
    model.write_bytes(data + b"#")
    done = ocr.run(*run, code=5)
    assert done.out == ""
    assert f"{made} is not what its manifest says: server/model_repo/ocr/1/model.py" in done.err
    model.write_bytes(data)
    assert ocr.run(*run).out == "started\n"
    ocr.environment["HPS_KEYS"] = str(tmp_path / "keys")
    ocr.run("key", "generate", "release", "--no-passphrase")
    policy = ocr.folder / "hps-policy.toml"
    policy.write_text(f'version = 1\n[keys.release]\npublic = "{tmp_path}/keys/release.pub"\n')
    done = ocr.run(*run, code=5)
    assert done.out == ""
    assert "policy does not trust the package" in done.err
    assert "unsigned: " in done.err
    ocr.run("sign", str(made / "manifest.json"), "--key", "release")
    assert ocr.run(*run).out == "started\n"
    policy.write_text("version = 2\n")
    assert "cannot be used" in ocr.run(*run, code=2).err
    policy.unlink()
    policy.symlink_to("nowhere")  # a policy that is lost is not no policy
    assert "hps-policy.toml cannot be read" in ocr.run(*run, code=2).err


PROGRAM = ("--entrypoint", "/usr/bin/python3.11 -c \"print('started')\"")


def test_weights_that_nothing_locks_are_told(ocr: Laboratory) -> None:
    told = "note: the weights spare are not locked: no pipeline of a target uses them; name them"
    assert "are not locked" not in ocr.run("lock").err
    ocr.config.write_text(f'{ocr.config.read_text()}\n[weights.spare]\ndirectory = "nowhere"\n')
    for words in (("lock",), ("lock", "--check"), ("lock", "--check", "--json")):
        (line,) = [each for each in ocr.run(*words).err.splitlines() if told in each]
        assert "`weights` of [pipelines.NAME]" in line
    assert ocr.run("lock", "--json").json["unused_weights"] == ["spare"]
    assert "spare" not in ocr.lock_path.read_text()


def test_a_full_disk_leaves_no_half_of_the_weights(ocr: Laboratory, tmp_path: Path) -> None:
    big = {**model(DETECTOR), "inference.pdiparams": os.urandom(6 << 20)}
    (ocr.folder / ARCHIVE).write_bytes(tar(big, "m"))
    ocr.run("lock")
    ocr.run("build")
    made = ("--package", str(package(tmp_path)))
    name = tree_name(ocr.target.files_of(DETECTOR)).hex
    with mounted(tmp_path / "small", "4m") as small:
        trees = ocr.store / "temporary"
        shutil.rmtree(trees)
        trees.symlink_to(small)
        done = ocr.run("run", "cpu", "--pipeline", "OCR", *made, code=6)
        assert "No space left" in done.err
        trees.unlink()
        trees.mkdir()
    assert not (ocr.store / "trees" / name).exists()
    assert shown(ocr, *made)["found"]


def test_a_project_with_a_catalogue_assembles_the_package_itself(ocr: Laboratory) -> None:
    catalogue = Path(__file__).resolve().parents[2] / "sdk"
    for part in ("pipelines/OCR", "common"):
        shutil.copytree(catalogue / part, ocr.folder / "sdk" / part)
    ocr.edit("[pipelines.OCR]", '[pipelines.OCR]\nconfig = "my.yaml"')
    (ocr.folder / "my.yaml").write_text(f"mine: true\n{OCR}")
    ocr.run("lock")
    done = shown(ocr)
    assert {"/app/server.sh", "/app/package.json"} < done["found"].keys()
    assert str(done["config"]).startswith("mine: true")
    assert f"model_dir: {FOLDER}/ours" in done["config"]


def test_another_wheel_than_paddlex_has_no_configuration(lab: Laboratory) -> None:
    file, data = wheel("unrelated")
    lab.index.add(file, data)
    (lab.folder / ARCHIVE).write_bytes(official(DETECTOR))
    lab.config.write_text(
        f'{lab.config.read_text()}\n[weights.det]\npath = "{ARCHIVE}"\n'
        '[pipelines.OCR]\nweights = ["det"]\n'
    )
    assert "has no PaddleX" in lab.run("lock", code=2).err
