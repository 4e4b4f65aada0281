"""Plain HTTP with a registry elsewhere: only when it is asked for, and without credentials.

To the client, 0.0.0.0 is another machine than this one.
"""

from pathlib import Path

import pytest

from hps.errors import FetchError
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from hps.store.retry import Deadlines
from tests.oci.registry_lab import GOOD, GOOD_DIGEST, TAG_PATH
from tests.oci.registry_server import docker_config
from tests.servers import HostileServer, fine, redirect, status

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
QUICK = Deadlines(attempts=1)


def elsewhere(server: HostileServer) -> str:
    return server.host.replace("127.0.0.1", "0.0.0.0")


def client(
    server: HostileServer, folder: Path, *, plain_http: bool | None = True
) -> RegistryClient:
    docker_config(folder, elsewhere(server), "ann", "secret")
    return RegistryClient(
        Reference.parse(f"{elsewhere(server)}/team/app"),
        environment={"DOCKER_CONFIG": str(folder)},
        home=folder,
        plain_http=plain_http,
        deadlines=QUICK,
    )


def test_a_registry_elsewhere_is_spoken_to_when_that_is_asked_for(tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script(TAG_PATH, fine(GOOD, media_type=MANIFEST))
        with client(server, tmp_path) as registry:
            assert registry.manifest("1.0").digest == GOOD_DIGEST
        with client(server, tmp_path, plain_http=None) as registry, pytest.raises(FetchError):
            registry.manifest("1.0")


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="x"',
        'Bearer realm="https://registry.example/token"',
        'Bearer realm="http://registry.example/token"',
    ],
)
def test_no_credentials_are_sent_in_the_clear(
    tmp_path: Path, challenge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    with HostileServer() as server:
        server.script(TAG_PATH, status(401, headers={"WWW-Authenticate": challenge}))
        with client(server, tmp_path) as registry, pytest.raises(FetchError) as caught:
            registry.manifest("1.0")
        assert not [one for one in server.seen if "authorization" in one.headers]
        if challenge.startswith("Basic"):
            assert "credentials are not sent" in str(caught.value.got)


def test_a_redirect_to_plain_http_on_another_host_is_refused(tmp_path: Path) -> None:
    with HostileServer() as server:
        server.script(TAG_PATH, redirect(f"http://{elsewhere(server)}/there"))
        server.script("/there", fine(GOOD, media_type=MANIFEST))
        with client(server, tmp_path) as registry:
            assert registry.manifest("1.0").digest == GOOD_DIGEST
            server.script(TAG_PATH, redirect("http://registry.example/there"))
            with pytest.raises(FetchError, match="refused a redirect"):
                registry.manifest("1.0")
