"""Which network addresses a server may be made to ask by a URL in a request.

The networks are those of IANA's special-purpose registries (RFC 6890, RFC 8190) and the metadata
services of clouds. The table is our own, as Python's `is_global` differs between its releases.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Somebody's inside: asked only where the operator says so.
_PRIVATE = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "::1/128",
        "fc00::/7",
    )
)
# Never asked: nobody keeps files there, and credentials of the machine may lie there.
_NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # metadata service
        "168.63.129.16/32",  # metadata service
        "169.254.0.0/16",  # link-local, metadata services
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo, benchmarking, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4 reaches the IPv4 address inside
        "2620:4f:8000::/48",
        "3fff::/20",
        "fd00:ec2::254/128",  # metadata service
        "fd20:ce::254/128",  # metadata service
    )
)
_PUBLIC_6 = ip_network("2000::/3")  # all that is assigned as global unicast
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the IPv4 address is in the last 32 bits


def is_allowed(address: str, *, private: bool = False) -> bool:
    """Whether a connection to this address may be made.

    Args:
        address: a literal IPv4 or IPv6 address, with or without a zone.
        private: addresses of inside networks are allowed too.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return _allowed(found, private=private)


def _allowed(address: "IPv4Address | IPv6Address", *, private: bool) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address in _NAT64:
            # What lies behind the translator is judged, and it never leads inside (RFC 6052 3.1).
            return _allowed(IPv4Address(int(address) & 0xFFFFFFFF), private=False)
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    if any(address in network for network in _PRIVATE if network.version == address.version):
        return private
    return isinstance(address, IPv4Address) or address in _PUBLIC_6
