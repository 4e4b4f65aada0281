"""What stands between users and the world, real and private: proxies and caches of Debian.

    with apt_cacher(folder) as proxy:             # apt-cacher-ng
    with squid(folder, {"ann": "secret"}) as proxy:
    with tinyproxy(folder, {"ann": "secret"}) as proxy:
    with index_mirror(folder, upstream) as mirror:   # nginx, a caching mirror of an index

Each listens on 127.0.0.1 on a port that was free, keeps everything below `folder`, and is gone when
the block ends.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Between:
    """A running server.

    Args:
        port: on 127.0.0.1.
        log: what it writes about each request.
    """

    port: int
    log: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def url_for(self, user: str, password: str) -> str:
        """The address with credentials."""
        return f"http://{quote(user, safe='')}:{quote(password, safe='')}@{self.host}"

    def logged(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@contextlib.contextmanager
def apt_cacher(folder: Path) -> Iterator[Between]:
    """apt-cacher-ng: a proxy that keeps what Debian's archives serve.

    It tells archives apart by host and path, not by port, and reaches ports below 32768 only.
    """
    _own(folder)
    port = free_port()
    settings = {
        "CacheDir": folder / "cache",
        "LogDir": folder / "log",
        "SocketPath": folder / "socket",
        "BindAddress": "127.0.0.1",
        "Port": port,
        "AllowUserPorts": 0,  # archives of tests are on any port
        "ForeGround": 1,
        "ReportPage": "",
        "VerboseLog": 1,
        "UnbufferLogs": 1,
    }
    (folder / "settings").mkdir()
    lines = [f"{name}: {value}\n" for name, value in settings.items()]
    (folder / "settings" / "acng.conf").write_text("".join(lines))
    for name in ("cache", "log"):
        (folder / name).mkdir()
    command = [_program("apt-cacher-ng"), "-c", str(folder / "settings")]
    with _running(command, folder, port):
        yield Between(port, folder / "log" / "apt-cacher.log")


@contextlib.contextmanager
def squid(folder: Path, users: Mapping[str, str] | None = None) -> Iterator[Between]:
    """squid: an HTTP proxy, for all addresses and ports, that may want to know who asks."""
    _own(folder)
    port = free_port()
    lines = [
        f"http_port 127.0.0.1:{port}",
        f"pid_filename {folder}/pid",
        f"access_log stdio:{folder}/access.log",
        f"cache_log {folder}/cache.log",
        f"coredump_dir {folder}",
        "cache deny all",
        "shutdown_lifetime 0 seconds",
        "pinger_enable off",
        "logfile_rotate 0",
        "buffered_logs off",
        "netdb_filename none",
    ]
    if users is not None:
        (folder / "users").write_text(
            "".join(f"{name}:{_apr1(password)}\n" for name, password in users.items())
        )
        lines += [
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/users",
            "auth_param basic children 2 startup=1",
            "acl known proxy_auth REQUIRED",
            "http_access allow known",
            "http_access deny all",
        ]
    else:
        lines.append("http_access allow all")
    (folder / "squid.conf").write_text("\n".join(lines) + "\n")
    _give_away(folder, "proxy")
    command = [_program("squid"), "-N", "-f", str(folder / "squid.conf")]
    with _running(command, folder, port):
        yield Between(port, folder / "access.log")


@contextlib.contextmanager
def tinyproxy(folder: Path, users: Mapping[str, str]) -> Iterator[Between]:
    """tinyproxy: a small HTTP proxy that wants to know who asks."""
    _own(folder)
    port = free_port()
    lines = [
        f"Port {port}",
        "Listen 127.0.0.1",
        "Timeout 60",
        f'LogFile "{folder}/log"',
        "LogLevel Connect",
        f'PidFile "{folder}/pid"',
        "MaxClients 50",
        *(f"BasicAuth {name} {password}" for name, password in users.items()),
    ]
    (folder / "tinyproxy.conf").write_text("\n".join(lines) + "\n")
    command = [_program("tinyproxy"), "-d", "-c", str(folder / "tinyproxy.conf")]
    with _running(command, folder, port):
        yield Between(port, folder / "log")


@contextlib.contextmanager
def index_mirror(folder: Path, upstream: str) -> Iterator[Between]:
    """nginx: a mirror of a Python index that keeps what it has seen and serves it on its own.

    Args:
        folder: made if need be.
        upstream: scheme, host and port of the index.
    """
    _own(folder)
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=index:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {upstream};
      proxy_set_header Accept-Encoding "";
      proxy_cache index;
      proxy_cache_key "$uri $http_accept";
      proxy_cache_valid 200 1h;
      proxy_cache_use_stale error timeout http_500 http_502 http_503 http_504;
      proxy_ignore_headers Cache-Control Expires;
      sub_filter "{upstream}" "http://127.0.0.1:{port}";
      sub_filter_once off;
      sub_filter_types application/vnd.pypi.simple.v1+json;
    }}
  }}
}}
"""
    )
    _give_away(folder, "www-data")
    command = [_program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    with _running([*command, "-e", str(folder / "error.log")], folder, port):
        yield Between(port, folder / "access.log")


def _own(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)


def _give_away(folder: Path, user: str) -> None:
    """Started by root, a server works as a user of its own, who has to get at its folder."""
    if os.geteuid() != 0:
        return
    shutil.chown(folder, user)
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed: apt-get install apt-cacher-ng squid tinyproxy nginx"
    return found


def _apr1(password: str) -> str:
    done = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"],
        input=password,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def free_port() -> int:
    """A port that nobody has at the moment; these servers cannot choose one themselves.

    None of those that the kernel gives away: somebody else would get it meanwhile. apt-cacher-ng
    neither listens on one above 32767 nor reaches one.
    """
    for port in random.sample(range(20_000, 32_767), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free between 20000 and 32767")


@contextlib.contextmanager
def _running(command: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    output = folder / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=folder)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            told = output.read_text(errors="replace")
            assert process.poll() is None, f"{command[0]} did not start:\n{told}"
            assert time.monotonic() < deadline, f"{command[0]} does not listen:\n{told}"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
