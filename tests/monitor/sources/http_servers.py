"""Real HTTP servers that publish a folder of this machine: nginx, and Python's own."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.monitor.sources.debian_programs import unpacked
from tests.monitor.sources.processes import free_ports, listening
from tests.oci.registry_server import Authority

_CONFIGURATION = """
daemon off; worker_processes 1; pid {run}/pid; error_log {run}/error.log; user {user};
events {{ worker_connections 128; }}
http {{
  access_log {run}/access.log;
  types {{ text/plain txt; }}
  default_type application/octet-stream;
  client_body_temp_path {run}/body; proxy_temp_path {run}/proxy; fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi; scgi_temp_path {run}/scgi;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{ root {folder}; autoindex on; dav_methods PUT DELETE MOVE; }}
    location /put/ {{ alias {folder}/; autoindex on; dav_methods PUT; }}
    location /shared/ {{ alias {folder}/; dav_methods PUT; create_full_put_path on; }}
    location /bare/ {{ alias {folder}/; autoindex on; etag off; max_ranges 0;
                       add_header Last-Modified ""; }}
    location /undated/ {{ alias {folder}/; autoindex on; add_header Last-Modified ""; }}
    location /unlisted/ {{ alias {folder}/; }}
    location = /ready {{ access_log off; return 204; }}
    location /moved/ {{ if ($request_uri ~ ^/moved(/.*)$) {{ return 302 http://127.0.0.1:{port}$1; }} }}
  }}
  {tls}
}}
"""
_TLS = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    client_max_body_size 0;
    location / {{ root {folder}; autoindex on; dav_methods PUT DELETE MOVE; auth_basic "models"; auth_basic_user_file {run}/users; }}
  }}
"""


@dataclass(frozen=True)
class Nginx:
    """nginx on 127.0.0.1 with a folder for everybody, and one behind TLS and a password.

    `/` is the folder as nginx serves it, `/bare/` without ETag, Last-Modified and ranges,
    `/undated/` without Last-Modified, `/unlisted/` without pages for folders, `/moved/` a
    redirect to `/`. `/` takes PUT, DELETE and MOVE, `/put/` takes PUT alone, `/shared/` makes
    folders for it too.
    """

    folder: Path
    run: Path
    port: int
    tls_port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def log(self) -> str:
        """The lines of all requests so far."""
        return (self.run / "access.log").read_text()

    @classmethod
    @contextlib.contextmanager
    def running(cls, folder: Path, program: str, user: str, password: str) -> "Iterator[Nginx]":
        run = folder / "nginx"
        published = folder / "published"
        run.mkdir()
        published.mkdir()
        authority = Authority.make(run)
        ports = free_ports(2)
        made = cls(published, run, ports[0], ports[1], authority)
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", password], check=True, capture_output=True, text=True
        )
        (run / "users").write_text(f"{user}:{hashed.stdout}")
        names = {"run": run, "folder": published}
        tls = _TLS.format(
            port=ports[1], certificate=authority.certificate, key=authority.key, **names
        )
        (run / "conf").write_text(
            _CONFIGURATION.format(port=ports[0], user=_owner(), tls=tls, **names)
        )
        command = [program, "-c", str(run / "conf"), "-p", str(run), "-e", str(run / "error.log")]
        with listening(command, *ports):
            # It listens before it has a worker, whom nobody could silence yet.
            with urllib.request.urlopen(f"{made.url}/ready", timeout=60):
                pass
            yield made


@contextlib.contextmanager
def python_server(folder: Path) -> Iterator[str]:
    """Python's http.server: HTTP/1.0, Last-Modified alone, no ranges; gives its address."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory"]
    with listening([*command, str(folder), str(port)], port):
        yield f"http://127.0.0.1:{port}"


def find_nginx(folder: Path) -> str:
    """The path of nginx: that of the system, else Debian's package unpacked into `folder`.

    It is not installed, because Debian's package would start a service of its own.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found:
        return found
    return str(unpacked(folder, "nginx") / "usr" / "sbin" / "nginx")


def _owner() -> str:
    """The worker reads what only this user may read."""
    return re.sub(r"\W", "", os.environ.get("USER") or "root")
