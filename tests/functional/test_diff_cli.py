"""`hps diff`: two locks compared."""

import json
import re
from pathlib import Path

import pytest

from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


def test_a_package_that_moved(lab: Laboratory, tmp_path: Path) -> None:
    old = tmp_path / "old.lock"
    old.write_bytes(lab.lock_path.read_bytes())
    same = lab.run("diff", str(old), str(lab.lock_path))
    assert re.fullmatch(r"0 B of \d+\.\d MB have to move \(0\.0 %\)\n", same.out)
    lab.add_wheel("base", "1.5", {"base_data/new.txt": b"new\n"})
    lab.edit("app\n", "app\nextra\n", lab.folder / "app.in")
    lab.add_wheel("extra")
    lab.run("lock", "--upgrade-package", "base")
    lines = lab.run("diff", str(old), str(lab.lock_path)).out.splitlines()
    assert lines[:2] == ["~ cpu python base 1.0 -> 1.5", "+ cpu python extra 1.0"]
    assert any(line.startswith("  cpu layer python: ") for line in lines)
    assert "have to move (0." in lines[-1]
    told = lab.run("diff", str(old), str(lab.lock_path), "--json").json
    assert [one["change"] for one in told["packages"]] == ["changed", "added"]
    assert 0 < told["moved"] < told["total"]
    layers = {layer.diff_id: layer.size for layer in lab.target.layers}
    assert told["total"] == sum(layers.values())
    assert told["moved"] == sum(layers[layer["new"]] for layer in told["layers"])


def test_what_is_no_lock(lab: Laboratory, tmp_path: Path) -> None:
    (other := tmp_path / "other").write_text("not a lock [")
    done = lab.run("diff", str(other), str(lab.lock_path), code=3)
    assert f"{other} is not valid TOML" in done.err
    assert lab.run("diff", str(tmp_path / "absent"), str(other), code=2).out == ""
    told = lab.run("--json", "diff", str(other), str(other), code=3)
    assert json.loads(told.out)["error"] == "lock-invalid"
