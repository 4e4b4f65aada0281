"""Mirrors that are dead, slow, incomplete or lie, and what each of them gets to see."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError, LimitError, NotFoundError
from hps.oci.mirrored_registry import MirroredRegistry, open_mirrored
from hps.store.cancellation import Cancelled
from hps.store.registry_address import RegistryAddress
from hps.store.retry import Deadlines
from tests.oci.registry_lab import (
    BLOB,
    BLOB_PATH,
    DIGEST_PATH,
    GOOD,
    GOOD_DIGEST,
    HASTY,
    PATIENT,
    REFERRERS_PATH,
    TAG_PATH,
    entry,
    listed,
    manifest,
)
from tests.oci.registry_server import Authority, RegistryServer, docker_config
from tests.servers import (
    Behaviour,
    Exchange,
    HostileServer,
    fine,
    redirect,
    reset,
    silence,
    status,
    truncate,
)

WANTED = Blob(Digest.of(BLOB), len(BLOB))
ONCE = replace(PATIENT, attempts=1)


def at(server: HostileServer, **fields: object) -> RegistryAddress:
    plain = RegistryAddress(
        root=f"{server.url}/v2",
        repository="team/app",
        plain_http=True,
        said_by=f"test {server.port}",
    )
    return replace(plain, **fields)  # type: ignore[arg-type] # each test knows its fields


@contextlib.contextmanager
def mirrored(
    *places: RegistryAddress, deadlines: Deadlines = PATIENT, folder: Path | None = None
) -> Iterator[MirroredRegistry]:
    environment = {} if folder is None else {"DOCKER_CONFIG": str(folder)}
    with open_mirrored(
        "hub/team/app",
        places,
        environment=environment,
        home=Path("/nonexistent"),
        deadlines=deadlines,
    ) as registry:
        yield registry


def pulled(registry: MirroredRegistry) -> bytes:
    body = bytearray()
    registry.stream(WANTED, body.extend, body.clear)
    return bytes(body)


@pytest.fixture
def dead() -> RegistryAddress:
    with HostileServer() as gone:
        return at(gone)


def test_a_dead_mirror_gives_way_to_the_next(dead: RegistryAddress, server: HostileServer) -> None:
    server.script(TAG_PATH, manifest())
    server.script(BLOB_PATH, fine(BLOB))
    with mirrored(dead, at(server)) as registry:
        assert registry.manifest("1.0").digest == GOOD_DIGEST
        assert pulled(registry) == BLOB
        assert registry.read(WANTED, len(BLOB)) == BLOB


@pytest.mark.parametrize(
    "failure",
    [
        status(500),
        status(403),
        status(404),
        status(429, headers={"Retry-After": "0"}),
        reset(),
        reset(BLOB[: 1 << 20], announced=len(BLOB)),
        truncate(BLOB, (1 << 20) + 17),
        redirect("http://127.0.0.1:9/elsewhere"),
    ],
)
def test_a_mirror_that_fails_leaves_nothing_behind(
    server: HostileServer, elsewhere: HostileServer, failure: Behaviour
) -> None:
    server.script(BLOB_PATH, failure)
    elsewhere.script(BLOB_PATH, fine(BLOB))
    with mirrored(at(server), at(elsewhere)) as registry:
        assert pulled(registry) == BLOB


def test_a_mirror_that_has_failed_is_asked_last(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    server.script(BLOB_PATH, silence())
    elsewhere.script(BLOB_PATH, fine(BLOB))
    with mirrored(at(server), at(elsewhere), deadlines=replace(HASTY, attempts=1)) as registry:
        assert pulled(registry) == BLOB
        assert pulled(registry) == BLOB
    assert (server.count(BLOB_PATH), elsewhere.count(BLOB_PATH)) == (1, 2)


def test_a_mirror_that_lacks_something_stays_first(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    elsewhere.script(BLOB_PATH, fine(BLOB))
    with mirrored(at(server), at(elsewhere)) as registry:
        pulled(registry)
        pulled(registry)
    assert (server.count(BLOB_PATH), elsewhere.count(BLOB_PATH)) == (2, 2)


@pytest.mark.parametrize(
    "lie",
    [fine(b"!" + BLOB[1:]), fine(BLOB + b"x"), fine(BLOB[:-1]), fine(b"<html>log in</html>")],
)
def test_a_mirror_that_lies_about_a_blob_is_named(
    server: HostileServer, elsewhere: HostileServer, lie: Behaviour
) -> None:
    server.script(BLOB_PATH, lie)
    elsewhere.script(BLOB_PATH, fine(BLOB))
    with mirrored(at(server), at(elsewhere)) as registry, pytest.raises(IntegrityError) as caught:
        pulled(registry)
    message = caught.value.message
    assert f"{server.host}/team/app (named by test {server.port})" in message
    assert str(elsewhere.port) not in message
    assert elsewhere.seen == []  # an integrity error is no reason to ask somebody else


def test_a_mirror_that_lies_about_a_manifest_is_named(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    server.script(DIGEST_PATH, manifest(GOOD.replace(b"layers", b"Layers")))
    elsewhere.script(DIGEST_PATH, manifest())
    with mirrored(at(server), at(elsewhere)) as registry, pytest.raises(IntegrityError) as caught:
        registry.manifest(GOOD_DIGEST)
    assert caught.value.expected == str(GOOD_DIGEST)
    assert str(server.port) in caught.value.message


def test_what_no_mirror_has_is_not_found(server: HostileServer, elsewhere: HostileServer) -> None:
    with mirrored(at(server), at(elsewhere)) as registry:
        with pytest.raises(NotFoundError, match=r"hub/team/app:1\.0 is nowhere") as caught:
            registry.manifest("1.0")
        assert [str(server.port) in line for line in caught.value.details] == [True, False]
        assert registry.referrers(GOOD_DIGEST).descriptors == ()


def test_all_that_failed_is_told(dead: RegistryAddress, server: HostileServer) -> None:
    with mirrored(dead, at(server), deadlines=ONCE) as registry:
        with pytest.raises(FetchError, match=r"cannot fetch hub/team/app:1\.0") as caught:
            registry.manifest("1.0")
        assert type(caught.value) is FetchError  # the dead one may have it
        assert len(caught.value.details) == 2


def test_a_lone_address_fails_in_its_own_words(server: HostileServer) -> None:
    server.script(BLOB_PATH, fine(b"!" + BLOB[1:]))
    with mirrored(at(server)) as registry:
        with pytest.raises(NotFoundError, match=f"{server.host}/team/app:1.0 does not exist"):
            registry.manifest("1.0")
        with pytest.raises(IntegrityError, match="the bytes are not what was promised"):
            pulled(registry)


def test_who_may_say_what_a_tag_names(server: HostileServer, elsewhere: HostileServer) -> None:
    for each in (server, elsewhere):
        each.script(TAG_PATH, manifest())
        each.script(DIGEST_PATH, manifest())
    with mirrored(at(server, tags=False), at(elsewhere)) as registry:
        registry.manifest("1.0")
        registry.manifest(GOOD_DIGEST)
    assert [each.path for each in server.seen] == [DIGEST_PATH]
    assert [each.path for each in elsewhere.seen] == [TAG_PATH]
    with (
        mirrored(at(server, tags=False)) as registry,
        pytest.raises(FetchError, match="none of its mirrors may be asked"),
    ):
        registry.manifest("1.0")
    with mirrored(at(server, digests=False), at(elsewhere)) as registry:
        registry.manifest("1.0")
        registry.manifest(GOOD_DIGEST)
    assert server.count(TAG_PATH) == 1
    assert elsewhere.count(DIGEST_PATH) == 1


def test_what_is_too_large_is_asked_nowhere(server: HostileServer) -> None:
    with mirrored(at(server), at(server)) as registry, pytest.raises(LimitError):
        registry.read(WANTED, 10)
    assert server.seen == []


def test_referrers_of_the_first_that_knows_any(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    index = "application/vnd.oci.image.index.v1+json"
    server.script(REFERRERS_PATH, fine(listed(), media_type=index))
    elsewhere.script(REFERRERS_PATH, fine(listed(entry(1)), media_type=index))
    with mirrored(at(server), at(elsewhere)) as registry:
        assert len(registry.referrers(GOOD_DIGEST).descriptors) == 1


def test_a_proxy_of_several_registries_is_told_which_one(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    """containerd's hosts files: another root of the API, `ns`, and fields for the mirror alone."""
    place = at(
        server,
        root=f"{server.url}/proxy/api",
        namespace="reg.example.org:5000",
        headers=(("X-Team", "secret"),),
    )
    path = f"/proxy/api/team/app/blobs/{WANTED.digest}?ns=reg.example.org%3A5000"
    server.script(path, redirect(f"{elsewhere.url}/storage"))
    elsewhere.script("/storage", fine(BLOB))
    with mirrored(place) as registry:
        assert pulled(registry) == BLOB
    assert [each.headers["x-team"] for each in server.seen] == ["secret"]
    assert "x-team" not in elsewhere.seen[0].headers


def test_each_mirror_gets_its_own_credentials_only(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    challenge = status(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    server.script(TAG_PATH, challenge)
    elsewhere.script(TAG_PATH, challenge, manifest())
    docker_config(tmp_path, elsewhere.host, "ann", "secret")
    with mirrored(at(server), at(elsewhere), folder=tmp_path) as registry:
        assert registry.manifest("1.0").digest == GOOD_DIGEST
    assert not any("authorization" in each.headers for each in server.seen)
    assert "authorization" in elsewhere.seen[-1].headers


def test_a_host_without_tls_elsewhere_needs_this_machines_word(
    server: HostileServer, tmp_path: Path
) -> None:
    """To the client, 0.0.0.0 is another machine than this one."""
    server.script(
        TAG_PATH, status(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), manifest()
    )
    root = f"https://{server.host}/v2".replace("127.0.0.1", "0.0.0.0")
    place = at(server, root=root, plain_http=None)
    docker_config(tmp_path, place.host, "ann", "secret")
    with mirrored(place, deadlines=ONCE, folder=tmp_path) as registry, pytest.raises(FetchError):
        registry.manifest("1.0")
    assert server.seen == []
    trusted = replace(place, insecure=True)
    with (
        mirrored(trusted, deadlines=ONCE, folder=tmp_path) as registry,
        pytest.raises(FetchError, match="wants to know who asks"),
    ):
        registry.manifest("1.0")
    assert not any("authorization" in each.headers for each in server.seen)
    with mirrored(trusted, deadlines=ONCE) as registry:
        assert registry.manifest("1.0").digest == GOOD_DIGEST


def test_authorities_of_an_address_are_trusted(tmp_path: Path) -> None:
    """A real registry with a certificate that only the machine's settings know."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    authority, stranger = Authority.make(own), Authority.make(other)
    with RegistryServer.start(tmp_path / "registry", authority=authority) as running:
        plain = RegistryAddress(root=f"https://{running.host}/v2", repository="team/app")
        for known in ((), (str(stranger.path),)):
            with (
                mirrored(replace(plain, authorities=known), deadlines=ONCE) as registry,
                pytest.raises(FetchError, match="TLS failed"),
            ):
                registry.manifest("1.0")
        both = (str(stranger.path), str(authority.path))
        with (
            mirrored(replace(plain, authorities=both), deadlines=ONCE) as registry,
            pytest.raises(NotFoundError),
        ):
            registry.manifest("1.0")


def test_work_that_is_abandoned_goes_nowhere_else(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    asked = threading.Event()

    def hang(exchange: Exchange) -> None:
        asked.set()
        silence()(exchange)

    server.script(BLOB_PATH, hang)
    elsewhere.script(BLOB_PATH, fine(BLOB))
    ended: list[BaseException] = []

    def work(registry: MirroredRegistry) -> None:
        try:
            pulled(registry)
        except (FetchError, Cancelled) as error:
            ended.append(error)

    with mirrored(at(server), at(elsewhere)) as registry:
        thread = threading.Thread(target=work, args=(registry,))
        thread.start()
        assert asked.wait(30)
        registry.abandon()
        thread.join(30)
    assert len(ended) == 1
    assert elsewhere.seen == []


def test_who_asks_again_remembers_what_has_failed(
    server: HostileServer, elsewhere: HostileServer
) -> None:
    server.script(BLOB_PATH, status(403))
    elsewhere.script(BLOB_PATH, fine(BLOB))
    failed: set[int] = set()
    for _ in range(2):
        with open_mirrored(
            "hub/team/app",
            [at(server), at(elsewhere)],
            environment={},
            home=Path("/nonexistent"),
            failed=failed,
        ) as registry:
            assert pulled(registry) == BLOB
    assert (server.count(BLOB_PATH), elsewhere.count(BLOB_PATH)) == (1, 2)
