"""Passwords from `keyring`: when it is asked, how, and where its answer goes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hps.config.schema import PythonSource, Sources
from hps.errors import FetchError
from hps.store.http import Http
from hps.store.keyring import KeyringProgram, find_keyring
from hps.store.machine import Machine
from hps.store.network import Network
from hps.store.origins import Origins
from hps.store.python_index import PythonIndex
from hps.store.request import PythonOrigin
from tests.servers import HostileServer, fine, guarded, redirect
from tests.store.fetch_lab import PATIENT

SECRET = "pass word/@:%~"
PAGE = b'<a href="/files/demo-1.0.tar.gz">demo</a>'
# Speaks as keyring(1) does, and writes down what it was asked.
PROGRAM = """#!/usr/bin/env python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/asked", "a") as log:
    log.write(json.dumps([sys.argv[1:], sorted(os.environ)]) + "\\n")
with open(here + "/passwords") as file:
    known = json.load(file)
if sys.argv[1] == "get":
    service, user = sys.argv[2:]
    if [user, service] not in [each[:2] for each in known]:
        sys.exit(1)
    print(next(each[2] for each in known if each[:2] == [user, service]))
else:
    found = [each for each in known if each[1] == sys.argv[6]]
    if sys.argv[1:6] != ["--mode", "creds", "--output", "json", "get"] or not found:
        sys.exit(1)
    print(json.dumps({"username": found[0][0], "password": found[0][2]}))
"""


class Keyring:
    """A folder with a program `keyring` that knows what a test tells it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        program = self.folder / "keyring"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.know()

    def know(self, *passwords: tuple[str, str, str]) -> None:
        """User, service, password."""
        (self.folder / "passwords").write_text(json.dumps(passwords))

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}"}

    def asked(self) -> list[list[str]]:
        log = self.folder / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)[0] for line in lines]

    def seen(self) -> set[str]:
        """Names of variables that the program saw."""
        lines = (self.folder / "asked").read_text().splitlines()
        return {name for line in lines for name in json.loads(line)[1]}


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path)


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        for path in ("/simple/demo/", "/simple/pip/", "/files/demo-1.0.tar.gz"):
            running.script(path, guarded(fine(PAGE, media_type="text/html"), "ann", SECRET))
        yield running


def origins(keyring: Keyring, url: str, folder: Path, **environment: str) -> Origins:
    here = Machine(
        environment={**keyring.environment, **environment},
        home=folder / "home",
        prefix=folder / "venv",
        etc=folder / "etc",
    )
    return Origins(Sources(python={"default": PythonSource(url=url)}), machine=here)


def index(made: Origins) -> PythonIndex:
    network = made.index_network()
    return PythonIndex("default", made.python_indexes("default"), Http(PATIENT, network))


def test_the_keyring_is_asked_when_the_index_wants_to_know(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    service = f"{server.url}/simple"
    keyring.know(("ann", service, SECRET))
    url = service.replace("http://", "http://ann@")
    made = index(origins(keyring, url, tmp_path, HPS_KEY_PIN="1234", HPS_INDEX_OTHER="x"))
    assert list(made.files("demo")) == ["demo-1.0.tar.gz"]
    place = made.place(PythonOrigin(alias="default", project="demo"), "demo-1.0.tar.gz")
    assert SECRET not in str(place)
    assert keyring.asked() == [["get", service, "ann"]]  # once, and no secret among arguments
    assert not {name for name in keyring.seen() if name.startswith("HPS_")}
    assert [("authorization" in each.headers) for each in server.seen] == [False, True]


def test_the_host_is_asked_for_after_the_index(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    keyring.know(("ann", server.host, SECRET))
    url = f"http://ann@{server.host}/simple"
    assert index(origins(keyring, url, tmp_path)).files("demo")
    assert keyring.asked() == [["get", f"{server.url}/simple", "ann"], ["get", server.host, "ann"]]


def test_the_keyring_may_know_the_user_too(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    keyring.know(("ann", f"{server.url}/simple", SECRET))
    assert index(origins(keyring, f"{server.url}/simple", tmp_path)).files("demo")


def test_a_resolver_gets_the_credentials_with_the_address(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    keyring.know(("ann", f"{server.url}/simple", SECRET))
    url = f"http://ann@{server.host}/simple"
    found = index(origins(keyring, url, tmp_path)).address()
    assert found == f"http://ann:pass%20word%2F%40%3A%25~@{server.host}/simple"


def test_an_open_index_never_meets_the_keyring(keyring: Keyring, tmp_path: Path) -> None:
    with HostileServer() as open_to_all:
        open_to_all.script("/simple/demo/", fine(PAGE, media_type="text/html"))
        assert index(origins(keyring, f"{open_to_all.url}/simple", tmp_path)).files("demo")
    assert keyring.asked() == []


def test_a_password_that_is_wrong_is_not_tried_twice(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    keyring.know(("ann", f"{server.url}/simple", "old"))
    made = index(origins(keyring, f"http://ann@{server.host}/simple", tmp_path))
    for _ in range(2):
        with pytest.raises(FetchError, match="401") as caught:
            made.files("demo")
        assert "old" not in str(caught.value)
    assert len(keyring.asked()) == 1


def test_a_password_of_the_address_wins(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="401"):
        index(origins(keyring, f"http://ann:x@{server.host}/simple", tmp_path)).files("demo")
    assert keyring.asked() == []


def test_a_redirect_cannot_ask_for_passwords(
    keyring: Keyring, server: HostileServer, tmp_path: Path
) -> None:
    keyring.know(("ann", server.host, SECRET))
    with HostileServer() as stranger:
        stranger.script("/simple/demo/", redirect(f"{server.url}/simple/demo/"))
        with pytest.raises(FetchError, match="401"):
            index(origins(keyring, f"http://ann@{stranger.host}/simple", tmp_path)).files("demo")
    assert keyring.asked() == []


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("PIP_KEYRING_PROVIDER", "disabled"),
        ("UV_KEYRING_PROVIDER", "disabled"),
        ("pip/pip.conf", "[global]\nkeyring-provider = disabled\n"),
        ("uv/uv.toml", '[pip]\nkeyring-provider = "disabled"\n'),
    ],
)
def test_the_keyring_can_be_switched_off(
    keyring: Keyring, server: HostileServer, tmp_path: Path, place: str, text: str
) -> None:
    extra = {}
    if "/" in place:
        path = tmp_path / "home/.config" / place
        path.parent.mkdir(parents=True)
        path.write_text(text)
    else:
        extra[place] = text
    made = origins(keyring, f"http://ann@{server.host}/simple", tmp_path, **extra)
    assert made.index_network().keyring is None
    with pytest.raises(FetchError, match="401"):
        index(made).files("demo")
    assert keyring.asked() == []


@pytest.mark.parametrize(
    "program",
    [
        "#!/bin/sh\nexit 3\n",
        "#!/bin/sh\nprintf '\\377\\376'\n",
        "#!/nonexistent\n",
        "#!/bin/sh\necho '{'\n",
        "#!/bin/sh\necho '[[[['\n",
        '#!/bin/sh\necho \'{"username": 1, "password": null}\'\n',
    ],
)
def test_a_keyring_that_fails_knows_nothing(tmp_path: Path, program: str) -> None:
    path = tmp_path / "keyring"
    path.write_text(program)
    path.chmod(0o755)
    asked = KeyringProgram(str(path), dict(os.environ))
    assert asked.credentials("https://index.example.org/simple") is None


def test_no_program_no_keyring(tmp_path: Path) -> None:
    assert find_keyring(None, {"PATH": str(tmp_path)}) is None
    assert Network().keyring is None
