"""The registries of base images: several addresses, one answer for a tag, blobs for the fetcher."""

from pathlib import Path

import pytest

from hps.build.base_registry import BaseRegistries
from hps.config.schema import Sources
from hps.digest import Blob, Digest
from hps.errors import FetchError, IntegrityError
from hps.lock.base_image import BaseName
from hps.store.cancellation import Cancellation, Cancelled
from hps.store.machine import Machine
from hps.store.origins import Origins
from hps.store.request import RegistryOrigin
from tests import servers
from tests.build.base_lab import BaseImage, Packed
from tests.build.test_base_resolve import IMAGE, NAME, PATH, serve
from tests.oci.registry_lab import HASTY, PATIENT, elsewhere, server
from tests.servers import HostileServer

__all__ = ["elsewhere", "server"]
ORIGIN = RegistryOrigin(alias="hub", repository="team/app")


def registries(tmp_path: Path, *servers: HostileServer, hasty: bool = False) -> BaseRegistries:
    """A machine that knows these addresses, best first, and nothing else."""
    addresses = " ".join(f"http://{one.host}" for one in servers)
    environment = {"HPS_REGISTRY_HUB": addresses, "DOCKER_CONFIG": str(tmp_path)}
    machine = Machine(environment=environment, home=tmp_path, prefix=tmp_path, etc=tmp_path / "etc")
    origins = Origins(Sources(), machine=machine)
    deadlines = HASTY if hasty else PATIENT
    return BaseRegistries(origins, environment, home=tmp_path, deadlines=deadlines)


@pytest.fixture
def gone() -> HostileServer:
    """A server that is no more."""
    with HostileServer() as one:
        pass
    return one


def received(made: BaseRegistries, data: bytes, work: Cancellation | None = None) -> bytes:
    taken: list[bytes] = []
    blob = Blob(Digest.of(data), len(data))
    made.receive(ORIGIN, blob, taken.append, taken.clear, work or Cancellation())
    return b"".join(taken)


def test_a_dead_address_gives_way(
    tmp_path: Path, gone: HostileServer, server: HostileServer
) -> None:
    serve(server, IMAGE)
    made = registries(tmp_path, gone, server)
    base, _ = made.resolve(NAME, "linux/amd64")
    assert base.manifest == IMAGE.manifest.digest.hex
    assert received(made, IMAGE.layers[0].data) == IMAGE.layers[0].data


def test_an_address_that_lacks_it_gives_way(
    tmp_path: Path, server: HostileServer, elsewhere: HostileServer
) -> None:
    serve(elsewhere, IMAGE)
    made = registries(tmp_path, server, elsewhere)
    assert made.resolve(NAME, "linux/amd64")[0].index == IMAGE.index().digest.hex
    assert received(made, IMAGE.config) == IMAGE.config


def test_a_lying_address_is_named(
    tmp_path: Path, server: HostileServer, elsewhere: HostileServer
) -> None:
    serve(elsewhere, IMAGE)
    data = IMAGE.layers[0].data
    server.script(f"{PATH}/blobs/{Digest.of(data)}", servers.fine(bytes(len(data))))
    with pytest.raises(IntegrityError, match=server.host):
        received(registries(tmp_path, server, elsewhere), data)


def test_nobody_has_it(tmp_path: Path, server: HostileServer, elsewhere: HostileServer) -> None:
    with pytest.raises(FetchError) as caught:
        registries(tmp_path, server, elsewhere).resolve(NAME, "linux/amd64")
    assert len(caught.value.details) == 2


def test_a_tag_is_asked_once_for_all_platforms(tmp_path: Path, server: HostileServer) -> None:
    """It may move between two platforms of one target."""
    arm = BaseImage((Packed.of(b"arm"),), architecture="arm64")
    index = IMAGE.index(arm)
    serve(server, arm, tag="unused")
    serve(server, IMAGE)
    moved = servers.fine(IMAGE.manifest.data, media_type=IMAGE.manifest.media_type)
    first = servers.fine(index.data, media_type=index.media_type)
    server.script(f"{PATH}/manifests/1.0", first, moved)
    server.script(f"{PATH}/manifests/{index.digest}", first)
    made = registries(tmp_path, server)
    found = [made.resolve(NAME, one)[0] for one in ("linux/amd64", "linux/arm64")]
    assert {one.index for one in found} == {index.digest.hex}
    assert {one.tag for one in found} == {"1.0"}
    assert found[1].manifest == arm.manifest.digest.hex


def test_what_a_tag_names_today(tmp_path: Path, server: HostileServer) -> None:
    serve(server, IMAGE)
    assert registries(tmp_path, server).names(NAME) == IMAGE.index().digest


def test_what_is_called_off_ends(tmp_path: Path, server: HostileServer) -> None:
    work = Cancellation()
    work.cancel()
    serve(server, IMAGE)
    with pytest.raises(Cancelled):
        received(registries(tmp_path, server), IMAGE.config, work)


def test_a_silent_registry_is_given_up(tmp_path: Path, server: HostileServer) -> None:
    server.script(f"{PATH}/manifests/1.0", servers.silence())
    with pytest.raises(FetchError):
        registries(tmp_path, server, hasty=True).resolve(
            BaseName("hub", "team/app", "1.0"), "linux/amd64"
        )
