"""A real Docker engine for tests: private data, private socket, private bridge.

Needs root and the Debian packages docker.io and iproute2. tests/conftest.py offers the fixture to
all tests.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_SECONDS = 60.0
STOP_SECONDS = 30.0
# 198.18.0.0/15 is set aside for tests of this kind (RFC 2544); each engine takes 16 addresses.
SUBNETS = (1 << 17) // 16


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The address of an engine that lives as long as the test run."""
    if os.geteuid() != 0:
        pytest.skip("a private Docker engine can be started by root only")
    with docker_daemon() as host:
        yield host


@contextlib.contextmanager
def docker_daemon() -> Iterator[str]:
    """Start dockerd, wait until it answers, and end it with all that it made."""
    program = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert program, "dockerd is not installed: apt-get install docker.io"
    # Not below pytest's own folder: the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="hps-dockerd-"))
    host = f"unix://{folder}/docker.sock"
    try:
        with _bridge() as bridge, _process(program, folder, host, bridge) as process:
            _wait(process, folder, host)
            yield host
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _bridge() -> Iterator[str]:
    """A network bridge of our own: docker0 may belong to another engine."""
    name = f"hps{secrets.token_hex(4)}"
    first = (198 << 24) + (18 << 16) + secrets.randbelow(SUBNETS) * 16 + 1
    address = ".".join(str(first >> shift & 255) for shift in (24, 16, 8, 0))
    _run("ip", "link", "add", name, "type", "bridge")
    try:
        _run("ip", "address", "add", f"{address}/28", "dev", name)
        _run("ip", "link", "set", name, "up")
        yield name
    finally:
        _run("ip", "link", "delete", name)


@contextlib.contextmanager
def _process(
    program: str, folder: Path, host: str, bridge: str
) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/dockerd.pid",
        f"--host={host}",
        f"--config-file={folder}/daemon.json",
        f"--bridge={bridge}",
        "--iptables=false",
        "--ip-forward=false",
        "--ip-masq=false",
    ]
    folder.joinpath("daemon.json").write_text("{}")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _unmount(folder)


def _wait(process: subprocess.Popen[bytes], folder: Path, host: str) -> None:
    import docker  # slow to import, and most test runs start no engine

    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"{folder}/docker.sock")
            # It listens before it is ready; the first answer comes when it is.
            client = docker.DockerClient(base_url=host, timeout=int(START_SECONDS))
            client.close()
            return
        time.sleep(0.1)
    log = (folder / "log").read_text(errors="replace").splitlines()
    raise AssertionError("dockerd did not start:\n" + "\n".join(log[-20:]))


def _unmount(folder: Path) -> None:
    """What a killed engine leaves mounted would keep the folder from being removed."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for path in sorted((path for path in mounted if path.startswith(f"{folder}/")), reverse=True):
        _run("umount", "--lazy", path)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
