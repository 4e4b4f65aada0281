"""The same image from a clone: what git keeps of a project is all that a build needs.

Other conditions are those of `hps build --challenge` (tests/release/test_challenge.py).
"""

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


def test_a_clone_gives_the_same_image(lab: Laboratory, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    environment = lab.environment | {"GIT_CONFIG_GLOBAL": os.devnull}
    (lab.folder / ".gitignore").write_text(".hps\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=lab.folder, env=environment, check=True)
    clone = dataclasses.replace(lab, folder=tmp_path / "clone")
    line = [*git, "clone", "-q", str(lab.folder), str(clone.folder)]
    subprocess.run(line, env=environment, check=True)
    (clone.folder / "server" / "main.py").touch()  # only content counts, not the time
    clone.run("build", "--frozen", "--offline")
    assert clone.image() == lab.image()
