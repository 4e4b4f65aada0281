"""Sessions: what they take from the environment, and how often they look."""

import pytest

from hps.store.connections import new_session

ASKED = (None, True, None, None)


def test_proxies_are_those_of_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "near.example.org")
    with new_session() as session:
        for _ in range(2):
            far = session.merge_environment_settings("http://far.example.org/a", *ASKED)
            assert far["proxies"]["http"] == "http://proxy.example.org:3128"
            near = session.merge_environment_settings("http://near.example.org/b", *ASKED)
            assert not near["proxies"]
            far["proxies"].clear()  # whoever gets it may change it
            far["stream"] = False


def test_the_environment_is_read_once_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with new_session() as session:
        first = session.merge_environment_settings("http://one.example.org/", *ASKED)
        monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
        assert session.merge_environment_settings("http://one.example.org/x", *ASKED) == first
        other = session.merge_environment_settings("http://two.example.org/", *ASKED)
        assert other["proxies"] != first["proxies"]
