"""Where registries live, on machines made of files in a temporary folder."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hps.config.schema import RegistrySource
from hps.errors import FetchError
from hps.store.machine import Machine
from hps.store.registry_address import Endpoint
from hps.store.registry_origins import (
    DefaultRegistry,
    RegistryOrigins,
    ask_docker,
    parse_info,
)

HUB = DefaultRegistry(
    Endpoint("index.hub.example.org", scheme="https"), ("hub.example.org", "index.hub.example.org")
)


class Laboratory:
    """A machine whose settings a test writes."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.home = folder / "home"
        self.environment: dict[str, str] = {}
        self.default: DefaultRegistry | None = None

    def write(self, path: str, text: str) -> Path:
        file = self.etc / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def daemon(self, **settings: object) -> None:
        self.write("docker/daemon.json", json.dumps(settings))

    def origins(self, **sources: Mapping[str, object]) -> RegistryOrigins:
        machine = Machine(environment=self.environment, home=self.home, etc=self.etc)
        parsed = {name: RegistrySource.model_validate(each) for name, each in sources.items()}
        return RegistryOrigins(parsed, machine, lambda _: self.default)

    def asked(self, **source: object) -> list[str]:
        """ROOT/NAME of each place, in order."""
        found = self.origins(hub=source).addresses("hub", "team/app")
        return [f"{each.root}/{each.repository}" for each in found]


@pytest.fixture
def machine(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path)


def test_an_address_of_hps_toml(machine: Laboratory) -> None:
    assert machine.asked(address="https://reg.example.org") == [
        "https://reg.example.org/v2/team/app"
    ]
    assert machine.asked(address="reg.example.org/proxy/hub/") == [
        "https://reg.example.org/v2/proxy/hub/team/app"
    ]
    assert machine.asked(address="http://127.0.0.1:5000/v2/hub") == [
        "http://127.0.0.1:5000/v2/hub/team/app"
    ]


def test_the_environment_wins_and_fallbacks_follow(machine: Laboratory) -> None:
    source = {"address": "reg.example.org", "fallbacks": ["https://two.example.org/copy"]}
    both = ["https://reg.example.org/v2/team/app", "https://two.example.org/v2/copy/team/app"]
    assert machine.asked(**source) == both
    machine.environment["HPS_REGISTRY_HUB"] = "one.example.org  http://two.example.org:5000"
    assert machine.asked(**source) == [
        "https://one.example.org/v2/team/app",
        "http://two.example.org:5000/v2/team/app",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@reg.example.org",
        "ftp://reg.example.org",
        "https://",
        "reg!example.org",
        "reg.example.org/../other",
        "reg.example.org?x=1",
        "reg.example.org:99999",
        "x" * 3000,
    ],
)
def test_what_is_no_address_is_named_without_its_secret(machine: Laboratory, text: str) -> None:
    machine.environment["HPS_REGISTRY_HUB"] = text
    with pytest.raises(FetchError, match="HPS_REGISTRY_HUB") as caught:
        machine.asked()
    assert "secret" not in str(caught.value)


def test_nobody_says(machine: Laboratory) -> None:
    with pytest.raises(FetchError, match=r"where is the registry of \[sources.registries.hub\]"):
        machine.asked()


# --- Docker --------------------------------------------------------------------------------------


def test_docker_mirrors_are_those_of_its_default_registry(machine: Laboratory) -> None:
    machine.daemon(**{"registry-mirrors": ["https://m.example.org/", "http://127.0.0.1:5000"]})
    mirrors = ["https://m.example.org/v2/team/app", "http://127.0.0.1:5000/v2/team/app"]
    assert machine.asked() == mirrors
    machine.default = HUB
    assert machine.asked() == [*mirrors, "https://index.hub.example.org/v2/team/app"]
    assert machine.asked(address="hub.example.org") == [
        *mirrors,
        "https://hub.example.org/v2/team/app",
    ]
    assert machine.asked(address="other.example.org") == ["https://other.example.org/v2/team/app"]


def test_docker_says_which_hosts_may_do_without_tls(machine: Laboratory) -> None:
    machine.daemon(**{"insecure-registries": ["reg.example.org:5000", "10.1.0.0/16"]})
    fallbacks = ["10.1.2.3:5000", "10.2.0.1", "reg.example.org", "name.example.org"]
    origins = machine.origins(hub={"address": "reg.example.org:5000", "fallbacks": fallbacks})
    found = {each.host: each.insecure for each in origins.addresses("hub", "app")}
    assert found == {
        "reg.example.org:5000": True,
        "10.1.2.3:5000": True,
        "10.2.0.1": False,
        "reg.example.org": False,
        "name.example.org": False,
    }


def test_a_rootless_engine_has_settings_of_its_own(machine: Laboratory) -> None:
    machine.daemon(**{"registry-mirrors": ["https://m.example.org"]})
    own = machine.home / ".config" / "docker" / "daemon.json"
    own.parent.mkdir(parents=True)
    own.write_text('{"registry-mirrors": ["https://own.example.org"]}')
    assert machine.asked() == ["https://own.example.org/v2/team/app"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"registry-mirrors": "https://m.example.org"}',
        '{"registry-mirrors": ["m.example.org"]}',
        '{"registry-mirrors": ["https://user:secret@m.example.org"]}',
        '{"insecure-registries": [1]}',
        '{"registry-mirrors": ["file:///etc/passwd"]}',
        "[" * 100_000,
    ],
)
def test_broken_settings_of_docker_are_named(machine: Laboratory, text: str) -> None:
    path = machine.write("docker/daemon.json", text)
    with pytest.raises(FetchError) as caught:
        machine.asked(address="reg.example.org")
    assert str(path) in caught.value.message
    assert "secret" not in str(caught.value)


def test_authorities_of_docker_and_podman_are_trusted_for_their_host(machine: Laboratory) -> None:
    for tool in ("docker", "containers"):
        machine.write(f"{tool}/certs.d/reg.example.org:5000/ca.crt", "PEM")
        machine.write(f"{tool}/certs.d/reg.example.org:5000/client.key", "PEM")
    source = {"address": "reg.example.org:5000", "fallbacks": ["reg.example.org"]}
    one, other = machine.origins(hub=source).addresses("hub", "app")
    assert one.authorities == tuple(
        str(machine.etc / tool / "certs.d/reg.example.org:5000/ca.crt")
        for tool in ("docker", "containers")
    )
    assert other.authorities == ()


def test_what_docker_says_about_itself() -> None:
    info = {
        "IndexServerAddress": "https://index.hub.example.org/v1/",
        "RegistryConfig": {
            "IndexConfigs": {
                "hub.example.org": {"Official": True},
                "reg.example.org": {"Official": False},
            }
        },
    }
    assert parse_info(json.dumps(info).encode()) == HUB
    assert parse_info(b'{"ServerErrors": ["no engine"]}') is None
    for text in (b"", b"[", b"null", b'{"IndexServerAddress": "https://a b/"}'):
        with pytest.raises((ValueError, AttributeError)):
            parse_info(text)


# --- containerd ----------------------------------------------------------------------------------

HOSTS = """
server = "https://real.example.org"

[host."https://one.example.org/v2/hub"]
  capabilities = ["pull"]
  override_path = true
  ca = "one.crt"
  [host."https://one.example.org/v2/hub".header]
    x-team = ["a", "b"]

[host."http://127.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
  skip_verify = true

[host."https://push.example.org"]
  capabilities = ["push"]
"""


def test_hosts_files_of_containerd(machine: Laboratory) -> None:
    folder = machine.write("containerd/certs.d/reg.example.org/hosts.toml", HOSTS).parent
    found = machine.origins(hub={"address": "reg.example.org"}).addresses("hub", "team/app")
    one, two, real = found
    assert (one.root, one.tags, one.digests) == ("https://one.example.org/v2/hub", False, True)
    assert one.authorities == (str(folder / "one.crt"),)
    assert one.headers == (("x-team", "a, b"),)
    assert (two.root, two.plain_http, two.tags) == ("http://127.0.0.1:5000/v2", True, True)
    assert real.root == "https://real.example.org/v2"
    assert {each.namespace for each in found} == {"reg.example.org"}
    assert {each.said_by for each in found} == {str(folder / "hosts.toml")}


def test_folders_of_containerd(machine: Laboratory) -> None:
    text = '[host."https://{}.example.org"]'
    machine.write("containerd/certs.d/_default/hosts.toml", text.format("any"))
    any_of = "https://any.example.org/v2/team/app"
    own = "https://reg.example.org:444/v2/team/app"
    assert machine.asked(address="reg.example.org:444") == [any_of, own]
    machine.write("containerd/certs.d/reg.example.org:444/hosts.toml", text.format("plain"))
    assert (
        machine.asked(address="reg.example.org:444")[0] == "https://plain.example.org/v2/team/app"
    )
    machine.write("containerd/certs.d/reg.example.org_444_/hosts.toml", text.format("escaped"))
    assert (
        machine.asked(address="reg.example.org:444")[0] == "https://escaped.example.org/v2/team/app"
    )


def test_containerd_says_where_its_folders_are(machine: Laboratory) -> None:
    elsewhere = machine.write("elsewhere/reg.example.org/hosts.toml", HOSTS).parent.parent
    machine.write(
        "containerd/config.toml",
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n'
        f'config_path = "/nonexistent:{elsewhere}"\n',
    )
    assert len(machine.asked(address="reg.example.org")) == 3


def test_a_folder_with_certificates_alone(machine: Laboratory) -> None:
    path = machine.write("containerd/certs.d/reg.example.org/ca.crt", "PEM")
    found = machine.origins(hub={"address": "reg.example.org"}).addresses("hub", "app")
    assert [each.authorities for each in found] == [(str(path),)]


@pytest.mark.parametrize(
    "text",
    [
        "server = 1",
        "host = 1",
        "[host]\nx = 1",
        '[host."https://one.example.org"]\ncapabilities = "pull"',
        '[host."https://one.example.org"]\ncapabilities = ["delete"]',
        '[host."https://one.example.org"]\nskip_verify = "yes"',
        '[host."https://one.example.org"]\nca = [1]',
        '[host."https://user:secret@one.example.org"]',
        '[host."https://one.example.org".header]\nAuthorization = "secret"',
        '[host."https://one.example.org".header]\nx = "a\\r\\nHost: secret"',
        "a" + ".a" * 100_000 + " = 1",
        "x = [" * 50_000,
        "\ufffd",
    ],
)
def test_broken_hosts_files_are_named(machine: Laboratory, text: str) -> None:
    path = machine.write("containerd/certs.d/reg.example.org/hosts.toml", text)
    with pytest.raises(FetchError) as caught:
        machine.asked(address="reg.example.org")
    assert str(path) in caught.value.message
    assert "secret" not in str(caught.value)


# --- Podman, skopeo ------------------------------------------------------------------------------

REGISTRIES = """
unqualified-search-registries = ["search.example.org"]

[[registry]]
location = "reg.example.org"
[[registry.mirror]]
location = "127.0.0.1:5000/reg"
insecure = true
[[registry.mirror]]
location = "tags.example.org"
pull-from-mirror = "tag-only"

[[registry]]
prefix = "reg.example.org/team"
location = "inside.example.org/moved"
mirror-by-digest-only = true
[[registry.mirror]]
location = "digests.example.org"

[[registry]]
prefix = "reg.example.org/team/secret"
location = "reg.example.org/team/secret"
blocked = true

[[registry]]
prefix = "*.wild.example.org"

[aliases]
"team/app" = "short.example.org/full/app"
"""


def test_registries_conf(machine: Laboratory) -> None:
    machine.write("containers/registries.conf", REGISTRIES)
    origins = machine.origins(hub={"address": "reg.example.org"}, none={})
    two, tags, itself = origins.addresses("hub", "other/app")
    assert (two.name, two.insecure) == ("127.0.0.1:5000/reg/other/app", True)
    assert (tags.name, tags.tags, tags.digests) == ("tags.example.org/other/app", True, False)
    assert itself.name == "reg.example.org/other/app"
    digests, moved = origins.addresses("hub", "team/app")
    assert (digests.name, digests.tags, digests.digests) == ("digests.example.org/app", False, True)
    assert moved.name == "inside.example.org/moved/app"
    assert [each.name for each in origins.addresses("hub", "teams")][-1] == "reg.example.org/teams"
    with pytest.raises(FetchError, match=r"forbid to fetch reg\.example\.org/team/secret/x"):
        origins.addresses("hub", "team/secret/x")
    assert [each.name for each in origins.addresses("none", "team/app")] == [
        "short.example.org/full/app"
    ]
    assert [each.name for each in origins.addresses("none", "team/other")] == [
        "search.example.org/team/other"
    ]


def test_a_name_that_several_registries_could_own_is_nobodys(machine: Laboratory) -> None:
    machine.write("containers/registries.conf", 'unqualified-search-registries = ["a.b", "c.d"]')
    with pytest.raises(FetchError, match="where is the registry"):
        machine.asked()


def test_wildcards_and_parts_of_registries_conf(machine: Laboratory) -> None:
    table = '[[registry]]\nprefix = "*.wild.example.org"\nlocation = "{}.example.org"\n'
    machine.write("containers/registries.conf", table.format("one"))
    part = "containers/registries.conf.d/50-team.conf"
    machine.write(part, table.format("two"))
    assert machine.asked(address="a.wild.example.org") == ["https://two.example.org/v2/team/app"]
    assert machine.asked(address="wild.example.org") == ["https://wild.example.org/v2/team/app"]
    own = machine.home / ".config" / part
    own.parent.mkdir(parents=True)
    own.write_text(table.format("three"))
    assert machine.asked(address="a.wild.example.org") == ["https://three.example.org/v2/team/app"]
    named = machine.write("named.conf", '[[registry]]\nlocation = "x.example.org"\nblocked = true')
    machine.environment["CONTAINERS_REGISTRIES_CONF"] = str(named)
    with pytest.raises(FetchError, match="forbid"):
        machine.asked(address="x.example.org")


@pytest.mark.parametrize(
    "text",
    [
        "registry = 1",
        "[[registry]]",
        '[[registry]]\nlocation = "https://reg.example.org"',
        '[[registry]]\nlocation = "reg.example.org/a/../b"',
        '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\ninsecure = true',
        '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "c"\npull-from-mirror = "x"',
        '[[registry]]\nprefix = "*.a.b/c"',
        '[[registry]]\nlocation = "a.b"\n[[registry]]\nlocation = "a.b"\nblocked = true',
        'unqualified-search-registries = "a.b"',
        "[aliases]\nx = 1",
        "[registries.search]\nregistries = []",
        "x = [" * 50_000,
    ],
)
def test_a_broken_registries_conf_is_named(machine: Laboratory, text: str) -> None:
    path = machine.write("containers/registries.conf", text)
    with pytest.raises(FetchError) as caught:
        machine.asked(address="reg.example.org")
    assert str(path) in caught.value.message


def test_settings_that_are_too_long_or_no_text_are_named(machine: Laboratory) -> None:
    path = machine.write("containers/registries.conf", "#" * ((4 << 20) + 1))
    with pytest.raises(FetchError, match="longer than"):
        machine.asked(address="reg.example.org")
    path.write_bytes(b"\xff")
    with pytest.raises(FetchError, match="not UTF-8"):
        machine.asked(address="reg.example.org")


def test_two_sources_that_name_one_mirror(machine: Laboratory) -> None:
    machine.default = HUB
    machine.daemon(**{"registry-mirrors": ["https://m.example.org"]})
    machine.write(
        "containerd/certs.d/hub.example.org/hosts.toml",
        'server = "https://index.hub.example.org"\n[host."https://m.example.org"]\n'
        '[host."https://n.example.org"]',
    )
    assert machine.asked() == [
        "https://m.example.org/v2/team/app",
        "https://n.example.org/v2/team/app",
        "https://index.hub.example.org/v2/team/app",
    ]


def test_a_real_engine_says_which_registry_is_its_own(docker_host: str) -> None:
    environment = {"DOCKER_HOST": docker_host, "PATH": os.environ["PATH"]}
    found = ask_docker(environment)
    assert found is not None
    assert found.endpoint.scheme == "https"
    assert found.names[-1] == found.endpoint.host
    assert len(found.names) == 2
    nobody = {**environment, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    assert ask_docker(nobody) is None
    assert ask_docker({"PATH": "/nonexistent"}) is None
