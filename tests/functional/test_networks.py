"""One lock behind the networks that users have: proxies, caches and mirrors, all of them real."""

import contextlib
import json
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hps.build.workbench import artifacts
from hps.oci.reference import Reference
from hps.oci.registry_client import RegistryClient
from tests.build.base_lab import BaseImage, BaseLaboratory, push
from tests.build.laboratory import Laboratory, copy_store
from tests.lock.indexes import Archive
from tests.network_servers import apt_cacher, free_port, index_mirror, squid, tinyproxy
from tests.oci.registry_server import Authority, RegistryServer
from tests.servers import HostileServer, fine, status

pytestmark = pytest.mark.network

USERS = {"ann": "p:a@s/s %"}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that servers which are no root can reach."""
    with tempfile.TemporaryDirectory(prefix="hps-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def afresh(lab: Laboratory, place: Path, **environment: str | None) -> Laboratory:
    """The same project and lock on another machine, with nothing in its store."""
    number = len(list(place.glob("project-of-*")))
    store = place / f"store{number}"
    project = place / f"project-of-{store.name}"
    shutil.copytree(lab.folder, project, ignore=shutil.ignore_patterns(".hps"))
    merged = {**lab.environment, **environment, "HPS_STORE": str(store)}
    merged["UV_CACHE_DIR"] = str(place / f"uv-of-{store.name}")
    merged["HOME"] = str(place / f"home-of-{store.name}")
    known = {name: value for name, value in merged.items() if value is not None}
    return replace(lab, folder=project, store=store, environment=known)


def keep_layers(lab: Laboratory, source: Laboratory) -> None:
    """Give a new store what was made in another one, and none of what was fetched."""
    copy_store(source.store, lab.store)
    fetched = {one.digest for one in artifacts(source.target)}
    for digest in fetched:
        lab.blob(digest).unlink(missing_ok=True)


def apt_settings(place: Path, text: str) -> str:
    path = place / "apt.conf"
    path.write_text(text)
    return str(path)


def fetched(lab: Laboratory, place: Path, code: int = 0) -> str:
    """Bring all artifacts of the lock into an empty store, and no more; gives what was told."""
    return lab.run("store", "export", str(place / f"{lab.store.name}.tar"), code=code).err


@pytest.mark.slow
def test_through_an_apt_proxy_and_a_mirror_of_the_index(
    lab: Laboratory, debian_archive: Archive, place: Path
) -> None:
    """apt-cacher-ng and nginx; locking and building give the same bytes as without them."""
    image, lock = lab.image(), lab.lock_path.read_bytes()
    with (
        HostileServer(port=free_port(), like=debian_archive.server) as archive,
        apt_cacher(place / "acng") as proxy,
        index_mirror(place / "ng", lab.index.server.url) as ng,
    ):
        conf = apt_settings(place, f'Acquire::http::Proxy "{proxy.url}";\n')
        debian: dict[str, str | None] = {"HPS_DEBIAN_OS": f"{archive.url}/debian"}
        settings = {**debian, "APT_CONFIG": conf, "HPS_INDEX_DEFAULT": f"{ng.url}/simple"}
        one = afresh(lab, place, **settings)
        keep_layers(one, lab)
        one.lock_path.unlink()
        one.run("lock")
        assert one.lock_path.read_bytes() == lock
        assert one.run("build", "--frozen").out == f"{image} cpu\n"
        fetched(one, place)
        assert "dash_" in proxy.logged()
        assert "/simple/app/" in ng.logged()
        # Both keep what they have seen: the next machine needs neither archive nor index.
        with down(lab.index.server, archive):
            fetched(afresh(lab, place, **settings), place)
            missing = fetched(afresh(lab, place, **debian), place, code=4)
    assert "503" in missing


@contextlib.contextmanager
def down(*servers: HostileServer) -> Iterator[None]:
    """The servers answer 503 to whatever they are asked."""
    for server in servers:
        server.answer_all(status(503))
    try:
        yield
    finally:
        for server in servers:
            server.answer_all(None)


@pytest.mark.parametrize("program", [pytest.param("squid", marks=pytest.mark.slow), "tinyproxy"])
def test_through_a_proxy_that_wants_to_know_who_asks(
    lab: Laboratory, place: Path, program: str
) -> None:
    start = squid if program == "squid" else tinyproxy
    users = USERS if program == "squid" else {"ann": "secret"}
    (name, password), *_ = users.items()
    with start(place / program, users) as proxy:
        one = afresh(lab, place, http_proxy=proxy.url_for(name, password))
        if program == "squid":  # apt, uv and hps itself
            one.lock_path.unlink()
            one.run("lock")
            assert one.lock_path.read_bytes() == lab.lock_path.read_bytes()
            assert one.run("build", "--frozen").out == f"{lab.image()} cpu\n"
        else:
            fetched(one, place)
        for server in (lab.index.url, lab.environment["HPS_DEBIAN_OS"]):
            assert server.split("/")[2] in proxy.logged()
        before = proxy.logged().count("407") if program == "squid" else 0
        refused = afresh(lab, place, http_proxy=proxy.url)
        told = fetched(refused, place, code=4)
        assert "407" in told
        assert "HTTPS_PROXY" in told or "proxy" in told
        wrong = afresh(lab, place, http_proxy=proxy.url_for(name, "wrong"))
        assert "wrong" not in fetched(wrong, place, code=4)
        assert program != "squid" or proxy.logged().count("407") > before


def test_the_proxy_of_pip_and_that_of_apt(lab: Laboratory, place: Path) -> None:
    """Each is used for its own kind of artifact, and `no_proxy` of others does not matter."""
    with squid(place / "pip", USERS) as for_pip, squid(place / "apt", USERS) as for_apt:
        (name, password), *_ = USERS.items()
        conf = apt_settings(place, f'Acquire::http::Proxy "{for_apt.url_for(name, password)}";\n')
        one = afresh(
            lab, place, PIP_PROXY=for_pip.url_for(name, password), APT_CONFIG=conf, no_proxy="*"
        )
        fetched(one, place)
        index, archive = lab.index.server.host, lab.environment["HPS_DEBIAN_OS"].split("/")[2]
        assert index in for_pip.logged()
        assert archive not in for_pip.logged()
        assert archive in for_apt.logged()
        assert index not in for_apt.logged()


@pytest.mark.slow
def test_an_index_with_an_authority_of_its_own_behind_a_proxy(lab: Laboratory, place: Path) -> None:
    """CONNECT through squid; uv and hps are told of the certificate in the way of pip."""
    authority = Authority.make(place)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with HostileServer(tls=context) as index, squid(place / "squid", USERS) as proxy:
        lab.index.copy_to(index)
        (name, password), *_ = USERS.items()
        settings: dict[str, str | None] = {
            "HPS_INDEX_DEFAULT": f"{index.url}/simple",
            "https_proxy": proxy.url_for(name, password),
        }
        assert "TLS failed" in fetched(afresh(lab, place, **settings), place, code=4)
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
            known = afresh(lab, place, **settings, **{variable: str(authority.path)})
            fetched(known, place)
        shutil.rmtree(known.store)
        keep_layers(known, lab)
        known.lock_path.unlink()  # the last one: pip's own setting
        known.run("lock")
        assert known.lock_path.read_bytes() == lab.lock_path.read_bytes()
        assert f"CONNECT {index.host}" in proxy.logged()


def test_a_dead_index_and_one_that_lies(lab: Laboratory, place: Path) -> None:
    with HostileServer() as gone:
        nobody = f"{gone.url}/simple"
    one = afresh(lab, place, HPS_INDEX_DEFAULT=f"{nobody} {lab.index.url}")
    keep_layers(one, lab)
    one.lock_path.unlink()
    one.run("lock")
    assert one.lock_path.read_bytes() == lab.lock_path.read_bytes()
    with HostileServer() as liar:
        lab.index.copy_to(liar)
        wheel = next(each for each in lab.target.wheels if each.name == "base")
        liar.script(f"/files/{wheel.file}", fine(b"!" * wheel.size))
        told = fetched(
            afresh(lab, place, HPS_INDEX_DEFAULT=f"{liar.url}/simple {lab.index.url}"),
            place,
            code=5,
        )
    assert "error[integrity]" in told
    assert f"{liar.url}/files/{wheel.file}" in told


# --- registries ----------------------------------------------------------------------------------


def docker_mirrors(lab: Laboratory, *mirrors: str) -> None:
    """Settings of a rootless engine: its mirrors, for its default registry."""
    path = Path(lab.environment["HOME"]) / ".config/docker/daemon.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"registry-mirrors": list(mirrors)}))


def client_of(host: str, repository: str) -> RegistryClient:
    """A client of a registry that lets anybody in."""
    return RegistryClient(Reference(host, repository), environment={}, home=Path("/nonexistent"))


NO_REGISTRY: dict[str, str | None] = {"HPS_REGISTRY_HUB": None, "HPS_REGISTRY_CA": None}


@pytest.mark.slow
def test_a_base_image_through_a_pull_through_cache(
    base_lab: BaseLaboratory, base_image: BaseImage, place: Path
) -> None:
    """Docker's mirrors are honoured; a dead one gives way, one that lies is named."""
    with contextlib.ExitStack() as stack:
        with RegistryServer.start(place / "upstream") as upstream:
            with client_of(upstream.host, "team/os") as registry:
                push(registry, base_image, "1")
            mirror = stack.enter_context(
                RegistryServer.start(place / "mirror", remote=f"http://{upstream.host}")
            )
            one = afresh(base_lab, place, **NO_REGISTRY)
            docker_mirrors(one, f"http://{mirror.host}")
            assert one.run("build", "--frozen").out == f"{base_lab.image()} cpu\n"
            gone = f"http://{upstream.host}"
        # The registry itself is down, and stands before its mirror.
        two = afresh(base_lab, place, **NO_REGISTRY)
        docker_mirrors(two, gone, f"http://{mirror.host}")
        fetched(two, place)
        layer = max(base_image.layers, key=lambda each: len(each.data))
        hexadecimal = layer.descriptor["digest"].removeprefix("sha256:")
        mirror.blob_path(hexadecimal).write_bytes(b"!" + layer.data[1:])
        three = afresh(base_lab, place, **NO_REGISTRY)
        docker_mirrors(three, f"http://{mirror.host}", gone)
        told = fetched(three, place, code=5)
    assert f"{mirror.host}/team/os (named by" in told
    assert "daemon.json" in told
    assert hexadecimal in told


def test_a_base_image_by_the_settings_of_podman(
    base_lab: BaseLaboratory, base_image: BaseImage, place: Path
) -> None:
    """A mirror of a registry that hps.toml names, below another name, as in registries.conf."""
    with RegistryServer.start(place / "mirror") as mirror:
        with client_of(mirror.host, "proxied/team/os") as registry:
            push(registry, base_image, "1")
        conf = place / "registries.conf"
        conf.write_text(
            '[[registry]]\nprefix = "reg.example.org"\nlocation = "reg.example.org"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}/proxied"\n'
        )
        settings = {
            **NO_REGISTRY,
            "HPS_REGISTRY_HUB": "https://reg.example.org",
            "CONTAINERS_REGISTRIES_CONF": str(conf),
        }
        one = afresh(base_lab, place, **settings)
        fetched(one, place)
        assert one.run("lock", "--check").code == 0
