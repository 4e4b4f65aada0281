"""PaddleX's command for the deployment image, with the default image of this repository.

The store is the one of the user who runs the tests, as in test_default_image.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hps.lock import text

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


def test_the_deployment_image_for_a_cpu(docker_host: str, tmp_path: Path) -> None:
    project = tmp_path / "deploy" / "hps"
    shutil.copytree(ROOT / "server_env", project / "server_env")
    for name in ("hps.toml", "hps.lock"):
        shutil.copy(ROOT / name, project / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "hps").write_text(f'#!/bin/sh\nexec {sys.executable} -m hps "$@"\n')
    (programs / "hps").chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DOCKER_HOST": docker_host,
    }
    script = project / "server_env" / "scripts" / "build_deployment_image.sh"
    done = subprocess.run(
        [script, "-k", "cpu", "-t", "latest-cpu"],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=850,
    )
    assert done.returncode == 0, done.stderr
    writing, naming = done.stdout.splitlines()[-2:]
    assert re.fullmatch(r"writing image sha256:[0-9a-f]{64}", writing)
    assert naming == "naming to paddlex/hps:latest-cpu"
    inspected = subprocess.run(
        ["docker", "inspect", "paddlex/hps:latest-cpu"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    (image,) = json.loads(inspected.stdout)
    assert image["Id"] == writing.removeprefix("writing image ")
    target = text.read((ROOT / "hps.lock").read_bytes()).target("cpu")
    assert target
    assert {str(one.digest) for one in target.layers} <= set(image["RootFS"]["Layers"])
    assert not any("INDEX" in variable for variable in image["Config"]["Env"])
    subprocess.run(
        ["docker", "rmi", "--force", image["Id"]],
        env=environment,
        check=True,
        capture_output=True,
    )
