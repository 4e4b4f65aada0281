"""`hps copy` hands nothing on to a registry that may not be: told by the project, or by the SBOM."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.build.laboratory import Laboratory
from tests.oci.copy_lab import CopyLab
from tests.oci.registry_server import RegistryServer

pytestmark = pytest.mark.network


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    with RegistryServer.start(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def bound(lab: Laboratory) -> Laboratory:
    """A project with a file that may not be handed on; its lock is as it was."""
    lab.edit(
        'to = "/models/weights.bin"',
        'to = "/models/weights.bin"\nredistributable = false\nlicence = "bought"',
    )
    return lab


def stranger(lab: Laboratory, folder: Path) -> Laboratory:
    """Somebody who has the same tools, and not the project."""
    folder.mkdir()
    return replace(lab, folder=folder)


def test_the_project_knows_its_own_layers(
    bound: Laboratory, server: RegistryServer, tmp_path: Path
) -> None:
    """No SBOM is needed there, and layers that were packed are known by their diff_ids."""
    layout, goal = f"oci:{bound.layout}", f"docker://{server.host}/team/app:1.0"
    archive = f"docker-archive:{tmp_path / 'app.tar'}:lab:cpu"
    packed = f"oci:{tmp_path / 'packed'}"
    bound.run("copy", layout, archive)  # stays on this machine
    bound.run("copy", layout, packed, "--compress", "gzip")
    for origin in (layout, archive, packed):
        done = bound.run("copy", origin, goal, code=8)
        assert "error[not-redistributable]: copying the image to docker://" in done.err
        assert "  weights.bin (targets.cpu.files.weights.bin, licence bought)" in done.err
        assert "--include weights.bin" in done.err
    bound.run("copy", layout, goal, "--dry-run", code=8)
    bound.run("copy", layout, goal, "--image-only", code=8)
    bound.run("pull", f"{server.host}/team/app:1.0", code=4)  # nothing got there
    done = bound.run("copy", layout, goal, "--include", "weights.bin")
    assert "weights.bin (targets.cpu.files.weights.bin, licence bought) leaves" in done.err
    assert done.out == f"{bound.image()} {goal}\n"


def test_elsewhere_the_sbom_says_it(
    bound: Laboratory, server: RegistryServer, tmp_path: Path
) -> None:
    bound.environment["HPS_KEYS"] = str(tmp_path / "keys")
    bound.run("key", "generate", "release", "--no-passphrase")
    bound.run("build", "--key", "release")
    there = f"docker://{server.host}/team/app:1.0"
    bound.run("push", "cpu", there.removeprefix("docker://"), "--include", "weights.bin")
    other = stranger(bound, tmp_path / "elsewhere")
    onward = f"docker://{server.host}/onward/app:1.0"
    for words in ((), ("--image-only",)):
        done = other.run("copy", there, onward, *words, code=8)
        assert "  weights.bin (its SBOM, licence bought)" in done.err
    other.run("pull", onward.removeprefix("docker://"), code=4)
    done = other.run("copy", there, onward, "--include", "weights.bim", code=2)
    assert "did you mean weights.bin?" in done.err
    done = other.run("copy", there, onward, "--include", "weights.bin", "--image-only")
    assert done.out == f"{bound.image()} {onward}\n"
    assert "signatures and attestations" not in done.err  # they were read, and stayed behind
    # The copy without its SBOM says nothing any more: that is what --help says.
    other.run("copy", onward, f"docker://{server.host}/onward/again:1.0")
    here = f"oci:{other.folder / 'app'}"
    other.run("copy", there, here)
    done = other.run("copy", there, here, "--include", "weights.bin", code=2)
    assert "--include is for copies to a registry" in done.err


def test_a_project_that_has_nothing_to_do_with_the_image_is_not_asked(
    bound: Laboratory, server: RegistryServer, tmp_path: Path
) -> None:
    """Its own faults of that kind keep nobody from copying something else."""
    bound.edit(
        'requirements = ["app.in"]', 'requirements = ["app.in"]\nnot-redistributable = ["x"]'
    )
    goal = f"docker://{server.host}/team/app:1.0"
    done = bound.run("copy", f"oci:{bound.layout}", goal, code=2)
    assert "no project of the target cpu is called x" in done.err
    CopyLab(tmp_path).signed_image()
    bound.run("copy", f"oci:{tmp_path / 'layout'}", goal)
