# mypy: disable-error-code="import-not-found,import-untyped"
"""OpenStack Swift with its S3 interface, all of it in one process; run by Debian's own Python.

    python3 swift_server.py FOLDER ACCESS_KEY SECRET_KEY REGION DOMAIN ADDRESS...

Swift verifies each presigned request by itself. Objects stay in memory, and buckets in SQLite
below FOLDER. It listens on one port of every ADDRESS, which it prints when it can be asked.
"""

import socket
import sys
from pathlib import Path
from typing import Any

import eventlet
import eventlet.wsgi

eventlet.monkey_patch()

from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402 - after the patch
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.utils import NullLogger, set_swift_dir  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

ACCOUNT = "[app:main]\nuse = egg:swift#account\n"
CONTAINER = "[app:main]\nuse = egg:swift#container\n"
OBJECT = "[app:main]\nuse = egg:swift#mem_object\n"
PROXY = """[pipeline:main]
pipeline = s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_{user} = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = {region}
storage_domain = {domain}
"""
COMMON = """[DEFAULT]
swift_dir = {folder}
devices = {folder}
mount_check = false
disable_fallocate = true
"""


class NoCache:
    """What its authentication wants to find as a client of memcached, one that forgets at once."""

    def get(self, *_: Any, **__: Any) -> None:
        return None

    set = delete = get


def with_length(start_response: Any) -> Any:
    """See to it that HEAD tells a length: else eventlet sends a body, the last chunk of none."""

    def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        told = any(name.lower() == "content-length" for name, _ in headers)
        return start_response(
            status, [*headers, *([] if told else [("Content-Length", "0")])], *more
        )

    return begin


def start(folder: Path, name: str, text: str, *sockets: socket.socket) -> None:
    """Serve one of Swift's servers at these sockets, as its own programs do."""
    path = folder / f"{name}.conf"
    path.write_text(COMMON.format(folder=folder) + text)
    loaded = loadapp(str(path), {"log_name": name})

    def app(environment: dict[str, Any], start_response: Any) -> Any:
        environment["swift.cache"] = NoCache()
        head = environment["REQUEST_METHOD"] == "HEAD"
        return loaded(environment, with_length(start_response) if head else start_response)

    for listener in sockets:
        eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            app,
            NullLogger(),
            protocol=SwiftHttpProtocol,
            capitalize_response_headers=False,
        )


def make_ring(folder: Path, name: str, port: int) -> None:
    builder = RingBuilder(1, 1, 1)
    device = {"device": "disk", "ip": "127.0.0.1", "port": port, "weight": 1}
    builder.add_dev({**device, "region": 1, "zone": 1})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def main(
    folder: Path, access_key: str, secret: str, region: str, domain: str, *addresses: str
) -> None:
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = test\n")
    (folder / "disk").mkdir()
    set_swift_dir(str(folder))
    for name, text in (("account", ACCOUNT), ("container", CONTAINER), ("object", OBJECT)):
        listener = eventlet.listen(("127.0.0.1", 0))
        make_ring(folder, name, listener.getsockname()[1])
        start(folder, name, text, listener)
    first = eventlet.listen((addresses[0], 0))
    port = first.getsockname()[1]
    others = [eventlet.listen((address, port)) for address in addresses[1:]]
    user = access_key.replace(":", "_")
    proxy = PROXY.format(user=user, secret=secret, region=region, domain=domain)
    start(folder, "proxy", proxy, first, *others)
    print(port, flush=True)
    while True:
        eventlet.sleep(3600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
