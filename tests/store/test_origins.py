"""Where aliases live, on machines made of files in a temporary folder."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hps.config.schema import DebianSource, PythonSource, Sources
from hps.errors import FetchError
from hps.store.machine import Machine
from hps.store.network import Network
from hps.store.origins import Origins, ask_uv

CONFIGURED = "https://toml.example.org/simple"


def machine(folder: Path, environment: Mapping[str, str] | None = None) -> Machine:
    return Machine(
        environment=environment or {},
        home=folder / "home",
        prefix=folder / "venv",
        etc=folder / "etc",
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def sources(url: str | None = None, **debian: str | None) -> Sources:
    return Sources(
        python={"default": PythonSource(url=url), "my-own": PythonSource()},
        debian={
            "main": DebianSource.model_validate(
                {"suites": ["bookworm"]} | {k.replace("_", "-"): v for k, v in debian.items()}
            )
        },
    )


def test_the_order_of_python_indexes(tmp_path: Path) -> None:
    """From the last to the first: each new place wins over all before it."""
    pip = write(
        tmp_path / "home/.config/pip/pip.conf", "[global]\nindex-url = https://1.example.org/"
    )
    assert Origins(sources(), machine=machine(tmp_path)).python_index("default") == (
        "https://1.example.org/"
    )
    write(tmp_path / "venv/pip.conf", "[global]\nindex-url = https://2.example.org")
    environment: dict[str, str] = {}

    def found(**more: str) -> str:
        environment.update(more)
        return Origins(sources(), machine=machine(tmp_path, environment)).python_index("default")

    assert found() == "https://2.example.org"
    assert found(PIP_INDEX_URL="https://3.example.org") == "https://3.example.org"
    write(tmp_path / "etc/xdg/uv/uv.toml", 'index-url = "https://4.example.org"')
    assert found() == "https://4.example.org"
    write(tmp_path / "home/.config/uv/uv.toml", 'index-url = "https://5.example.org"')
    assert found() == "https://5.example.org"
    assert found(UV_INDEX_URL="https://6.example.org") == "https://6.example.org"
    assert found(UV_DEFAULT_INDEX="https://7.example.org/?a=b") == "https://7.example.org/?a=b"
    assert found(UV_DEFAULT_INDEX="mine=https://7.example.org") == "https://7.example.org"
    with_url = Origins(sources(CONFIGURED), machine=machine(tmp_path, environment))
    assert with_url.python_index("default") == CONFIGURED
    environment["HPS_INDEX_DEFAULT"] = "https://8.example.org"
    above = Origins(sources(CONFIGURED), machine=machine(tmp_path, environment))
    assert above.python_index("default") == "https://8.example.org"
    line = {"default": "https://9.example.org"}
    top = Origins(sources(CONFIGURED), indexes=line, machine=machine(tmp_path, environment))
    assert top.python_index("default") == "https://9.example.org"
    assert pip.exists()


def test_a_variable_belongs_to_one_alias(tmp_path: Path) -> None:
    here = machine(
        tmp_path, {"HPS_INDEX_MY_OWN": "https://own.example.org", "PIP_INDEX_URL": CONFIGURED}
    )
    origins = Origins(sources(), machine=here)
    assert origins.python_index("my-own") == "https://own.example.org"
    assert origins.python_index("default") == CONFIGURED


def test_an_index_can_be_a_folder(tmp_path: Path) -> None:
    line = {"default": "mirror/simple"}
    origins = Origins(sources(), indexes=line, machine=machine(tmp_path), folder=tmp_path)
    assert origins.python_index("default") == (tmp_path / "mirror/simple").as_uri()


def test_nothing_is_read_before_it_is_asked_for_and_then_once(tmp_path: Path) -> None:
    uv_toml = write(tmp_path / "home/.config/uv/uv.toml", "broken =")
    origins = Origins(sources(), machine=machine(tmp_path))
    with pytest.raises(FetchError, match=r"cannot read .*uv\.toml"):
        origins.python_index("default")
    write(uv_toml, f'index-url = "{CONFIGURED}"')
    assert origins.python_index("default") == CONFIGURED
    uv_toml.unlink()
    assert origins.python_index("default") == CONFIGURED


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[global\n"])
def test_a_broken_pip_conf_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path / "venv/pip.conf", "")
    path.write_bytes(data)
    with pytest.raises(FetchError) as caught:
        Origins(sources(), machine=machine(tmp_path)).python_index("default")
    assert str(path) in caught.value.message
    assert "HPS_INDEX_DEFAULT" in (caught.value.hint or "")


def test_a_folder_in_place_of_a_file_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "venv/pip.conf").mkdir(parents=True)
    with pytest.raises(FetchError, match=r"pip\.conf"):
        Origins(sources(), machine=machine(tmp_path)).python_index("default")


def test_uv_knows_its_own_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://not-this.example.org")
    found = ask_uv()
    assert found.startswith("https://")
    assert "example.org" not in found
    assert Origins(sources(), machine=machine(tmp_path)).python_index("default") == found


def test_the_order_of_debian_mirrors(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/apt/sources.list.d/debian.sources",
        "Types: deb\nURIs: http://apt.example.org/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: http://apt.example.org/security\nSuites: bookworm-security\n"
        "Components: main\n",
    )
    write(tmp_path / "etc/apt/sources.list", "deb http://list.example.org/debian trixie main\n")
    write(
        tmp_path / "etc/apt/sources.list.d/vendor.list",
        "deb http://v.example.org/apt nodistro main\n",
    )
    write(
        tmp_path / "etc/apt/sources.list.d/off.list.disabled",
        "deb http://off.example.org/debian bookworm main\n",
    )
    origins = Origins(sources(), machine=machine(tmp_path))
    assert origins.debian_mirrors("main", "debian", "bookworm") == (
        "http://apt.example.org/debian",
        "http://list.example.org/debian",
    )
    assert origins.debian_mirrors("main", "debian-security", "bookworm-security") == (
        "http://apt.example.org/security",
    )
    configured = sources(
        mirror="https://toml.example.org/debian", security_mirror="https://toml.example.org/sec"
    )
    named = Origins(configured, machine=machine(tmp_path))
    assert named.debian_mirrors("main", "debian", "bookworm") == (
        "https://toml.example.org/debian",
    )
    assert named.debian_mirrors("main", "debian-security", "x") == ("https://toml.example.org/sec",)
    environment = {
        "HPS_DEBIAN_MAIN": "https://env.example.org/debian",
        "HPS_DEBIAN_MAIN_SECURITY": str(tmp_path / "security"),
    }
    above = Origins(configured, machine=machine(tmp_path, environment))
    assert above.debian_mirrors("main", "debian", "x") == ("https://env.example.org/debian",)
    assert above.debian_mirrors("main", "debian-security", "x") == (
        (tmp_path / "security").as_uri(),
    )


@pytest.mark.parametrize(
    ("archive", "key", "variable"),
    [
        ("debian", 'mirror = "https://…"', "HPS_DEBIAN_MAIN"),
        ("debian-security", 'security-mirror = "https://…"', "HPS_DEBIAN_MAIN_SECURITY"),
    ],
)
def test_without_any_mirror_the_error_says_what_to_write(
    tmp_path: Path, archive: str, key: str, variable: str
) -> None:
    write(tmp_path / "etc/apt/sources.list", "deb http://archive.example.org/ubuntu noble main\n")
    with pytest.raises(FetchError) as caught:
        Origins(sources(), machine=machine(tmp_path)).debian_mirrors("main", archive, "bookworm")  # type: ignore[arg-type]
    assert caught.value.hint == (
        f"write {key} below [sources.debian.main], or set {variable} to the address"
    )


def test_fallbacks_of_an_index_follow_whatever_the_machine_says(tmp_path: Path) -> None:
    copies = ("https://a.example.org/simple", "https://b.example.org/simple")
    made = Sources(python={"default": PythonSource(fallbacks=copies)})
    write(tmp_path / "venv/pip.conf", f"[global]\nindex-url = {CONFIGURED}\n")
    found = Origins(made, machine=machine(tmp_path)).python_indexes("default")
    assert found == (CONFIGURED, *copies)
    line = {"default": "https://line.example.org/simple  https://a.example.org/simple"}
    given = Origins(made, machine=machine(tmp_path), indexes=line).python_indexes("default")
    assert given == ("https://line.example.org/simple", "https://a.example.org/simple")


def test_how_pip_reaches_indexes(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/pip.conf",
        "[global]\nproxy = http://ann:secret@proxy.example.org:3128\ncert = /etc/ours.pem\n"
        "client-cert = /etc/us.pem\nkeyring-provider = disabled\n[install]\ncert = /etc/mine.pem\n",
    )
    network = Origins(sources(), machine=machine(tmp_path)).index_network()
    proxy = "http://ann:secret@proxy.example.org:3128"
    assert network.proxies == {"http": proxy, "https": proxy}
    assert (network.bundle, network.client_certificate) == ("/etc/mine.pem", "/etc/us.pem")
    assert network.keyring is None
    assert "secret" not in repr(network)
    environment = {"PIP_PROXY": "http://other.example.org", "PIP_CERT": "/one.pem"}
    other = Origins(sources(), machine=machine(tmp_path, environment)).index_network()
    assert other.proxies["https"] == "http://other.example.org"
    assert other.bundle == "/one.pem"


def test_what_another_tool_is_told_about_the_network(tmp_path: Path) -> None:
    network = Network(proxies={"http": "http://p", "https": "http://q"}, bundle="/pip.pem")
    told = network.environment({"NO_PROXY": "index.example.org"})
    assert told == {
        "http_proxy": "http://p",
        "HTTP_PROXY": "http://p",
        "https_proxy": "http://q",
        "HTTPS_PROXY": "http://q",
        "no_proxy": "",
        "NO_PROXY": "",
        "SSL_CERT_FILE": "/pip.pem",
    }
    assert Network().environment({"REQUESTS_CA_BUNDLE": "/r.pem", "SSL_CERT_FILE": "/s.pem"}) == {
        "SSL_CERT_FILE": "/r.pem"  # uv reads this name alone
    }
    assert Network().environment({"HTTPS_PROXY": "http://kept"}) == {}


def test_without_uv_somebody_has_to_name_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)  # as where it is not installed
    with pytest.raises(FetchError, match="no Python index is configured") as caught:
        ask_uv()
    assert "hps[build]" in str(caught.value.hint)
