"""Who gets to see credentials and tokens, and what is done without them."""

from pathlib import Path

import pytest

from hps.errors import (
    FetchError,
    HpsError,
)
from hps.oci.registry_client import RegistryClient
from tests import servers
from tests.oci.registry_lab import BLOB, BLOB_PATH, TAG_PATH, connect, pull
from tests.oci.registry_server import docker_config
from tests.servers import Behaviour, Exchange, HostileServer


def login(server: HostileServer, tmp_path: Path) -> Path:
    return docker_config(tmp_path / "docker", server.host, "ann", "hidden-password")


BASIC = servers.status(401, {"WWW-Authenticate": 'Basic realm="r"'})


def needs_login(good: Behaviour) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        (good if exchange.headers.get("Authorization") else BASIC)(exchange)

    return behave


def test_credentials_stay_with_the_registry(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a redirect to another port, nor one that comes back, carries them; nor does netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login netrc password netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(BLOB_PATH, needs_login(servers.redirect(elsewhere.url + "/there")))
    elsewhere.script("/there", servers.redirect(server.url + "/back"))
    server.script("/back", servers.fine(BLOB))
    with connect(server, folder=login(server, tmp_path)) as registry:
        assert pull(registry) == BLOB
    assert [each.path for each in server.seen] == [BLOB_PATH, BLOB_PATH, "/back"]
    assert ["authorization" in each.headers for each in server.seen] == [False, True, False]
    assert ["authorization" in each.headers for each in elsewhere.seen] == [False]


def test_a_401_after_a_redirect_gets_no_answer(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    server.script(BLOB_PATH, servers.redirect(elsewhere.url + "/there"))
    elsewhere.script("/there", BASIC)
    with (
        connect(server, folder=login(server, tmp_path)) as registry,
        pytest.raises(FetchError, match="401"),
    ):
        pull(registry)
    assert ["authorization" in each.headers for each in elsewhere.seen] == [False]


@pytest.mark.parametrize(
    "target", ["http://registry.example/x", "file:///etc/passwd", "ftp://a.example/x"]
)
def test_a_redirect_out_of_this_machine_stays_on_https(
    server: HostileServer, registry: RegistryClient, target: str
) -> None:
    server.script(BLOB_PATH, servers.redirect(target))
    with pytest.raises(FetchError):
        pull(registry)
    assert server.count(BLOB_PATH) == 1


def test_redirects_in_a_circle_end(server: HostileServer, registry: RegistryClient) -> None:
    server.script(BLOB_PATH, servers.redirect(BLOB_PATH))
    with pytest.raises(FetchError, match="more than 10 redirects"):
        pull(registry)


def test_a_registry_that_never_has_enough_is_left(server: HostileServer, tmp_path: Path) -> None:
    server.script(TAG_PATH, BASIC)
    with (
        connect(server, folder=login(server, tmp_path)) as registry,
        pytest.raises(FetchError, match="401") as caught,
    ):
        registry.manifest("1.0")
    assert server.count(TAG_PATH) == 2
    assert "hidden" not in str(caught.value)
    bearer = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.script(TAG_PATH, servers.status(401, bearer))
    server.script(TOKEN_PATH, servers.fine(b'{"token":"t"}'))
    with connect(server) as registry, pytest.raises(FetchError, match="401"):
        registry.manifest("1.0")
    assert server.count(TOKEN_PATH) == 1


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "neither Bearer nor Basic"),
        ("Negotiate", "neither Bearer nor Basic"),
        ('Bearer realm="', "cannot follow"),
        ('Bearer realm="file:///etc/passwd"', "no address of a token server"),
        ('Bearer realm="http://auth.example/"', "does not speak https"),
        ("Bearer service=x", "no address of a token server"),
        ('Bearer realm="a", realm="b"', "given twice"),
    ],
)  # fmt: skip
def test_a_challenge_that_cannot_be_met_is_told(
    server: HostileServer, registry: RegistryClient, header: str | None, told: str
) -> None:
    server.script(
        TAG_PATH, servers.status(401, {} if header is None else {"WWW-Authenticate": header})
    )
    with pytest.raises(FetchError, match=told):
        registry.manifest("1.0")
    assert len(server.seen) == 1


TOKEN_PATH = "/token?scope=repository%3Ateam%2Fapp%3Apull"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (servers.fine(b"<html>\x1b[31mLog in</html>", media_type="text/html"), "of no use"),
        (servers.fine(b'{"token":"a\\u001b[2J"}'), "holds no token"),
        (servers.fine(b"{}"), "holds no token"),
        (servers.endless(), "wrong size"),
        (servers.announce(b"", 1 << 40), "wrong size"),
        (servers.status(403), "403"),
        (servers.status(404), "does not exist"),
        (servers.status(500), "500"),
        (servers.reset(), "Connection reset"),
        (servers.redirect("http://evil.example/token"), "refused a redirect"),
    ],
    ids=["html", "escape", "empty", "endless", "huge", "403", "404", "500", "reset", "redirect"],
)
def test_a_token_server_that_misbehaves_is_told(
    server: HostileServer, registry: RegistryClient, answer: Behaviour, told: str
) -> None:
    bearer = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.script(TAG_PATH, servers.status(401, bearer))
    server.script(TOKEN_PATH, answer)
    with pytest.raises(HpsError, match=told) as caught:
        registry.manifest("1.0")
    assert "\x1b" not in str(caught.value)
    assert server.count(TAG_PATH) == 1


def test_the_token_goes_to_the_registry_only(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    bearer = servers.status(401, {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'})
    server.script(TOKEN_PATH, servers.redirect(elsewhere.url + "/token"))
    elsewhere.script("/token", servers.fine(b'{"token":"t"}'))
    server.script(BLOB_PATH, bearer, servers.redirect(elsewhere.url + "/blob"))
    elsewhere.script("/blob", servers.fine(BLOB))
    with connect(server, folder=login(server, tmp_path)) as registry:
        assert pull(registry) == BLOB
    assert [each.headers.get("authorization", "").split(" ")[0] for each in server.seen] == [
        "",
        "Basic",
        "Bearer",
    ]
    assert not any("authorization" in each.headers for each in elsewhere.seen)
