"""Packages as users use them: the start script, the client, the wrapper script."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hps.cli.main import run
from tests.sdk.project import Place

OCR = "paddlex_hps_OCR_sdk"


def test_server_sh_keeps_its_variables(place: Place, tmp_path: Path) -> None:
    assert run(place.words("OCR")) == 0
    server = place.output / OCR / "server"
    tools = tmp_path / "tools"
    tools.mkdir()
    python = tools / "python3"
    python.write_text('#!/bin/sh\necho "$(pwd)" "$@"\nenv | grep -E "^(PADDLEX_HPS|LANG)" | sort\n')
    python.chmod(0o755)

    def started(folder: Path, *words: str, **variables: str) -> list[str]:
        done = subprocess.run(
            ["bash", str(server / "server.sh"), *words],
            env={"PATH": f"{tools}:{os.environ['PATH']}", **variables},
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.splitlines()

    assert started(tmp_path, "--http-port", "1") == [
        f"{server} -m hps_server.launch --package {server} --http-port 1",
        "LANG=C.UTF-8",
        "PADDLEX_HPS_DEVICE_TYPE=gpu",
        "PADDLEX_HPS_LOGGING_LEVEL=INFO",
        f"PADDLEX_HPS_PIPELINE_CONFIG_PATH={server}/pipeline_config.yaml",
        "PADDLEX_HPS_USE_HPIP=0",
    ]
    own = started(
        tmp_path,
        PADDLEX_HPS_DEVICE_TYPE="cpu",
        PADDLEX_HPS_LOGGING_LEVEL="DEBUG",
        PADDLEX_HPS_PIPELINE_CONFIG_PATH="my.yaml",
        PADDLEX_HPS_USE_HPIP="1",
    )
    assert own[2:] == [
        "PADDLEX_HPS_DEVICE_TYPE=cpu",
        "PADDLEX_HPS_LOGGING_LEVEL=DEBUG",
        f"PADDLEX_HPS_PIPELINE_CONFIG_PATH={tmp_path}/my.yaml",
        "PADDLEX_HPS_USE_HPIP=1",
    ]


def test_the_wrapper_takes_the_same_arguments_from_any_folder(place: Place, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "sdk/scripts", place.root / "sdk/scripts")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "hps").write_text(f'#!/bin/sh\nexec {sys.executable} -m hps "$@"\n')
    (tools / "hps").chmod(0o755)
    done = subprocess.run(
        [place.root / "sdk/scripts/assemble.sh", *place.words("OCR", "--no-client")[3:]],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert re.fullmatch(rf"sha256:[0-9a-f]{{64}} {place.output}/{OCR}.tar.gz\n", done.stdout)


def test_the_client_part_installs_and_runs(place: Place, tmp_path: Path) -> None:
    """From another folder, without an index: pip finds the wheel beside requirements.txt."""
    assert run(place.words("OCR")) == 0
    client = place.output / OCR / "client"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"],
        check=True,
    )
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    installed = subprocess.run(
        [*pip, "install", "-r", str(client / "requirements.txt")],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"},
    )
    assert installed.returncode == 0, installed.stderr
    asked = subprocess.run(
        [python, client / "client.py", "--file", "a.pdf"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (asked.stdout, asked.returncode) == ("OCR --file a.pdf\n", 7)
    script = subprocess.run(
        [tmp_path / "venv/bin/hps-client"], check=False, capture_output=True, text=True
    )
    assert (script.stdout, script.returncode) == ("any\n", 7)


def test_pip_refuses_another_client_than_the_package_was_made_with(
    place: Place, tmp_path: Path
) -> None:
    """requirements.txt holds the digest of the wheel beside it."""
    assert run(place.words("OCR")) == 0
    client = place.output / OCR / "client"
    (wheel,) = client.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    refused = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install"),
            *("--target", tmp_path / "installed", "-r", client / "requirements.txt"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert refused.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused.stderr
    assert not (tmp_path / "installed").exists()
