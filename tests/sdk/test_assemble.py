"""`hps assemble`: what comes out, the same every time, whole or not at all."""

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from hps.cli.main import run
from hps.lock.environment import environment_digest
from hps.sdk.archive import gzip as packed
from hps_server.package import read_package
from hps_server.pbtxt import messages, parse, scalar, scalars
from tests.build.laboratory import wheel as honest_wheel
from tests.sdk.project import CATALOGUE, EPOCH, ROOT, Place, layer, make_project, paddlex

OCR = "paddlex_hps_OCR_sdk"
WHEEL = "hps_client-2.3.4-py3-none-any.whl"


def told(capsys: pytest.CaptureFixture[str], code: int, got: int) -> str:
    """What was said on stderr by a command that ended as expected."""
    said = capsys.readouterr()
    assert got == code, said.err
    return said.err


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything that two runs could make different."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_members_of_a_package(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, 0, run(place.words("OCR")))
    folder = place.output / OCR
    assert files(folder) == [
        "client/client.py",
        f"client/{WHEEL}",
        "client/requirements.txt",
        "manifest.json",
        "server/model_repo/ocr/1/model.py",
        "server/model_repo/ocr/config_cpu.pbtxt",
        "server/model_repo/ocr/config_gpu.pbtxt",
        "server/package.json",
        "server/pipeline_config.yaml",
        "server/server.sh",
        "version.txt",
    ]
    assert (folder / "version.txt").read_text() == f"{CATALOGUE['OCR'].sdk_version}\n"
    assert (folder / "server/pipeline_config.yaml").read_text() == "pipeline_name: OCR\n"
    assert said.count("not signed") == 1
    assert "OCR: 11 files" in said


def test_the_manifest_lists_every_member(place: Place) -> None:
    assert run(place.words("OCR")) == 0
    folder = place.output / OCR
    listed = manifest(folder)
    assert [one["path"] for one in listed["members"]] == [
        name for name in files(folder) if name != "manifest.json"
    ]
    for one in listed["members"]:
        path = folder / one["path"]
        assert one["sha256"] == digest(path)
        assert one["size"] == path.stat().st_size
        assert one["mode"] == f"{stat.S_IMODE(path.stat().st_mode):04o}"
    environment = str(environment_digest([layer("debian"), layer("python")]))
    assert listed["environments"] == [{"target": "cpu", "device": "cpu", "digest": environment}]
    assert (listed["paddlex"], listed["format"]) == ("3.7.2", 1)


def test_the_archive_holds_the_same(place: Place, tmp_path: Path) -> None:
    assert run(place.words("OCR")) == 0
    archive = place.output / f"{OCR}.tar.gz"
    data = archive.read_bytes()
    assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name, no time, no system
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        packed.extractall(tmp_path / "unpacked", filter="data")
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {
        (EPOCH, 0, 0, "", "")
    }
    assert [one.name for one in members] == sorted(one.name for one in members)
    unpacked = state(tmp_path / "unpacked" / OCR)
    assert unpacked == state(place.output / OCR)
    assert subprocess.run(["gzip", "-t", archive], check=False).returncode == 0


def test_what_the_server_reads(place: Place) -> None:
    assert run(place.words("OCR", "PP-ShiTuV2", "anomaly_detection")) == 0
    package = read_package(place.output / OCR / "server/package.json")
    assert package.name == OCR
    assert package.environments == (str(environment_digest([layer("debian"), layer("python")])),)
    assert package.operation("infer").batch == 8
    assert package.operation("infer").files == ("file",)
    trap = read_package(place.output / "paddlex_hps_anomaly_detection_sdk/server/package.json")
    assert trap.operation("infer").model == "anomaly-detection"
    assert trap.operation("infer").endpoint == "/image-anomaly-detection"


def parameters(config: Any) -> dict[str, str]:
    return {
        str(scalar(one, "key")): str(scalar(messages(one, "value")[0], "string_value"))
        for one in messages(config, "parameters")
    }


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_configuration_of_one_model(place: Place, device: str) -> None:
    assert run(place.words("OCR")) == 0
    path = place.output / OCR / f"server/model_repo/ocr/config_{device}.pbtxt"
    config = parse(path.read_text())
    assert (scalar(config, "name"), scalar(config, "backend")) == ("ocr", "python")
    assert scalar(config, "max_batch_size") == "8"
    (group,) = messages(config, "instance_group")
    assert scalar(group, "kind") == f"KIND_{device.upper()}"
    assert scalars(group, "gpus") == (["0"] if device == "gpu" else [])
    for side in ("input", "output"):
        (tensor,) = messages(config, side)
        assert scalar(tensor, "name") == side
        assert scalar(tensor, "data_type") == "TYPE_STRING"
        assert scalars(tensor, "dims") == ["1"]
    assert parameters(config) == {"operation": "infer"}


def test_several_operations_are_doors_to_one_engine(place: Place) -> None:
    assert run(place.words("PP-ShiTuV2")) == 0
    repository = place.output / "paddlex_hps_PP-ShiTuV2_sdk/server/model_repo"
    models = sorted(one.name for one in repository.iterdir())
    doors = ["shitu-index-add", "shitu-index-build", "shitu-index-remove", "shitu-infer"]
    assert models == ["pp-shituv2-pipeline", *doors]
    configs = {one: parse((repository / one / "config_gpu.pbtxt").read_text()) for one in models}
    assert parameters(configs["pp-shituv2-pipeline"]) == {
        "operations": "buildIndex,addImagesToIndex,removeImagesFromIndex,infer"
    }
    assert parameters(configs["shitu-index-build"]) == {
        "engine": "pp-shituv2-pipeline",
        "operation": "buildIndex",
    }
    kinds = {one: scalar(messages(configs[one], "instance_group")[0], "kind") for one in models}
    assert kinds == {"pp-shituv2-pipeline": "KIND_GPU"} | dict.fromkeys(doors, "KIND_CPU")
    assert len({(repository / one / "1/model.py").read_bytes() for one in models}) == 1


def test_names_with_dots_keep_them(place: Place) -> None:
    assert run(place.words("PaddleOCR-VL-1.5", "PaddleOCR-VL-1.6")) == 0
    assert sorted(one.name for one in place.output.iterdir()) == [
        "paddlex_hps_PaddleOCR-VL-1.5_sdk",
        "paddlex_hps_PaddleOCR-VL-1.5_sdk.tar.gz",
        "paddlex_hps_PaddleOCR-VL-1.6_sdk",
        "paddlex_hps_PaddleOCR-VL-1.6_sdk.tar.gz",
    ]
    config = place.output / "paddlex_hps_PaddleOCR-VL-1.6_sdk/server/pipeline_config.yaml"
    assert config.read_text() == "pipeline_name: PaddleOCR-VL-1.6\n"


def test_all_of_them(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*place.words("--all"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["pipeline"] for one in report] == list(CATALOGUE)
    for one in report:
        assert digest(Path(one["archive"])) == one["digest"].removeprefix("sha256:")
        assert one["manifest"] == f"sha256:{digest(Path(one['folder']) / 'manifest.json')}"
        assert one["signed_by"] is None
    assert len(list(place.output.iterdir())) == 2 * len(CATALOGUE)


@pytest.mark.parametrize(
    ("option", "parts"),
    [("--no-server", ["client"]), ("--no-client", ["server"])],
)
def test_one_part_only(place: Place, option: str, parts: list[str]) -> None:
    assert run(place.words("OCR", option)) == 0
    folder = place.output / OCR
    assert sorted(one.name for one in folder.iterdir() if one.is_dir()) == parts
    assert {one["path"].split("/")[0] for one in manifest(folder)["members"]} == {
        *parts,
        "version.txt",
    }


def test_the_client_part_needs_no_wheel_of_paddlex(place: Place) -> None:
    shutil.rmtree(place.store)
    assert run(place.words("OCR", "--no-server")) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all", "OCR"), "contradict each other"),
        ((), "no pipeline was named"),
        (("OCX",), 'OCX: did you mean "OCR"?'),
        (("OCR", "--no-server", "--no-client"), "leave nothing"),
        (("OCR", "--unsigned", "--key", "release"), "contradict each other"),
        (("../OCR",), "the catalogue has no pipeline"),
    ],
)
def test_what_cannot_be_asked(
    place: Place, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert said in told(capsys, 2, run(place.words(*words)))
    assert not place.output.exists()


RUN = """
import os, sys
os.umask(int(sys.argv[1], 8))
from hps.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


def test_two_folders_two_umasks_two_hash_seeds(tmp_path: Path) -> None:
    found = []
    for number, umask in (("1", "022"), ("2", "077")):
        place = make_project(tmp_path / number / "project", tmp_path / number / "store")
        # Other modes and times, and what Python leaves behind: none of it is in a package.
        for path in (place.root / "sdk").rglob("*"):
            path.chmod(0o700 if number == "2" else 0o755)
            os.utime(path, (int(number), int(number)))
        place.write("sdk/hps_client/hps_client/__pycache__/cli.cpython-311.pyc", number)
        subprocess.run(
            [sys.executable, "-c", RUN, umask, *place.words("OCR", "PP-ChatOCRv4-doc")],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": number, "TZ": f"UTC{number}"},
        )
        found.append(state(place.output))
    archives = [{name: it[2] for name, it in one.items() if name.endswith(".gz")} for one in found]
    assert archives[0] == archives[1]
    assert found[0].keys() == found[1].keys()
    assert {name for name in found[0] if found[0][name] != found[1][name]} == set()


def test_a_second_run_changes_nothing_and_leaves_nothing_over(place: Place) -> None:
    assert run(place.words("OCR")) == 0
    first = state(place.output)
    (place.output / OCR / "server/stale.whl").write_bytes(b"")
    (place.output / f"{OCR}.tar.gz.sigstore.json").write_bytes(b"of an older archive")
    left = place.output / f".{OCR}.0123456789abcdef.partial"
    left.mkdir()
    time.sleep(0.01)
    assert run(place.words("OCR")) == 0
    assert state(place.output) == first


def test_another_folder(place: Place, tmp_path: Path) -> None:
    assert run([*place.words("OCR"), "-o", str(tmp_path / "a" / "b")]) == 0
    assert (tmp_path / "a" / "b" / OCR / "version.txt").is_file()
    assert not place.output.exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_no_package_is_not_replaced(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter").write_text("mine")
    place.output.mkdir()
    if kind == "folder":
        shutil.copytree(tmp_path / "precious", place.output / OCR)
    elif kind == "file":
        (place.output / OCR).write_text("mine")
    else:
        (place.output / OCR).symlink_to(tmp_path / "precious")
    assert "is not a package" in told(capsys, 2, run(place.words("OCR")))
    assert (tmp_path / "precious" / "letter").read_text() == "mine"
    assert [one.name for one in place.output.iterdir()] == [OCR]


def test_an_empty_folder_is_taken(place: Place) -> None:
    (place.output / OCR).mkdir(parents=True)
    assert run(place.words("OCR")) == 0
    assert (place.output / OCR / "manifest.json").is_file()


@pytest.mark.parametrize(
    "fault",
    [
        ("sdk/pipelines/OCR/pipeline.toml", "name = 1", 2, "name: wrong type"),
        ("sdk/pipelines/OCR/pipeline.toml", None, 2, "there is no"),
        ("sdk/common/server.sh", None, 2, "it starts the server"),
        ("sdk/common/server.sh", "#!/bin/bash\r\n", 2, "no script that Linux can start"),
        ("sdk/common/server.sh", b"#!\xff", 2, "is not UTF-8"),
        ("sdk/hps_client/pyproject.toml", None, 2, "it describes the client"),
        ("sdk/hps_client/pyproject.toml", "[project]", 2, "no wheel can be made"),
        ("LICENSE", None, 2, "carries its licence"),
        ("hps.lock", None, 3, "there is no hps.lock"),
        ("app.in", "paddlex>3\n", 3, "hps.lock is stale"),
    ],
)
def test_faults_of_the_project(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    fault: tuple[str, str | bytes | None, int, str],
) -> None:
    path, data, code, said = fault
    if data is None:
        (place.root / path).unlink()
    else:
        place.write(path, data)
    assert said in told(capsys, code, run(place.words("OCR")))
    assert not place.output.exists()


def test_a_client_that_links_elsewhere(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.root / "sdk/hps_client/hps_client/out.py").symlink_to("/etc/passwd")
    told(capsys, 6, run(place.words("OCR")))
    assert not place.output.exists()


def test_the_configuration_is_that_of_the_locked_wheel(place: Place) -> None:
    """The repository has no copy of it that could be an older one."""
    text = b"pipeline_name: OCR\nwhat: another release changed\n"
    files = {"paddlex/configs/pipelines/OCR.yaml": text}
    place.lock(wheels=dict([honest_wheel("paddlex", "3.7.3", files)]))
    assert run(place.words("OCR")) == 0
    assert (place.output / OCR / "server/pipeline_config.yaml").read_bytes() == text
    kept = {path.name for path in (ROOT / "sdk" / "pipelines").rglob("*") if path.is_file()}
    assert kept == {"pipeline.toml"}


def test_a_wheel_without_the_configuration(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.lock(wheels=dict([paddlex(without="OCR")]))
    said = told(capsys, 2, run(place.words("OCR", "ts_forecast")))
    assert "has no paddlex/configs/pipelines/OCR.yaml" in said
    assert run(place.words("ts_forecast")) == 0


def test_two_versions_of_paddlex(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.lock(wheels=dict([paddlex("3.7.1"), paddlex("3.7.2")]))
    said = told(capsys, 3, run(place.words("OCR")))
    assert "paddlex-3.7.1-py3-none-any.whl, paddlex-3.7.2-py3-none-any.whl" in said


def test_the_wheel_is_not_there_or_not_right(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = place.store / "blobs" / "sha256"
    (path,) = (one for one in wheel.rglob("*") if one.is_file())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "error[" in told(capsys, 5, run(place.words("OCR")))
    shutil.rmtree(place.store)
    assert "error[offline-missing]" in told(capsys, 4, run(place.words("OCR")))
    assert not place.output.exists()


def test_the_environment_is_that_of_the_lock(place: Place) -> None:
    assert run(place.words("OCR")) == 0
    first = manifest(place.output / OCR)["environments"]
    place.lock(layers=("debian", "python", "more"))
    assert run(place.words("OCR")) == 0
    assert manifest(place.output / OCR)["environments"] != first


def test_a_full_disk_leaves_the_old_package(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place.words("OCR")) == 0
    before = state(place.output)
    place.write("sdk/hps_client/hps_client/large.bin", bytes(1 << 20))
    limited = subprocess.run(
        ["prlimit", "--fsize=500000", sys.executable, "-m", "hps", *place.words("OCR")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert limited.returncode == 6, limited.stderr
    assert "cannot be written" in limited.stderr
    assert state(place.output) == before
    capsys.readouterr()


def test_gzip_of_anything_is_read_by_others() -> None:
    for size in (0, 1, 0xFFFF, 0x10000, 3 * 0xFFFF):
        data = os.urandom(size)
        assert gzip.GzipFile(fileobj=io.BytesIO(packed(data))).read() == data
