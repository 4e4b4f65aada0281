"""Registries that refuse, lie, stall and break off."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.digest import Digest
from hps.model import artifact
from hps.model.archive import Form
from hps.monitor.pull import pull
from hps.monitor.source import Caps, Patience, SourceError, Trouble
from hps.monitor.sources.oci import OciPlace, OciSource
from hps.oci.image import MANIFEST_TYPE
from hps.oci.reference import Reference
from tests import servers
from tests.monitor.sources.contract import QUICK, all_of, contents, noise, trouble
from tests.monitor.sources.http_lab import HASTY, PATIENT
from tests.monitor.sources.oci_place import blob_of
from tests.oci.registry_server import docker_config
from tests.servers import Behaviour, Exchange, HostileServer

DATA = noise(300_000)
MANIFEST = artifact.write_packed(Form.TAR, "m.tar", blob_of(DATA), {})
TAG = "/v2/models/ocr/manifests/live"
BLOB = f"/v2/models/ocr/blobs/{Digest.of(DATA)}"


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        running.script(TAG, manifest(MANIFEST))
        running.script(BLOB, servers.fine(DATA))
        yield running


@pytest.fixture
def elsewhere() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@contextlib.contextmanager
def opened(
    server: HostileServer,
    *,
    patience: Patience = PATIENT,
    caps: Caps | None = None,
    folder: Path = Path("/nonexistent"),
    wanted: str = ":live",
) -> Iterator[OciSource]:
    place = OciPlace(
        reference=Reference.parse(f"{server.host}/models/ocr{wanted}"),
        environment={"DOCKER_CONFIG": str(folder)},
    )
    source = OciSource(place, patience, caps)
    try:
        yield source
    finally:
        source.close()


def manifest(body: bytes, *, digest: str | None = None) -> Behaviour:
    told = {"Docker-Content-Digest": digest or str(Digest.of(body))}
    return servers.fine(body, media_type=MANIFEST_TYPE, headers=told)


def read(source: OciSource, offset: int = 0) -> tuple[int, bytes]:
    (found,) = source.model()
    return all_of(source, found, offset)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Trouble.REFUSED),
        (403, Trouble.REFUSED),
        (429, Trouble.SERVER),
        (500, Trouble.SERVER),
        (503, Trouble.SERVER),
        (418, Trouble.MALFORMED),
    ],
)
@pytest.mark.parametrize("path", [TAG, BLOB])
def test_what_a_registry_answers_is_told_apart(
    server: HostileServer, path: str, status: int, kind: Trouble
) -> None:
    headers = {"Retry-After": "7", "WWW-Authenticate": 'Basic realm="r"'}
    server.script(path, servers.status(status, headers))
    with opened(server) as source:
        with pytest.raises(SourceError) as caught:
            read(source)
        assert caught.value.trouble is kind
        assert caught.value.after == (7.0 if kind is Trouble.SERVER else None)
        server.script(path, manifest(MANIFEST) if path == TAG else servers.fine(DATA))
        assert read(source) == (0, DATA)


def test_what_is_not_there_is_told_apart(server: HostileServer) -> None:
    server.script(BLOB, servers.status(404))
    with opened(server) as source:
        assert source.donefile() is not None
        assert trouble(lambda: read(source)) is Trouble.MISSING
        server.script(TAG, servers.status(404))
        assert source.donefile() is None
        assert trouble(source.model) is Trouble.MISSING


def test_a_manifest_that_is_known_is_not_sent_again(server: HostileServer) -> None:
    with opened(server) as source:
        for _ in range(4):
            assert source.donefile() is not None
    methods = [each.method for each in server.seen if each.path == TAG]
    assert methods == ["GET", "HEAD", "HEAD", "HEAD"]


def test_a_registry_that_tells_no_digest_is_asked_for_the_manifest(server: HostileServer) -> None:
    server.script(TAG, servers.fine(MANIFEST, media_type=MANIFEST_TYPE))
    with opened(server) as source:
        first, second = source.donefile(), source.donefile()
    assert first == second
    assert [each.method for each in server.seen] == ["GET", "HEAD", "GET"]


def test_a_manifest_of_another_digest_is_refused(server: HostileServer) -> None:
    server.script(TAG, manifest(MANIFEST, digest=f"sha256:{'0' * 64}"))
    with opened(server) as source:
        assert trouble(source.donefile) is Trouble.MALFORMED
    wanted = f"sha256:{'1' * 64}"
    server.script(f"/v2/models/ocr/manifests/{wanted}", manifest(MANIFEST))
    with opened(server, wanted=f"@{wanted}") as source:
        assert trouble(source.donefile) is Trouble.MALFORMED


@pytest.mark.parametrize(
    "answer",
    [
        servers.fine(b"<html>log in</html>", media_type="text/html"),
        servers.fine(b"{", media_type=MANIFEST_TYPE),
        servers.fine(b"[" * 100_000, media_type=MANIFEST_TYPE),
        servers.fine(b" " * (5 << 20), media_type=MANIFEST_TYPE),
        servers.fine(MANIFEST.replace(b'"size":300000', b'"size":-1'), media_type=MANIFEST_TYPE),
        servers.fine(MANIFEST.replace(b'"size":300000', b'"size":1e400'), media_type=MANIFEST_TYPE),
    ],
)
def test_what_is_no_manifest_is_refused(server: HostileServer, answer: Behaviour) -> None:
    server.script(TAG, answer)
    with opened(server) as source:
        assert trouble(source.donefile) is Trouble.MALFORMED
        assert trouble(source.model) is Trouble.MALFORMED


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (servers.fine(DATA + b"x"), Trouble.MALFORMED),
        (servers.fine(DATA[:-1]), Trouble.TRUNCATED),
        (servers.fine(b""), Trouble.TRUNCATED),
        (servers.truncate(DATA, 1000), Trouble.TRUNCATED),
        (servers.endless(), Trouble.MALFORMED),
        (servers.reset(DATA[:1000], announced=len(DATA)), Trouble.UNREACHABLE),
        (servers.status(206, {"Content-Range": "bytes 0-9/10"}, b"0" * 10), Trouble.TRUNCATED),
        (servers.status(206, {"Content-Range": "bytes 5-9/10"}, b"0" * 5), Trouble.MALFORMED),
    ],
)
def test_a_blob_of_another_length_never_passes(
    server: HostileServer, answer: Behaviour, kind: Trouble
) -> None:
    server.script(BLOB, answer)
    with opened(server) as source:
        assert trouble(lambda: read(source)) is kind


def test_a_blob_beyond_the_cap_is_not_asked_for(server: HostileServer) -> None:
    with opened(server, caps=Caps(bytes=1000)) as source:
        assert trouble(lambda: read(source)) is Trouble.TOO_LARGE
    assert server.count(BLOB) == 0


def test_what_broke_off_is_carried_on_with(server: HostileServer, tmp_path: Path) -> None:
    rest = DATA[200_000:]
    span = {"Content-Range": f"bytes 200000-299999/{len(DATA)}"}
    server.script(
        BLOB, servers.reset(DATA[:200_000], announced=len(DATA)), servers.status(206, span, rest)
    )
    with opened(server) as source:
        pulled = pull(source, tmp_path / "pull", effort=QUICK)
    assert contents(pulled) == {"": DATA}
    asked = [each.headers.get("range") for each in server.seen if each.path == BLOB]
    assert asked == [None, "bytes=200000-"]


def test_a_registry_without_ranges_starts_again(server: HostileServer) -> None:
    with opened(server) as source:
        assert read(source, 1000) == (0, DATA)


@pytest.mark.parametrize("path", [TAG, BLOB])
@pytest.mark.parametrize("behaviour", [servers.silence(), servers.dribble(DATA, 100, 0.01)])
def test_a_registry_that_is_silent_or_slow_is_given_up(
    server: HostileServer, path: str, behaviour: Behaviour
) -> None:
    server.script(path, behaviour)
    with opened(server, patience=HASTY) as source:
        assert trouble(lambda: read(source)) is Trouble.STALLED


def test_the_password_stays_with_the_registry(
    server: HostileServer, elsewhere: HostileServer, tmp_path: Path
) -> None:
    docker_config(tmp_path, server.host, "reader", "geheim")

    def led_away(exchange: Exchange) -> None:
        if exchange.headers.get("Authorization"):
            servers.redirect(f"{elsewhere.url}/there?signature=1")(exchange)
        else:
            servers.status(401, {"WWW-Authenticate": 'Basic realm="r"'})(exchange)

    server.script(BLOB, led_away)
    elsewhere.script("/there?signature=1", servers.fine(DATA))
    with opened(server, folder=tmp_path) as source:
        assert read(source) == (0, DATA)
        assert "geheim" not in source.name
        elsewhere.script("/there?signature=1", servers.status(403))
        with pytest.raises(SourceError) as caught:
            read(source)
    assert "signature" not in caught.value.message
    assert all("authorization" not in each.headers for each in elsewhere.seen)


def test_a_login_that_is_asked_for_at_every_turn_is_refused(server: HostileServer) -> None:
    server.script(TAG, servers.status(401, {"WWW-Authenticate": 'Bearer realm="file:///x"'}))
    with opened(server) as source:
        assert trouble(source.donefile) in {Trouble.REFUSED, Trouble.MALFORMED}
