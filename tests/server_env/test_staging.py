"""A package's model repository made ready, and the package left alone."""

import os
from pathlib import Path

import pytest

from hps_server.pbtxt import messages, parse, scalar
from hps_server.staging import Placement, StagingError, placed, stage
from tests.server_env.packages import SEVERAL, make_package


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_device_chooses_the_configuration(tmp_path: Path, device: str) -> None:
    package = make_package(tmp_path)
    before = snapshot(package)
    stage(package / "model_repo", tmp_path / "made", Placement(device))
    made = snapshot(tmp_path / "made")
    assert sorted(made) == ["ocr/1/model.py", "ocr/config.pbtxt"]
    assert made["ocr/config.pbtxt"] == before[f"model_repo/ocr/config_{device}.pbtxt"]
    assert snapshot(package) == before


def test_a_configuration_for_all_devices_is_used_as_it_is(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    (package / "model_repo" / "ocr" / "config.pbtxt").write_text('name: "ocr"')
    stage(package / "model_repo", tmp_path / "made", Placement("gpu"))
    assert (tmp_path / "made" / "ocr" / "config.pbtxt").read_text() == 'name: "ocr"'


def test_a_model_that_cannot_run_there(tmp_path: Path) -> None:
    package = make_package(tmp_path, gpu=False)
    with pytest.raises(StagingError, match=r"ocr cannot run .* gpu: .* \(there is: config_cpu"):
        stage(package / "model_repo", tmp_path / "made", Placement("gpu"))


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    os.mkfifo(package / "model_repo" / "ocr" / "1" / "pipe")
    with pytest.raises(StagingError, match="named pipe"):
        stage(package / "model_repo", tmp_path / "made", Placement())
    with pytest.raises(StagingError, match="No such file"):
        stage(tmp_path / "missing", tmp_path / "other", Placement())


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    (package / "model_repo" / "ocr" / "config_cpu.pbtxt").write_text("name {")
    with pytest.raises(StagingError, match=r"ocr/config.pbtxt: line 1"):
        stage(package / "model_repo", tmp_path / "made", Placement())


def groups(config: str) -> list[dict[str, object]]:
    return [
        {
            "count": scalar(each, "count"),
            "kind": scalar(each, "kind"),
            "gpus": each.get("gpus", []),
        }
        for each in messages(parse(config), "instance_group")
    ]


def test_instances_and_devices(tmp_path: Path) -> None:
    package = make_package(tmp_path, SEVERAL, pipeline="PP-ShiTuV2")
    stage(package / "model_repo", tmp_path / "made", Placement("gpu", (1, 3), 2))
    made = {path.parent.name: path.read_text() for path in (tmp_path / "made").glob("*/*.pbtxt")}
    wanted = [{"count": "2", "kind": "KIND_GPU", "gpus": ["1", "3"]}]
    assert groups(made["pp-shituv2-pipeline"]) == wanted
    # What only hands requests on keeps what the package says.
    assert groups(made["shitu-infer"]) == [{"count": "1", "kind": "KIND_GPU", "gpus": ["0"]}]
    assert scalar(parse(made["pp-shituv2-pipeline"]), "name") == "pp-shituv2-pipeline"


@pytest.mark.parametrize(
    ("config", "placement", "wanted"),
    [
        ("instance_group { kind: KIND_CPU count: 3 }", Placement(gpus=(1,)), ("3", "KIND_CPU", [])),
        ("instance_group { kind: KIND_CPU }", Placement(instances=4), ("4", "KIND_CPU", [])),
        ("", Placement(instances=4), ("4", "KIND_CPU", [])),
        (
            "instance_group [ { kind: KIND_GPU gpus: [ 0, 2 ] } ]",
            Placement(instances=4),
            ("4", "KIND_GPU", ["0", "2"]),
        ),
        ("instance_group { kind: KIND_GPU }", Placement(gpus=(7,)), ("1", "KIND_GPU", ["7"])),
    ],
)
def test_placed(config: str, placement: Placement, wanted: tuple[str, str, list[str]]) -> None:
    made = placed(f'name: "m" # instance_group\n{config}\nmax_batch_size: 8\n', placement)
    assert [tuple(each.values()) for each in groups(made)] == [wanted]
    assert scalar(parse(made), "max_batch_size") == "8"
