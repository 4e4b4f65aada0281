"""`hps store export` and `hps store import`: a project carried to a machine without a network."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hps.store.blobs import Store
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network

NO_NETWORK = ("unshare", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def elsewhere(lab: Laboratory, folder: Path) -> Laboratory:
    """The same project on a machine that has nothing of it but hps.toml, hps.lock and its files."""
    project = folder / "elsewhere"
    shutil.copytree(lab.folder, project, ignore=shutil.ignore_patterns(".hps"))
    environment = {
        name: value
        for name, value in lab.environment.items()
        if not name.startswith(("HPS_INDEX", "HPS_DEBIAN", "UV_"))
    }
    environment |= {"HPS_STORE": str(folder / "their-store"), "HOME": str(folder / "their-home")}
    return Laboratory(project, folder / "their-store", lab.index, environment)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "cpu.tar"])
def test_an_image_is_built_without_a_network_from_what_was_carried(
    lab: Laboratory, tmp_path: Path, place: str
) -> None:
    disk = tmp_path / place
    done = lab.run("store", "export", "cpu", str(disk))
    assert done.out.startswith(f"{disk}: ")
    other = elsewhere(lab, tmp_path)
    missing = other.run("build", "--frozen", "--offline", code=4)
    assert "error[offline-missing]" in missing.err
    got = other.run("store", "import", str(disk), "--json").json
    assert got["targets"] == ["cpu"]
    assert got["added"] == got["blobs"] > 5
    built = other.run("build", "--frozen", "--offline", "cpu", before=NO_NETWORK)
    assert built.out == f"{lab.image()} cpu\n"
    # Exactly what is needed: nothing that is not an artifact, and none of it twice.
    artifacts = {path.name for path in (tmp_path / place / "blobs/sha256").glob("*")}
    if artifacts:
        exported = json.loads((disk / "hps-export.json").read_bytes())
        assert artifacts == {one["digest"].removeprefix("sha256:") for one in exported["blobs"]}
        layers = {layer.digest.hex for layer in lab.target.layers}
        assert not artifacts & layers


def test_without_one_of_its_blobs_an_export_is_of_no_use(lab: Laboratory, tmp_path: Path) -> None:
    """Every blob of an export is needed: take any of them away, and the build says so."""
    disk = tmp_path / "disk"
    lab.run("store", "export", str(disk))
    other = elsewhere(lab, tmp_path)
    for path in sorted((disk / "blobs/sha256").iterdir())[:3]:
        kept = path.read_bytes()
        path.unlink()
        done = other.run("store", "import", str(disk), code=5)
        assert "missing" in done.err
        assert "error[offline-missing]" in other.run("build", "--offline", code=4).err
        path.write_bytes(kept)
        other.run("store", "import", str(disk))
        shutil.rmtree(other.store)


def test_what_the_store_lacks_is_fetched_first(lab: Laboratory, tmp_path: Path) -> None:
    wheel = next(one for one in lab.target.wheels if one.name == "base")
    lab.blob(wheel.digest).unlink()
    refused = lab.run("store", "export", "--offline", str(tmp_path / "disk"), code=4)
    assert wheel.file in refused.err
    assert not (tmp_path / "disk").exists()
    lab.run("store", "export", str(tmp_path / "disk"))
    assert (tmp_path / "disk/blobs/sha256" / wheel.sha256).is_file()


def test_the_same_lock_gives_the_same_bytes_and_is_carried_on(
    lab: Laboratory, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.tar", tmp_path / "second.tar"
    lab.run("store", "export", str(first))
    lab.run("store", "export", "cpu", str(second))
    assert first.read_bytes() == second.read_bytes()
    facts = lab.run("store", "export", str(tmp_path / "disk"), "--json").json
    assert facts["written"] == facts["blobs"]
    again = lab.run("store", "export", str(tmp_path / "disk"), "--json").json
    assert (again["written"], again["present"]) == (0, facts["blobs"])


def test_what_may_not_be_redistributed_is_asked_for_by_name(
    lab: Laboratory, tmp_path: Path
) -> None:
    lab.edit('name = "tool"\n', 'name = "tool"\nredistributable = false\nlicence = "Ours"\n')
    refused = lab.run("store", "export", str(tmp_path / "disk"), code=None)
    assert refused.code != 0
    assert "--include tool" in refused.err
    assert not (tmp_path / "disk").exists()
    done = lab.run("store", "export", "--include", "tool", str(tmp_path / "disk"))
    assert "tool" in done.err
    unknown = lab.run("store", "export", "--include", "tol", str(tmp_path / "d"), code=2)
    assert "tool" in unknown.err


def test_a_damaged_disk_is_named_and_mended(lab: Laboratory, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    lab.run("store", "export", str(disk))
    path = max((disk / "blobs/sha256").iterdir(), key=lambda one: one.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    other = elsewhere(lab, tmp_path)
    done = other.run("store", "import", str(disk), code=5)
    assert "error[integrity]" in done.err
    assert path.name in done.err
    lab.run("store", "export", str(disk))
    added = other.run("store", "import", str(disk), "--json").json
    assert added["added"] == 1


def test_two_imports_at_once(lab: Laboratory, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    lab.run("store", "export", str(disk))
    other = elsewhere(lab, tmp_path)
    for process in [other.start("store", "import", str(disk)) for _ in range(2)]:
        other.finish(process)
    facts = other.run("store", "verify", "--json").json
    assert facts["damaged"] == []
    assert facts["blobs"] == len(list((disk / "blobs/sha256").iterdir()))


# --- without a project ---------------------------------------------------------------------------


def hps(*words: str, folder: Path, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hps", "store", *words],
        cwd=folder,
        env={**os.environ, "HPS_STORE": str(folder / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("import", "none"), 2),
        (("import",), 2),
        (("import", "."), 5),
        (("import", "file"), 5),
        (("export",), 2),
        (("export", "place"), 2),
    ],
)
def test_mistakes_are_told(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    (tmp_path / "file").write_bytes(b"no archive")
    assert "rror" in hps(*words, folder=tmp_path, code=code)
    assert list(Store(tmp_path / "store").list_blobs()) == []
