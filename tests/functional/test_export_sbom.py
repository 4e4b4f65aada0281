"""`hps export sbom` as a whole."""

import json
from pathlib import Path

from tests.build.laboratory import Laboratory
from tests.build.test_sbom import check_valid


def test_to_stdout_and_to_a_file_without_a_network(lab: Laboratory, tmp_path: Path) -> None:
    told = lab.run("export", "sbom", "--offline").out
    file = tmp_path / "bill.json"
    assert lab.run("export", "sbom", "cpu", "--offline", "-o", str(file)).out == ""
    assert file.read_text() == told
    check_valid(json.loads(told))
    assert json.loads(told)["metadata"]["component"]["name"] == "lab:cpu"


def test_the_image_need_not_be_built(lab: Laboratory, tmp_path: Path) -> None:
    told = lab.run("export", "sbom").out
    made = lab.run("export", "sbom", "--store", str(tmp_path / "empty"))
    assert made.out == told
    fetched = {path.name for path in (tmp_path / "empty" / "blobs" / "sha256").iterdir()}
    assert not fetched & {one.sha256 for one in (*lab.target.archives, *lab.target.files)}


def test_a_damaged_wheel_is_noticed(lab: Laboratory) -> None:
    lab.damage(lab.target.wheels[0].digest)
    lab.run("export", "sbom", "--offline", code=4)
    assert lab.run("export", "sbom").out  # fetched again


def test_what_cannot_be_asked(lab: Laboratory) -> None:
    assert "hps.toml has no target gpu" in lab.run("export", "sbom", "gpu", code=2).err
    lab.edit('packages = ["dash"]', 'packages = ["bash"]')
    assert "lock-stale" in lab.run("export", "sbom", code=3).err
    lab.lock_path.unlink()
    lab.run("export", "sbom", code=3)
