"""model_signing, the reference implementation of OpenSSF model signing, in an environment of its own.

Installed once per machine below the user's cache; remove the folder to have it made anew. It needs
pyOpenSSL, which it does not ask for.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest
from uv import find_uv_bin

from tests.interop.clients import environment

VERSION = "1.1.1"
_PACKAGES = (f"model-signing=={VERSION}", "pyOpenSSL")
_SECONDS = 120.0


@dataclass(frozen=True)
class ModelSigning:
    """The program, started without a way to other machines."""

    program: Path

    def run(self, *arguments: str | Path, home: Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.program, *arguments],
            env=environment(home),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )

    def verify(self, model: Path, key: Path, *, home: Path) -> str | None:
        """None when it is content, else what it said."""
        signature = ("--signature", model / "model.sig")
        done = self.run("verify", "key", model, *signature, "--public_key", key, home=home)
        return None if done.returncode == 0 else done.stdout + done.stderr

    def sign(self, model: Path, key: Path, *more: str, home: Path) -> None:
        signature = ("--signature", model / "model.sig")
        done = self.run("sign", "key", model, *signature, "--private_key", key, *more, home=home)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def model_signing() -> ModelSigning:
    """The program; a test skips (or, with HPS_REQUIRE_CLIENTS=1, fails) when it cannot be had."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    cache = platformdirs.user_cache_path("hps-tests")
    folder = cache / f"model-signing-{VERSION}-{python}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "model-signing.lock"):
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            if reason := _install(folder):
                if os.environ.get("HPS_REQUIRE_CLIENTS") == "1":
                    pytest.fail(reason)
                pytest.skip(reason)
            (folder / "whole").touch()
    return ModelSigning(folder / "bin" / "model_signing")


def _install(folder: Path) -> str:
    """Make the environment; the reason why it cannot be made, or nothing."""
    uv = find_uv_bin()
    for command in (
        [uv, "venv", "-q", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "-q", "--no-config", "--python", str(folder), *_PACKAGES],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        if done.returncode != 0:
            return f"model_signing cannot be had: {done.stderr.strip()[-500:]}"
    return ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
