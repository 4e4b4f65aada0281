"""Proxies of apt: what its settings mean, and that they win over the environment."""

from pathlib import Path

import pytest

from hps.config.schema import Sources
from hps.store.apt_proxies import ask_apt, parse_dump
from hps.store.http import Http
from hps.store.machine import Machine
from hps.store.network import Network
from hps.store.origins import Origins
from tests.servers import HostileServer, fine
from tests.store.fetch_lab import PATIENT

DUMP = """APT "";
Acquire::http "";
Acquire::http::Proxy "http://user:secret@proxy.example.org:3142/";
Acquire::http::Proxy::near.example.org "DIRECT";
Acquire::https::Proxy::odd.example.org "http://odd.example.org:1";
Acquire::ftp::Proxy "http://ftp.example.org";
Acquire::http::Timeout "30";
"""


def test_what_apt_says() -> None:
    assert parse_dump(DUMP) == {
        "http": "http://user:secret@proxy.example.org:3142",
        "https": "http://user:secret@proxy.example.org:3142",
        "http://near.example.org": "",
        "https://near.example.org": "",
        "https://odd.example.org": "http://odd.example.org:1",
    }
    assert parse_dump('Acquire::http::Proxy "a";\nAcquire::https::Proxy "DIRECT";') == {
        "http": "a",
        "https": "",
    }
    assert parse_dump('Acquire::http::Proxy "";\nnonsense\n') == {}


def test_apt_itself_is_asked(tmp_path: Path) -> None:
    config = tmp_path / "apt.conf"
    config.write_text('Acquire::http::Proxy "http://127.0.0.1:9";\n')
    assert ask_apt({"APT_CONFIG": str(config), "PATH": "/usr/bin:/bin"})["http"] == (
        "http://127.0.0.1:9"
    )
    assert ask_apt({"PATH": str(tmp_path)}) == {}


def test_settings_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with HostileServer() as proxy, HostileServer() as general, HostileServer() as near:
        monkeypatch.setenv("http_proxy", general.url)
        path = "http://far.example.org/a"
        proxy.script(path, fine(b"by the proxy"))
        near.script("/a", fine(b"near"))
        network = Network(proxies={"http": proxy.url, "http://127.0.0.1": ""})
        with Http(PATIENT, network) as http:
            assert http.get(path, "*/*", 100) == b"by the proxy"
            assert http.get(f"{near.url}/a", "*/*", 100) == b"near"
        assert general.seen == []


def test_origins_ask_for_archives_only(tmp_path: Path) -> None:
    here = Machine(environment={}, home=tmp_path, prefix=tmp_path, etc=tmp_path)
    made = Origins(Sources(), machine=here, ask_apt=lambda _: {"http": "http://proxy"})
    assert made.archive_network().proxies == {"http": "http://proxy"}
    assert made.index_network().proxies == {}
