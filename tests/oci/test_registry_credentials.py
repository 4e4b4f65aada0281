"""Credentials as Docker and Podman keep them."""

import base64
import json
from pathlib import Path

import pytest

from hps.errors import FetchError
from hps.oci.reference import Reference
from hps.oci.registry_auth import Credentials
from hps.oci.registry_credentials import find_credentials

REFERENCE = Reference.parse("r.example:5000/ns/app:1")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Home:
    """A home with a config.json, and a folder of programs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.programs = path / "bin"
        self.programs.mkdir()

    def write(self, config: object) -> Path:
        path = self.path / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    def helper(self, name: str, script: str) -> None:
        path = self.programs / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def find(
        self, reference: Reference = REFERENCE, seconds: float = 30.0, **environment: str
    ) -> Credentials | None:
        environment.setdefault("PATH", f"{self.programs}:/usr/bin:/bin")
        return find_credentials(reference, environment, self.path, helper_seconds=seconds)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_a_file_there_is_nobody(home: Home) -> None:
    assert home.find() is None
    assert home.find(DOCKER_CONFIG=str(home.path / "none")) is None
    home.write("")
    assert home.find() is None
    home.write({"auths": {"r.example:5000": {}, "other.example": {"auth": encoded("a:b")}}})
    assert home.find() is None


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"auth": encoded("u:p:w ü")}, Credentials("u", "p:w ü")),
        ({"auth": encoded("u:p\0\0")}, Credentials("u", "p")),
        ({"username": "u", "password": "p"}, Credentials("u", "p")),
        ({"auth": "", "identitytoken": "i"}, Credentials(identity_token="i")),
        ({"registrytoken": "r"}, Credentials(registry_token="r")),
    ],
)
def test_entries_are_read(home: Home, entry: dict[str, str], found: Credentials) -> None:
    home.write({"auths": {"r.example:5000": entry}})
    assert home.find() == found


@pytest.mark.parametrize(
    "key", ["https://r.example:5000/v1/", "http://r.example:5000", "https://r.example:5000/v2"]
)
def test_old_keys_are_understood(home: Home, key: str) -> None:
    home.write({"auths": {key: {"auth": encoded("u:p")}}})
    assert home.find() == Credentials("u", "p")


def test_the_most_specific_key_wins_and_other_hosts_never(home: Home) -> None:
    names = ["r.example:5000", "r.example:5000/ns", "r.example:5000/ns/app", "r.example:5000/n"]
    home.write({"auths": {name: {"auth": encoded(f"u:{name}")} for name in names}})
    assert home.find() == Credentials("u", "r.example:5000/ns/app")
    assert home.find(Reference.parse("r.example:5000/ns/x")) == Credentials(
        "u", "r.example:5000/ns"
    )
    assert home.find(Reference.parse("r.example:5000/x")) == Credentials("u", "r.example:5000")
    for other in ("r.example/ns/app", "r.example:500/ns/app", "x.r.example:5000/ns/app"):
        assert home.find(Reference.parse(other)) is None


def test_the_file_is_chosen_by_the_environment(home: Home, tmp_path: Path) -> None:
    home.write({"auths": {"r.example:5000": {"auth": encoded("home:p")}}})
    for name in ("docker", "podman"):
        (tmp_path / name).mkdir()
        config = {"auths": {"r.example:5000": {"auth": encoded(f"{name}:p")}}}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    docker, podman = str(tmp_path / "docker"), str(tmp_path / "podman" / "config.json")
    assert home.find() == Credentials("home", "p")
    assert home.find(DOCKER_CONFIG=docker) == Credentials("docker", "p")
    assert home.find(DOCKER_CONFIG=docker, REGISTRY_AUTH_FILE=podman) == Credentials("podman", "p")
    with pytest.raises(FetchError, match="there is no such file"):
        home.find(REGISTRY_AUTH_FILE=str(tmp_path / "none"))


@pytest.mark.parametrize(
    "config",
    [
        "{", "[]", '"x"', "[" * 100_000, '{"auths":[1]}', '{"auths":{"r.example:5000":"x"}}',
        '{"auths":{"r.example:5000":{"auth":7}}}', '{"auths":{"r.example:5000":{"auth":"c2VjcmV0"}}}',
        '{"auths":{"r.example:5000":{"auth":"%%secret"}}}', '{"auths":{"r.example:5000":{"auth":"/w=="}}}',
        '{"credHelpers":{"r.example:5000":"../evil"}}', '{"credHelpers":{"r.example:5000":{"a":1}}}',
        '{"credsStore":"a b"}', '{"credHelpers":7}', " " * (1 << 20) + "{}",
    ],
)  # fmt: skip
def test_a_broken_file_is_named_and_its_secrets_are_not(home: Home, config: str) -> None:
    path = home.write(config)
    with pytest.raises(FetchError) as caught:
        home.find()
    assert str(path) in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_folder_in_place_of_the_file_is_named(home: Home) -> None:
    (home.path / ".docker" / "config.json").mkdir(parents=True)
    with pytest.raises(FetchError, match="Is a directory"):
        home.find()


# --- helpers -----------------------------------------------------------------------------------

ANSWER = (
    """read host; printf '{"ServerURL":"%s","Username":"u","Secret":"of %s"}' "$host" "$host" """
)


def test_a_helper_is_asked_for_the_host(home: Home) -> None:
    home.helper("mine", '[ "$*" = get ] || exit 3\n' + ANSWER)
    auths = {"r.example:5000": {"auth": encoded("old:old")}}
    home.write({"credHelpers": {"r.example:5000": "mine"}, "auths": auths, "credsStore": "none"})
    assert home.find() == Credentials("u", "of r.example:5000")
    home.write({"credsStore": "mine"})
    assert home.find() == Credentials("u", "of r.example:5000")


def test_a_helper_may_keep_an_identity_token(home: Home) -> None:
    home.helper("mine", """printf '{"Username":"<token>","Secret":"i"}'""")
    home.write({"credsStore": "mine"})
    assert home.find() == Credentials(identity_token="i")


def test_a_helper_that_has_nothing_says_so(home: Home) -> None:
    home.helper("mine", "echo credentials not found in native keychain; exit 1")
    auths = {"r.example:5000": {"auth": encoded("u:p")}}
    home.write({"credsStore": "mine", "auths": auths})
    assert home.find() == Credentials("u", "p")
    home.write({"credHelpers": {"r.example:5000": "mine"}, "auths": auths})
    assert home.find() is None  # the helper is the authority for this host


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo secret >&2; exit 7", "exit status 7"),
        ("echo '<html>secret'", "answered something unknown"),
        ("""echo '{"Username":"secret"}'""", "answered something unknown"),
        ("""echo '["secret"]'""", "answered something unknown"),
        ("exec sleep 600", "gave nothing within 0.2 s"),
    ],
)
def test_a_helper_that_fails_is_named_and_its_secrets_are_not(
    home: Home, script: str, told: str
) -> None:
    home.helper("mine", script)
    home.write({"credsStore": "mine"})
    with pytest.raises(FetchError) as caught:
        home.find(seconds=0.2 if "sleep" in script else 30.0)
    assert "docker-credential-mine for r.example:5000" in caught.value.message
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_helper_that_is_not_installed_is_named(home: Home) -> None:
    home.write({"credsStore": "none"})
    with pytest.raises(FetchError, match=r"docker-credential-none .* cannot be started"):
        home.find()
