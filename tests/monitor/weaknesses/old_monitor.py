"""Paddle Serving's own monitor, 0.9.0: fetched once as this machine's pip is set up, and run."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.sources.debian_programs import only_one, run
from tests.monitor.weaknesses.drop_in import SECONDS, eventually

_NAME = "paddle_serving_server"
_VERSION = "0.9.0"


def fetched(cache: Path) -> Path:
    """Its one module; skips the test when it cannot be had."""
    module = cache / f"monitor-{_VERSION}.py"
    with only_one(cache):
        if not module.exists():
            words = [
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary",
                ":all:",
                "-d",
                str(cache),
            ]
            run([sys.executable, "-m", *words, f"{_NAME}=={_VERSION}"], cache)
            (wheel,) = cache.glob(f"{_NAME}-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                module.write_bytes(archive.read(f"{_NAME}/monitor.py"))
            wheel.unlink()
    return module


def parsed(module: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What its own `parse_args` takes from these words."""
    spec = importlib.util.spec_from_file_location("old_monitor_module", module)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    monkeypatch.setattr(sys, "argv", ["monitor", *words])
    return dict(vars(loaded.parse_args()))


@contextmanager
def running(module: Path, folder: Path, words: list[str]) -> "Iterator[OldMonitor]":
    """The old monitor of the model `m` below `folder/local`, looking every second."""
    local = f"--local_path {folder}/local --local_model_name m --interval 1".split()
    with (folder / "old-log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(module), *local, *words],
            cwd=folder,
            env=os.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield OldMonitor(process, folder / "old-log")
    finally:
        process.kill()
        process.wait(SECONDS)


class OldMonitor:
    """One that runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self.log = process, log

    def until_updated(self, times: int = 1) -> None:
        """Wait until it has touched the timestamp file so many times."""

        def updated() -> bool:
            text = self.log.read_text()
            assert self.process.poll() is None, text
            return text.count("update model timestamp(") >= times

        eventually(updated, self.log.read_text)
