"""The limits are read whole, or refused with all that is wrong."""

import pytest

from hps_server.limits import VARIABLES, Limits, LimitsError


def test_every_limit_has_a_default_that_the_reader_takes() -> None:
    defaults = Limits()
    assert Limits.from_settings() == defaults
    assert Limits.from_settings(vars(defaults)) == defaults
    assert "HPS_SERVER_MAX_PIXELS" in VARIABLES


def test_the_environment_wins() -> None:
    limits = Limits.from_settings(
        {"max_pixels": 10, "fetch_allow_hosts": ["A.example.org"], "fetch_max_redirects": 0},
        {
            "HPS_SERVER_MAX_PIXELS": "20",
            "HPS_SERVER_FETCH_DENY_HOSTS": "*.inside, b.example.org",
            "HPS_SERVER_FETCH_ALLOW_PRIVATE": "true",
            "HPS_SERVER_FETCH_TOTAL_SECONDS": "1.5",
            "HPS_SERVER_STRICT": "of another setting",
        },
    )
    assert limits.max_pixels == 20
    assert limits.fetch_allow_hosts == ("a.example.org",)
    assert limits.fetch_deny_hosts == ("*.inside", "b.example.org")
    assert limits.fetch_allow_private
    assert limits.fetch_total_seconds == 1.5
    assert limits.fetch_max_redirects == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_pixels", 0),
        ("max_pixels", -1),
        ("max_pixels", True),
        ("max_pixels", 1.5),
        ("max_pixels", "1e9"),
        ("max_pixels", "9" * 5000),
        ("fetch_max_redirects", -1),
        ("fetch_max_redirects", False),
        ("fetch_total_seconds", 0),
        ("fetch_total_seconds", "nan"),
        ("fetch_total_seconds", "inf"),
        ("fetch_total_seconds", [1]),
        ("fetch_allow_private", "perhaps"),
        ("fetch_allow_hosts", {"a": 1}),
        ("fetch_allow_hosts", [1]),
        ("fetch_schemes", ["ftp"]),
        ("fetch_proxy", "socks5://127.0.0.1:1"),
        ("fetch_proxy", "http://user:word@127.0.0.1:1"),
    ],
)
def test_unusable_values_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(LimitsError, match=name):
        Limits.from_settings({name: value})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(LimitsError) as caught:
        Limits.from_settings(
            {"max_pixel": 1, "max_files": "many", "5": 5}, {"HPS_SERVER_MAX_PAGES": "x"}
        )
    assert len(caught.value.faults) == 4
    assert any(fault.startswith("HPS_SERVER_MAX_PAGES") for fault in caught.value.faults)


def test_the_block_must_be_a_mapping() -> None:
    with pytest.raises(LimitsError, match="mapping"):
        Limits.from_settings(["max_pixels"])  # type: ignore[arg-type]
