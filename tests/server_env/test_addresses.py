"""Which addresses a URL in a request may lead to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps_server.addresses import is_allowed


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
    ],
)
def test_inside_addresses_are_the_operators_choice(address: str) -> None:
    assert not is_allowed(address)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "::1%lo",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2002:7f00:1::",
        "2002:808:808::",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::7f00:1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "",
        "example.org",
    ],
)
def test_never_asked(address: str) -> None:
    assert not is_allowed(address)
    assert not is_allowed(address, private=True)


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_knows_as_inside(
    address: "ipaddress.IPv4Address | ipaddress.IPv6Address",
) -> None:
    if is_allowed(str(address)) and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert address.is_global
        assert not address.is_multicast
