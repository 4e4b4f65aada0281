"""An index that wants to know who asks: hps and the real uv get in, in each of the users' ways."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hps.config.schema import PythonSource, Sources
from hps.digest import Digest
from hps.errors import FetchError
from hps.lock.python import PythonRequest, Requirement
from hps.lock.uv import resolve
from hps.store.blobs import Store
from hps.store.fetch import Fetcher
from hps.store.http import Http
from hps.store.machine import Machine
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from hps.store.request import PythonOrigin, Request
from tests.lock.indexes import Index
from tests.servers import HostileServer, guarded, status
from tests.store.fetch_lab import PATIENT
from tests.store.test_keyring import Keyring

USER, PASSWORD = "ann", "pa:ss@w/rd"


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HostileServer]:
    """An index with one package, for one user."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Index() as index, HostileServer() as server:
        index.add_wheel("demo", "1.0")
        guard = partial(guarded, user=USER, password=PASSWORD)
        index.copy_to(server, guard)
        server.script("/simple/pip/", guard(status(404)))  # strangers see nothing at all
        yield server


def locked_and_fetched(url: str, folder: Path, environment: dict[str, str]) -> Store:
    """Resolve with uv and fetch what it chose, as `hps lock` does."""
    machine = Machine(
        environment=environment, home=folder / "home", prefix=folder / "venv", etc=folder / "etc"
    )
    origins = Origins(Sources(python={"default": PythonSource(url=url)}), machine=machine)
    network = origins.index_network()
    http = Http(PATIENT, network)
    index = PythonIndex("default", origins.python_indexes("default"), http)
    (wheel,) = resolve(
        PythonRequest(
            requirements=(Requirement("demo", "app.in"),),
            python_version="3.11",
            glibc=(2, 36),
            index_url=index.address(),
            network=network.environment(environment),
        )
    ).wheels
    store = Store(folder / "store")
    size = index.files("demo")[wheel.file].size
    assert size is not None
    wanted = Request(
        digest=Digest(wheel.sha256),
        size=size,
        file=wheel.file,
        origin=PythonOrigin(alias="default", project="demo"),
    )
    Fetcher(store, http, origins).fetch([wanted])
    assert store.has(wanted.digest)
    return store


def test_netrc(private: HostileServer, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    locked_and_fetched(f"{private.url}/simple", tmp_path, {"PATH": os.defpath})


def test_the_address(private: HostileServer, tmp_path: Path) -> None:
    url = f"http://ann:pa%3Ass%40w%2Frd@{private.host}/simple"
    locked_and_fetched(url, tmp_path, {"PATH": os.defpath})


@pytest.mark.parametrize("user", ["ann@", ""])
def test_the_keyring(private: HostileServer, tmp_path: Path, user: str) -> None:
    keyring = Keyring(tmp_path)
    keyring.know((USER, f"{private.url}/simple", PASSWORD))
    locked_and_fetched(f"http://{user}{private.host}/simple", tmp_path, keyring.environment)
    assert len(keyring.asked()) == 1
    assert not [word for words in keyring.asked() for word in words if PASSWORD in word]


def test_nobody(private: HostileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        locked_and_fetched(f"http://ann:wrong@{private.host}/simple", tmp_path, {})
    assert "wrong" not in str(caught.value)
